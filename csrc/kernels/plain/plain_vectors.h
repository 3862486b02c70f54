// What kernels over the artifact's own int8 bytes share: vector types of int32 lanes (GCC and Clang). Needs the tier's Simd before it.
#ifndef EDGEC_PLAIN_VECTORS_H
#define EDGEC_PLAIN_VECTORS_H

#include <cstdint>

#include "host/plain_tier.h"

#define EDGEC_PLAIN __attribute__((always_inline)) inline

namespace {

constexpr int plain_lanes = Simd::lanes;
using PlainWords = int32_t __attribute__((vector_size(4 * plain_lanes)));
using PlainUnsigned = uint32_t __attribute__((vector_size(4 * plain_lanes)));  // what may wrap, as an altered table can make it

EDGEC_PLAIN PlainWords plain_load(const int8_t *p) { return reinterpret_cast<PlainWords>(Simd::widen8(p)); }
EDGEC_PLAIN void plain_store(int8_t *p, PlainWords words) { Simd::narrow8(p, reinterpret_cast<Simd::V>(words)); }
// The first `count` < plain_lanes.
EDGEC_PLAIN PlainWords plain_load(const int8_t *p, int32_t count) { return reinterpret_cast<PlainWords>(Simd::widen8_head(p, count)); }
EDGEC_PLAIN void plain_store(int8_t *p, PlainWords words, int32_t count) { Simd::narrow8_head(p, reinterpret_cast<Simd::V>(words), count); }
EDGEC_PLAIN PlainWords plain_clamp(PlainWords v, int32_t low, int32_t high) {
  return reinterpret_cast<PlainWords>(Simd::min32(Simd::max32(reinterpret_cast<Simd::V>(v), Simd::set32(low)), Simd::set32(high)));
}
EDGEC_PLAIN PlainWords plain_gather(const int32_t *table, PlainWords index) {
  return reinterpret_cast<PlainWords>(Simd::gather32(table, reinterpret_cast<Simd::V>(index)));
}
EDGEC_PLAIN int32_t plain_clamp(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }
EDGEC_PLAIN int32_t plain_least(int32_t a, int32_t b) { return a < b ? a : b; }

// A loop with this on its values stays one of scalars: where it is short, or where gathers would be slower than loads.
template <typename T> EDGEC_PLAIN void plain_keep(T &value) { __asm__("" : "+r"(value)); }

// piece(i) for vectors of a row's elements, of which the last two may overlap; rest(count) for a row that fills none.
template <typename F, typename G> EDGEC_PLAIN void plain_pieces(int32_t size, const F &piece, const G &rest) {
  if (size < plain_lanes) {
    rest(size);
    return;
  }
  int32_t i = 0;
  for (; i + plain_lanes <= size; i += plain_lanes) {
    piece(i);
  }
  if (i < size) {
    piece(size - plain_lanes);
  }
}

// docs/SPEC.md requantize with one multiplier.
struct PlainScale {
  int32_t multiplier, shift, shift_low, shift_high, zero_point, low, high;
};
EDGEC_PLAIN PlainWords plain_requantize(PlainWords acc, PlainWords multiplier, const PlainScale &s) {
  if (s.shift != 0) {
    acc = plain_clamp(acc, s.shift_low, s.shift_high) * (1 << s.shift);
  }
#if defined(__x86_64__)
  const Simd::V m = reinterpret_cast<Simd::V>(multiplier), round = Simd::set64(INT64_C(0x80000000)), v = reinterpret_cast<Simd::V>(acc);
  const Simd::V even = Simd::add64(Simd::mul_even(v, m), round), odd = Simd::add64(Simd::mul_even(Simd::odd_to_even(v), Simd::odd_to_even(m)), round);
  const PlainWords high = reinterpret_cast<PlainWords>(Simd::high_halves(even, odd));
#else
  PlainWords high;
  for (int i = 0; i < plain_lanes; i++) {
    high[i] = static_cast<int32_t>((static_cast<int64_t>(acc[i]) * multiplier[i] + INT64_C(0x80000000)) >> 32);
  }
#endif
  return plain_clamp(high + s.zero_point, s.low, s.high);
}
EDGEC_PLAIN PlainWords plain_requantize(PlainWords acc, const PlainScale &s) {
  const PlainWords none = {};
  return plain_requantize(acc, none + s.multiplier, s);
}

}  // namespace

#endif
