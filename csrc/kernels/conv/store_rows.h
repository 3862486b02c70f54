// The end of a depthwise block, for tiers whose element is a byte. After Simd and its epilogue.
#ifndef EDGEC_CONV_STORE_ROWS_H
#define EDGEC_CONV_STORE_ROWS_H

#include "kernels/simd/row_end.h"

namespace {

// A block of NR rows: requantized, stored, `left` bytes of it at most.
template <int form, int NR>
EDGEC_INLINE void store_rows_as(const Epilogue &e, V (&acc)[NR][4], const int32_t *multiplier, uint8_t *output, intptr_t row_bytes, int32_t left) {
  e.scale<form>(acc, multiplier);
  unroll<NR>([&](auto r) EDGEC_LAMBDA {
    const V q = e.stored(e.pack<form>(acc[r][0], acc[r][1], acc[r][2], acc[r][3]));
    store_up_to(output + r * row_bytes, q, left);
  });
}
template <int NR>
EDGEC_INLINE void store_rows(const Epilogue &e, V (&acc)[NR][4], const int32_t *multiplier, uint8_t *output, intptr_t row_bytes, int32_t left) {
  if (__builtin_expect(e.narrow, 1)) {
    store_rows_as<NARROW>(e, acc, multiplier, output, row_bytes, left);
  } else {
    store_rows_as<ROUNDED>(e, acc, multiplier, output, row_bytes, left);
  }
}

}  // namespace

#endif
