// AVX-512 (F, BW, DQ, VL, VNNI) as the kernel templates see it. Everything is in an unnamed namespace: a file built with these
// flags must not share inline code with one that is not.
#ifndef EDGEC_SIMD_AVX512_H
#define EDGEC_SIMD_AVX512_H

#include <immintrin.h>

#include <cstdint>

#include "host/tier.h"
#include "kernels/simd/unroll.h"

namespace {

struct Simd {
  using V = __m512i;
  static constexpr int lanes = 16, bytes = 64, group = 4, element = 1, kind = EDGEC_KIND_U8, chunks = 4;
  static constexpr int32_t flip = 0x80;  // a stored element is q ^ flip

  EDGEC_INLINE static V load(const void *p) { return _mm512_loadu_si512(p); }
  EDGEC_INLINE static void store(void *p, V v) { _mm512_storeu_si512(p, v); }
  EDGEC_INLINE static void store_head(void *p, V v, int32_t count) {  // count bytes, at most 64
    _mm512_mask_storeu_epi8(p, _cvtu64_mask64(count >= 64 ? ~0ull : (1ull << count) - 1), v);
  }
  EDGEC_INLINE static V load_head(const void *p, int32_t count) {
    return _mm512_maskz_loadu_epi8(_cvtu64_mask64(count >= 64 ? ~0ull : (1ull << count) - 1), p);
  }
  EDGEC_INLINE static V broadcast(const void *p) {
    int32_t dword;
    __builtin_memcpy(&dword, p, 4);
    return _mm512_set1_epi32(dword);
  }
  // Half a register: two 32-byte broadcasts and two dot products of halves a cycle, where whole registers do one of each.
  using Half = __m256i;
  EDGEC_INLINE static Half load_half(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }
  EDGEC_INLINE static Half broadcast_half(const void *p) {
    int32_t dword;
    __builtin_memcpy(&dword, p, 4);
    return _mm256_set1_epi32(dword);
  }
  EDGEC_INLINE static void dot_half(Half &acc, Half x, Half w) { __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "vm"(w)); }
  EDGEC_INLINE static V join_halves(Half low, Half high) { return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1); }

  EDGEC_INLINE static V set8(int32_t v) { return _mm512_set1_epi8(static_cast<char>(v)); }
  EDGEC_INLINE static V set16(int32_t v) { return _mm512_set1_epi16(static_cast<short>(v)); }
  EDGEC_INLINE static V set32(int32_t v) { return _mm512_set1_epi32(v); }
  EDGEC_INLINE static V set64(int64_t v) { return _mm512_set1_epi64(v); }
  EDGEC_INLINE static V zero() { return _mm512_setzero_si512(); }

  // acc += four u8 x s8 products a lane. Inline assembly: with the intrinsic GCC 12 copies the accumulators of a large tile
  // through the stack, at half the speed.
  EDGEC_INLINE static void dot(V &acc, V x, V w) { __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "vm"(w)); }

  EDGEC_INLINE static V add32(V a, V b) { return _mm512_add_epi32(a, b); }
  EDGEC_INLINE static V add64(V a, V b) { return _mm512_add_epi64(a, b); }
  EDGEC_INLINE static V mul_even(V a, V b) { return _mm512_mul_epi32(a, b); }
  EDGEC_INLINE static V mul_even_unsigned(V a, V b) { return _mm512_mul_epu32(a, b); }
  EDGEC_INLINE static V shift_right64(V a, uint32_t n) { return _mm512_srl_epi64(a, _mm_cvtsi32_si128(static_cast<int32_t>(n))); }
  EDGEC_INLINE static V odd_to_even(V a) { return _mm512_srli_epi64(a, 32); }
  // The high halves of the products of the even lanes and of the odd lanes, in order.
  EDGEC_INLINE static V high_halves(V even, V odd) { return _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB); }
  EDGEC_INLINE static V low_halves(V even, V odd) { return _mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA); }
  EDGEC_INLINE static V min32(V a, V b) { return _mm512_min_epi32(a, b); }
  EDGEC_INLINE static V max32(V a, V b) { return _mm512_max_epi32(a, b); }
  EDGEC_INLINE static V shift_left32(V a, int32_t n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
  EDGEC_INLINE static V shift_right32(V a, int32_t n) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(n)); }
  EDGEC_INLINE static V shift_right_sum(V a) { return _mm512_srai_epi32(a, 13); }  // of sums: 12 fractional bits and one more
  EDGEC_INLINE static V shift_left16(V a) { return _mm512_slli_epi16(a, 7); }
  EDGEC_INLINE static V pack32(V a, V b) { return _mm512_packs_epi32(a, b); }
  EDGEC_INLINE static V pack16(V a, V b) { return _mm512_packs_epi16(a, b); }
  EDGEC_INLINE static V adds16(V a, V b) { return _mm512_adds_epi16(a, b); }
  EDGEC_INLINE static V halve16(V a) { return _mm512_mulhrs_epi16(a, _mm512_set1_epi16(16384)); }  // (a + 1) >> 1
  EDGEC_INLINE static V madd16(V a, V b) { return _mm512_madd_epi16(a, b); }
  EDGEC_INLINE static V min8(V a, V b) { return _mm512_min_epi8(a, b); }
  EDGEC_INLINE static V max8(V a, V b) { return _mm512_max_epi8(a, b); }
  EDGEC_INLINE static V max_stored(V a, V b) { return _mm512_max_epu8(a, b); }
  EDGEC_INLINE static V bit_xor(V a, V b) { return _mm512_xor_si512(a, b); }
  EDGEC_INLINE static V low8(V a, V b) { return _mm512_unpacklo_epi8(a, b); }
  EDGEC_INLINE static V high8(V a, V b) { return _mm512_unpackhi_epi8(a, b); }
  EDGEC_INLINE static V low16(V a, V b) { return _mm512_unpacklo_epi16(a, b); }
  EDGEC_INLINE static V high16(V a, V b) { return _mm512_unpackhi_epi16(a, b); }
  EDGEC_INLINE static V permute32(V index, V a) { return _mm512_permutexvar_epi32(index, a); }

  // int8 to lanes and back; going back, lanes hold int8 values. _head: of count < lanes bytes, and no byte more.
  EDGEC_INLINE static V widen8(const void *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i *>(p))); }
  EDGEC_INLINE static void narrow8(void *p, V a) { _mm_storeu_si128(static_cast<__m128i *>(p), _mm512_cvtepi32_epi8(a)); }
  EDGEC_INLINE static V widen8_head(const void *p, int32_t count) {
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(_cvtu32_mask16((1u << count) - 1), p));
  }
  EDGEC_INLINE static void narrow8_head(void *p, V a, int32_t count) { _mm512_mask_cvtepi32_storeu_epi8(p, _cvtu32_mask16((1u << count) - 1), a); }
  EDGEC_INLINE static V gather32(const int32_t *table, V index) { return _mm512_i32gather_epi32(index, table, 4); }

  // 16-byte pieces of a register.
  template <int I> EDGEC_INLINE static __m128i piece(V a) { return _mm512_extracti32x4_epi32(a, I); }
  EDGEC_INLINE static V join(__m128i a, __m128i b, __m128i c, __m128i d) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1)),
                              _mm256_inserti128_si256(_mm256_castsi128_si256(c), d, 1), 1);
  }
  template <int I> EDGEC_INLINE static __m256i half(V a) { return _mm512_extracti64x4_epi64(a, I); }
};

}  // namespace

#endif
