// From accumulators to stored words or bytes, for tiers whose element is an int16 (needs Simd before it).
#ifndef EDGEC_SIMD_EPILOGUE_S16_H
#define EDGEC_SIMD_EPILOGUE_S16_H

#include "kernels/simd/residual.h"

namespace {

using V = Simd::V;

struct Epilogue {
  V round, zero16, low, high, shift_low, shift_high, add_pair, add_offset, add_low, add_high;
  int32_t shift, narrow, add, add_shift, kind;

  EDGEC_INLINE explicit Epilogue(const edgec_host_requantize &q)
      : round(Simd::set64(static_cast<int64_t>(q.zero_point) * (int64_t(1) << 32) + (int64_t(1) << 31))),
        zero16(Simd::set16(2 * q.zero_point)), low(Simd::set16(q.low)), high(Simd::set16(q.high)),
        shift_low(Simd::set32(-(INT32_MAX >> q.shift) - 1)), shift_high(Simd::set32(INT32_MAX >> q.shift)),
        add_pair(Simd::set32(residual_pair(q))), add_offset(Simd::set32(residual_offset(q, 0))), add_low(Simd::set16(q.add_low)),
        add_high(Simd::set16(q.add_high)), shift(q.shift + (q.add == EDGEC_RESIDUAL_SUMMED)),
        narrow(q.narrow), add(q.add), add_shift(q.add_shift), kind(q.kind) {}

  EDGEC_INLINE static V scaled(V acc, const int32_t *multiplier) {
    const V even = Simd::mul_even(acc, Simd::load(multiplier));
    const V odd = Simd::mul_even(Simd::odd_to_even(acc), Simd::load(multiplier + Simd::lanes));
    return Simd::high_halves(even, odd);
  }
  EDGEC_INLINE V rounded(V acc, const int32_t *multiplier) const {
    const V even = Simd::add64(Simd::mul_even(acc, Simd::load(multiplier)), round);
    const V odd = Simd::add64(Simd::mul_even(Simd::odd_to_even(acc), Simd::load(multiplier + Simd::lanes)), round);
    return Simd::high_halves(even, odd);
  }
  EDGEC_INLINE V shifted(V acc) const { return Simd::shift_left32(Simd::min32(Simd::max32(acc, shift_low), shift_high), shift); }

  // Two accumulators to one register of int16 q: word 8 l + 4 j + i is element i of lane l of accumulator j.
  EDGEC_INLINE V requantize(V a0, V a1, const int32_t *m0, const int32_t *m1) const {
    if (__builtin_expect(shift != 0, 0)) {
      a0 = shifted(a0);
      a1 = shifted(a1);
    }
    V words;
    if (__builtin_expect(narrow != 0, 1)) {
      words = Simd::halve16(Simd::adds16(Simd::pack32(scaled(a0, m0), scaled(a1, m1)), zero16));
    } else {
      words = Simd::pack32(rounded(a0, m0), rounded(a1, m1));
    }
    return Simd::min16(Simd::max16(words, low), high);
  }

  // The same of sums with the int16 residual beside them.
  EDGEC_INLINE V requantize_sums(V a0, V a1, const int32_t *m0, const int32_t *m1, V other) const {
    const V other7 = Simd::shift_left16(other);
    const V s0 = summed(scaled(Simd::shift_left32(a0, shift), m0), Simd::low16(other, other7));
    const V s1 = summed(scaled(Simd::shift_left32(a1, shift), m1), Simd::high16(other, other7));
    return Simd::min16(Simd::max16(Simd::pack32(s0, s1), low), high);
  }
  EDGEC_INLINE V summed(V a, V pair) const { return Simd::shift_right_sum(Simd::add32(Simd::add32(a, add_offset), Simd::madd16(pair, add_pair))); }

  EDGEC_INLINE V with_residual(V own, V other) const {
    const V s0 = Simd::shift_right32(Simd::add32(Simd::madd16(Simd::low16(own, other), add_pair), add_offset), add_shift);
    const V s1 = Simd::shift_right32(Simd::add32(Simd::madd16(Simd::high16(own, other), add_pair), add_offset), add_shift);
    return Simd::min16(Simd::max16(Simd::pack32(s0, s1), add_low), add_high);
  }
};

// `count` elements of q as words or as bytes.
EDGEC_INLINE void store_elements(uint8_t *to, V q, int32_t count, int32_t kind) {
  if (__builtin_expect(kind == EDGEC_KIND_S16, 1)) {
    if (count >= 16) {
      Simd::store(to, q);
    } else {
      Simd::store_head(to, q, 2 * count);
    }
    return;
  }
  const __m128i bytes = _mm_packs_epi16(Simd::piece<0>(q), Simd::piece<1>(q));
  if (count >= 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(to), bytes);
  } else {
    Simd::store_head(to, _mm256_castsi128_si256(bytes), count);
  }
}

// `count` (at most 8) elements of a half register.
EDGEC_INLINE void store_half(uint8_t *to, __m128i q, int32_t count, int32_t kind) {
  const __m128i v = kind == EDGEC_KIND_S16 ? q : _mm_packs_epi16(q, q);
  const int32_t bytes = kind == EDGEC_KIND_S16 ? 2 * count : count;
  if (__builtin_expect(count >= 8 && kind == EDGEC_KIND_S16, 1)) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(to), v);
  } else {
    Simd::store_head(to, _mm256_castsi128_si256(v), bytes < 16 ? bytes : 16);
  }
}

}  // namespace

#endif
