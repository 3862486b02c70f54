/* The inner product of the reference kernels: two output channels a time, so that every input byte is read for both. */
#ifndef EDGEC_DOT_H
#define EDGEC_DOT_H

#include "fixed.h"
#include "nibbles.h"

/* Accumulators of two output channels; where there is only one, both take its weights and b is not used. */
typedef struct edgec_pair {
  int32_t a, b;
} edgec_pair;

static inline edgec_pair edgec_mac_pair(edgec_pair acc, int32_t x, int32_t w, int32_t second) {
  acc.a = edgec_mac(acc.a, x, w);
  acc.b = edgec_mac(acc.b, x, second);
  return acc;
}

/* count values at x times weights at w and at second. */
static inline edgec_pair edgec_dot(const int8_t *x, const int8_t *w, const int8_t *second, int32_t count, edgec_pair acc) {
  const int8_t *const end = x + count;
  const int8_t *const unrolled = x + (count & ~3);
  while (x != unrolled) {
    acc = edgec_mac_pair(acc, x[0], w[0], second[0]);
    acc = edgec_mac_pair(acc, x[1], w[1], second[1]);
    acc = edgec_mac_pair(acc, x[2], w[2], second[2]);
    acc = edgec_mac_pair(acc, x[3], w[3], second[3]);
    x += 4;
    w += 4;
    second += 4;
  }
  while (x != end) {
    acc = edgec_mac_pair(acc, *x++, *w++, *second++);
  }
  return acc;
}

/* count values at x times the weights [index, index + count) of the rows w and second. */
static inline edgec_pair edgec_dot_nibbles(const int8_t *x, const int8_t *w, const int8_t *second, int32_t index, int32_t count,
                                           edgec_pair acc) {
  const int8_t *const end = x + count;
  w += index / 2;
  second += index / 2;
  if (index % 2 != 0 && x != end) {
    acc = edgec_mac_pair(acc, *x++, edgec_high_nibble(*w++), edgec_high_nibble(*second++));
  }
  for (const int8_t *const paired = x + (end - x) / 2 * 2; x != paired; x += 2) {
    const int8_t a = *w++;
    const int8_t b = *second++;
    acc = edgec_mac_pair(acc, x[0], edgec_low_nibble(a), edgec_low_nibble(b));
    acc = edgec_mac_pair(acc, x[1], edgec_high_nibble(a), edgec_high_nibble(b));
  }
  if (x != end) {
    acc = edgec_mac_pair(acc, *x, edgec_low_nibble(*w), edgec_low_nibble(*second));
  }
  return acc;
}

#endif
