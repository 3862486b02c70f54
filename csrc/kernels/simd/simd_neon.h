// AArch64 Advanced SIMD as the kernel templates see it; elements are int8 q. In an unnamed namespace, as simd_avx512.h.
#ifndef EDGEC_SIMD_NEON_H
#define EDGEC_SIMD_NEON_H

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "host/tier.h"
#include "kernels/simd/unroll.h"

namespace {

struct Simd {
  using V = int32x4_t;
  static constexpr int lanes = 4, bytes = 16, group = 4, element = 1, kind = EDGEC_KIND_Q8, chunks = 1;
  static constexpr int32_t flip = 0;  // a stored element is q ^ flip

  EDGEC_INLINE static int8x16_t b(V v) { return vreinterpretq_s8_s32(v); }
  EDGEC_INLINE static int16x8_t h(V v) { return vreinterpretq_s16_s32(v); }
  EDGEC_INLINE static int64x2_t d(V v) { return vreinterpretq_s64_s32(v); }
  EDGEC_INLINE static V v(int8x16_t a) { return vreinterpretq_s32_s8(a); }
  EDGEC_INLINE static V v(int16x8_t a) { return vreinterpretq_s32_s16(a); }
  EDGEC_INLINE static V v(int64x2_t a) { return vreinterpretq_s32_s64(a); }

  EDGEC_INLINE static V load(const void *p) { return v(vld1q_s8(static_cast<const int8_t *>(p))); }
  // The value is in a register here: the compiler neither loads it again later nor takes its parts from memory.
  EDGEC_INLINE static void keep(V &a) { __asm__("" : "+w"(a)); }

  // load() and keep() in one instruction: GCC 12 may copy what is kept of a load into another register first.
  EDGEC_INLINE static V load_kept(const void *p) {
    using Bytes [[gnu::aligned(1), gnu::may_alias]] = int8x16_t;
    V a;
    __asm__("ldr %q0, %1" : "=w"(a) : "m"(*static_cast<const Bytes *>(p)));
    return a;
  }

  // n registers from `at` bytes behind p on, two by one instruction. GCC 12 does not join loads whose uses lie apart, and gives an
  // address that it sees in a loop a register of its own. Only for the constants of a plan: it does not know what is read.
  template <int at = 0, int n> EDGEC_INLINE static void load_constants(const void *p, V (&to)[n]) {
    unroll<n / 2>([&](auto i) EDGEC_LAMBDA {
      __asm__("ldp %q0, %q1, [%2, %3]" : "=w"(to[2 * i]), "=w"(to[2 * i + 1]) : "r"(p), "i"(at + 2 * decltype(i)::value * bytes));
    });
    if constexpr (n % 2 != 0) {
      to[n - 1] = load(static_cast<const uint8_t *>(p) + at + (n - 1) * bytes);
    }
  }
  EDGEC_INLINE static void store(void *p, V a) { vst1q_s8(static_cast<int8_t *>(p), b(a)); }
  EDGEC_INLINE static void store_head(void *p, V a, int32_t count) {  // count bytes, at most 16, and no byte more
    int8_t *to = static_cast<int8_t *>(p);
    int8x16_t rest = b(a);
    if (count >= 16) {
      vst1q_s8(to, rest);
      return;
    }
    if (count & 8) {
      vst1_s8(to, vget_low_s8(rest));
      rest = vextq_s8(rest, rest, 8);
      to += 8;
    }
    if (count & 4) {
      const int32_t dword = vgetq_lane_s32(v(rest), 0);
      __builtin_memcpy(to, &dword, 4);
      rest = vextq_s8(rest, rest, 4);
      to += 4;
    }
    if (count & 2) {
      const int16_t word = vgetq_lane_s16(vreinterpretq_s16_s8(rest), 0);
      __builtin_memcpy(to, &word, 2);
      rest = vextq_s8(rest, rest, 2);
      to += 2;
    }
    if (count & 1) {
      *to = vgetq_lane_s8(rest, 0);
    }
  }
  EDGEC_INLINE static V load_head(const void *p, int32_t count) {
    alignas(16) int8_t whole[16] = {0};
    __builtin_memcpy(whole, p, static_cast<size_t>(count < 16 ? count : 16));
    return load(whole);
  }
  EDGEC_INLINE static V set8(int32_t n) { return v(vdupq_n_s8(static_cast<int8_t>(n))); }
  EDGEC_INLINE static V set16(int32_t n) { return v(vdupq_n_s16(static_cast<int16_t>(n))); }
  EDGEC_INLINE static V set32(int32_t n) { return vdupq_n_s32(n); }
  EDGEC_INLINE static V zero() { return vdupq_n_s32(0); }

  // acc += four s8 x s8 products a lane. Inline assembly: with the intrinsics GCC 12 copies accumulators of a tile that fills the
  // registers.
#ifdef __ARM_FEATURE_DOTPROD
  EDGEC_INLINE static void dot(V &acc, V x, V w) { __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(x), "w"(w)); }
  template <int lane> EDGEC_INLINE static void dot_lane(V &acc, V w, V x) {
    __asm__("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(acc) : "w"(w), "w"(x), "i"(lane));
  }
#endif

#ifdef __ARM_FEATURE_MATMUL_INT8
  // acc += two rows of eight times two rows of eight.
  EDGEC_INLINE static void matrix(V &acc, V x, V w) { __asm__("smmla %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(x), "w"(w)); }
#endif
  // acc += sums of two neighbouring words.
  EDGEC_INLINE static void add_pairs(V &acc, int16x8_t words) { __asm__("sadalp %0.4s, %1.8h" : "+w"(acc) : "w"(words)); }

  EDGEC_INLINE static V bit_xor(V a, V c) { return veorq_s32(a, c); }
  EDGEC_INLINE static V min32(V a, V c) { return vminq_s32(a, c); }
  EDGEC_INLINE static V max32(V a, V c) { return vmaxq_s32(a, c); }
  EDGEC_INLINE static V min8(V a, V c) { return v(vminq_s8(b(a), b(c))); }
  EDGEC_INLINE static V max8(V a, V c) { return v(vmaxq_s8(b(a), b(c))); }
  EDGEC_INLINE static V max_stored(V a, V c) { return max8(a, c); }
  EDGEC_INLINE static V low8(V a, V c) { return v(vzip1q_s8(b(a), b(c))); }
  EDGEC_INLINE static V high8(V a, V c) { return v(vzip2q_s8(b(a), b(c))); }
  EDGEC_INLINE static V low16(V a, V c) { return v(vzip1q_s16(h(a), h(c))); }
  EDGEC_INLINE static V high16(V a, V c) { return v(vzip2q_s16(h(a), h(c))); }
  EDGEC_INLINE static V low64(V a, V c) { return v(vzip1q_s64(d(a), d(c))); }
  EDGEC_INLINE static V high64(V a, V c) { return v(vzip2q_s64(d(a), d(c))); }
  // int8 to lanes and back; going back, lanes hold int8 values. _head: of count < lanes bytes, and no byte more.
  EDGEC_INLINE static V widen8(const void *p) {
    uint32_t dword;
    __builtin_memcpy(&dword, p, 4);
    return widened(dword);
  }
  EDGEC_INLINE static void narrow8(void *p, V a) {
    const uint32_t dword = narrowed(a);
    __builtin_memcpy(p, &dword, 4);
  }
  EDGEC_INLINE static V widen8_head(const void *p, int32_t count) {
    const uint8_t *const from = static_cast<const uint8_t *>(p);
    uint32_t dword = 0;
    for (int32_t i = 0; i < count; i++) {
      dword |= static_cast<uint32_t>(from[i]) << (8 * i);
    }
    return widened(dword);
  }
  EDGEC_INLINE static void narrow8_head(void *p, V a, int32_t count) {
    uint32_t dword = narrowed(a);
    for (int32_t i = 0; i < count; i++, dword >>= 8) {
      static_cast<uint8_t *>(p)[i] = static_cast<uint8_t>(dword);
    }
  }
  EDGEC_INLINE static V widened(uint32_t dword) { return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(dword))))); }
  EDGEC_INLINE static uint32_t narrowed(V a) {
    const int16x4_t words = vmovn_s32(a);
    return vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
  }
  EDGEC_INLINE static V gather32(const int32_t *table, V index) {
    V found = vdupq_n_s32(table[vgetq_lane_s32(index, 0)]);
    found = vsetq_lane_s32(table[vgetq_lane_s32(index, 1)], found, 1);
    found = vsetq_lane_s32(table[vgetq_lane_s32(index, 2)], found, 2);
    return vsetq_lane_s32(table[vgetq_lane_s32(index, 3)], found, 3);
  }
  EDGEC_INLINE static V permute32(V, V a) { return a; }  // a register is one chunk: results come in order
};

}  // namespace

#endif
