// AVX2, with or without AVX-VNNI, as the kernel templates see it. In an unnamed namespace, as simd_avx512.h.
#ifndef EDGEC_SIMD_AVX2_H
#define EDGEC_SIMD_AVX2_H

#include <immintrin.h>
#include <string.h>

#include <cstdint>

#include "host/tier.h"
#include "kernels/simd/unroll.h"

namespace {

struct Simd {
  using V = __m256i;
#ifdef __AVXVNNI__
  static constexpr int lanes = 8, bytes = 32, group = 4, element = 1, kind = EDGEC_KIND_U8, chunks = 2;
#else
  static constexpr int lanes = 8, bytes = 32, group = 2, element = 2, kind = EDGEC_KIND_S16, chunks = 2;
#endif
  static constexpr int32_t flip = 0x80;  // of bytes: a stored element is q ^ flip

  EDGEC_INLINE static V load(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }
  EDGEC_INLINE static void store(void *p, V v) { _mm256_storeu_si256(static_cast<__m256i *>(p), v); }
  EDGEC_INLINE static void store_head(void *p, V v, int32_t count) {  // count bytes, at most 32
    alignas(32) uint8_t whole[32];
    store(whole, v);
    memcpy(p, whole, static_cast<size_t>(count < 32 ? count : 32));
  }
  EDGEC_INLINE static V load_head(const void *p, int32_t count) {
    alignas(32) uint8_t whole[32] = {0};
    memcpy(whole, p, static_cast<size_t>(count < 32 ? count : 32));
    return load(whole);
  }
  EDGEC_INLINE static V broadcast(const void *p) {
    int32_t dword;
    __builtin_memcpy(&dword, p, 4);
    return _mm256_set1_epi32(dword);
  }
  EDGEC_INLINE static V set8(int32_t v) { return _mm256_set1_epi8(static_cast<char>(v)); }
  EDGEC_INLINE static V set16(int32_t v) { return _mm256_set1_epi16(static_cast<short>(v)); }
  EDGEC_INLINE static V set32(int32_t v) { return _mm256_set1_epi32(v); }
  EDGEC_INLINE static V set64(int64_t v) { return _mm256_set1_epi64x(v); }
  EDGEC_INLINE static V zero() { return _mm256_setzero_si256(); }

  // Inline assembly, for the reason given in simd_avx512.h.
#ifdef __AVXVNNI__
#ifdef EDGEC_AVXVNNI_AS_EVEX  // the same instruction in the encoding of AVX-512 VL: to try this tier's code where only that exists
  EDGEC_INLINE static void dot(V &acc, V x, V w) { __asm__("%{evex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "xm"(w)); }
#else
  EDGEC_INLINE static void dot(V &acc, V x, V w) { __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "xm"(w)); }
#endif
#else
  EDGEC_INLINE static void dot(V &acc, V x, V w) {
    V products;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(products) : "x"(x), "xm"(w));
  }
#endif

  EDGEC_INLINE static V add32(V a, V b) { return _mm256_add_epi32(a, b); }
  EDGEC_INLINE static V add64(V a, V b) { return _mm256_add_epi64(a, b); }
  EDGEC_INLINE static V mul_even(V a, V b) { return _mm256_mul_epi32(a, b); }
  EDGEC_INLINE static V mul_even_unsigned(V a, V b) { return _mm256_mul_epu32(a, b); }
  EDGEC_INLINE static V shift_right64(V a, uint32_t n) { return _mm256_srl_epi64(a, _mm_cvtsi32_si128(static_cast<int32_t>(n))); }
  EDGEC_INLINE static V odd_to_even(V a) { return _mm256_srli_epi64(a, 32); }
  EDGEC_INLINE static V high_halves(V even, V odd) { return _mm256_blend_epi32(odd, _mm256_srli_epi64(even, 32), 0x55); }
  EDGEC_INLINE static V low_halves(V even, V odd) { return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa); }
  EDGEC_INLINE static V min32(V a, V b) { return _mm256_min_epi32(a, b); }
  EDGEC_INLINE static V max32(V a, V b) { return _mm256_max_epi32(a, b); }
  EDGEC_INLINE static V shift_left32(V a, int32_t n) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128(n)); }
  EDGEC_INLINE static V shift_right32(V a, int32_t n) { return _mm256_sra_epi32(a, _mm_cvtsi32_si128(n)); }
  EDGEC_INLINE static V shift_right_sum(V a) { return _mm256_srai_epi32(a, 13); }  // of sums: 12 fractional bits and one more
  EDGEC_INLINE static V shift_left16(V a) { return _mm256_slli_epi16(a, 7); }
  EDGEC_INLINE static V pack32(V a, V b) { return _mm256_packs_epi32(a, b); }
  EDGEC_INLINE static V pack16(V a, V b) { return _mm256_packs_epi16(a, b); }
  EDGEC_INLINE static V adds16(V a, V b) { return _mm256_adds_epi16(a, b); }
  EDGEC_INLINE static V halve16(V a) { return _mm256_mulhrs_epi16(a, _mm256_set1_epi16(16384)); }  // (a + 1) >> 1
  EDGEC_INLINE static V madd16(V a, V b) { return _mm256_madd_epi16(a, b); }
  EDGEC_INLINE static V min16(V a, V b) { return _mm256_min_epi16(a, b); }
  EDGEC_INLINE static V max16(V a, V b) { return _mm256_max_epi16(a, b); }
  EDGEC_INLINE static V min8(V a, V b) { return _mm256_min_epi8(a, b); }
  EDGEC_INLINE static V max8(V a, V b) { return _mm256_max_epi8(a, b); }
  EDGEC_INLINE static V max_stored(V a, V b) { return _mm256_max_epu8(a, b); }
  EDGEC_INLINE static V bit_xor(V a, V b) { return _mm256_xor_si256(a, b); }
  EDGEC_INLINE static V low8(V a, V b) { return _mm256_unpacklo_epi8(a, b); }
  EDGEC_INLINE static V high8(V a, V b) { return _mm256_unpackhi_epi8(a, b); }
  EDGEC_INLINE static V low16(V a, V b) { return _mm256_unpacklo_epi16(a, b); }
  EDGEC_INLINE static V high16(V a, V b) { return _mm256_unpackhi_epi16(a, b); }
  EDGEC_INLINE static V permute32(V index, V a) { return _mm256_permutevar8x32_epi32(a, index); }

  // int8 to lanes and back; going back, lanes hold int8 values. _head: of count < lanes bytes, and no byte more.
  EDGEC_INLINE static V widen8(const void *p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i *>(p))); }
  EDGEC_INLINE static void narrow8(void *p, V a) { _mm_storel_epi64(static_cast<__m128i *>(p), narrowed(a)); }
  EDGEC_INLINE static V widen8_head(const void *p, int32_t count) {
    const uint8_t *const from = static_cast<const uint8_t *>(p);
    uint64_t bytes = 0;
    int32_t at = 0;
    if (count & 4) {
      uint32_t dword;
      __builtin_memcpy(&dword, from, 4);
      bytes = dword;
      at = 4;
    }
    if (count & 2) {
      uint16_t word;
      __builtin_memcpy(&word, from + at, 2);
      bytes |= static_cast<uint64_t>(word) << (8 * at);
      at += 2;
    }
    if (count & 1) {
      bytes |= static_cast<uint64_t>(from[at]) << (8 * at);
    }
    return _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)));
  }
  EDGEC_INLINE static void narrow8_head(void *p, V a, int32_t count) {
    uint8_t *to = static_cast<uint8_t *>(p);
    uint64_t bytes = static_cast<uint64_t>(_mm_cvtsi128_si64(narrowed(a)));
    if (count & 4) {
      __builtin_memcpy(to, &bytes, 4);
      bytes >>= 32;
      to += 4;
    }
    if (count & 2) {
      __builtin_memcpy(to, &bytes, 2);
      bytes >>= 16;
      to += 2;
    }
    if (count & 1) {
      *to = static_cast<uint8_t>(bytes);
    }
  }
  EDGEC_INLINE static __m128i narrowed(V a) {
    const __m128i words = _mm_packs_epi32(piece<0>(a), piece<1>(a));
    return _mm_packs_epi16(words, words);
  }
  EDGEC_INLINE static V gather32(const int32_t *table, V index) { return _mm256_i32gather_epi32(table, index, 4); }
  template <int I> EDGEC_INLINE static __m128i piece(V a) { return _mm256_extracti128_si256(a, I); }
  EDGEC_INLINE static V join(__m128i a, __m128i b) { return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1); }
};

}  // namespace

#endif
