// argmax: along a run of bytes their extreme and then where it lies, or index by index with neighbours in lanes.
#ifndef EDGEC_PLAIN_ARGMAX_H
#define EDGEC_PLAIN_ARGMAX_H

#include "kernels/argmax/argmax.h"
#include "kernels/plain/plain_vectors.h"

namespace {

// Of `depth` bytes side by side.
EDGEC_PLAIN int32_t argmax_of_run(const int8_t *x, int32_t depth, const edgec_argmax_params &p) {
  const int8_t flip = static_cast<int8_t>(-p.least);  // ~q turns the order around
  int8_t best = INT8_MIN;
  for (int32_t d = 0; d < depth; d++) {
    const int8_t q = static_cast<int8_t>(x[d] ^ flip);
    best = q > best ? q : best;
  }
  best = static_cast<int8_t>(best ^ flip);
  if (p.last == 0) {
    return static_cast<int32_t>(static_cast<const int8_t *>(__builtin_memchr(x, static_cast<uint8_t>(best), static_cast<unsigned long>(depth))) - x);
  }
  int32_t found = depth - 1;
  while (x[found] != best) {
    found--;
  }
  return found;
}

EDGEC_PLAIN void plain_argmax(const void *params, uint8_t *const *operands) {
  const edgec_argmax_params &p = *static_cast<const edgec_argmax_params *>(static_cast<const edgec_host_plain_step *>(params)->params);
  const int8_t *x = reinterpret_cast<const int8_t *>(operands[0]);
  uint8_t *y = operands[2];
  for (int32_t o = 0; o < p.outer; o++, x += p.depth * p.inner, y += 4 * p.inner) {
    if (p.inner == 1) {
      const int32_t found = argmax_of_run(x, p.depth, p);
      __builtin_memcpy(y, &found, 4);
      continue;
    }
    const auto among = [&](int32_t i, int32_t count) __attribute__((always_inline)) {
      const PlainWords none = {};
      PlainWords best = none + INT32_MIN, found = none;
      for (int32_t d = 0; d < p.depth; d++) {
        const int8_t *const from = x + d * p.inner + i;
        const PlainWords q = (count < plain_lanes ? plain_load(from, count) : plain_load(from)) ^ -p.least;
        const PlainWords better = q + p.last > best;
        best = better ? q : best;
        found = better ? none + d : found;
      }
      __builtin_memcpy(y + 4 * i, &found, static_cast<unsigned long>(4 * count));
    };
    plain_pieces(p.inner, [&](int32_t i) __attribute__((always_inline)) { among(i, plain_lanes); },
                 [&](int32_t count) __attribute__((always_inline)) { among(0, count); });
  }
}

}  // namespace

#endif
