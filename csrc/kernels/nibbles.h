/* Weights of 4 bits in [-8, 7], two a byte: the first in the low half. Inner product of the reference kernels. */
#ifndef EDGEC_NIBBLES_H
#define EDGEC_NIBBLES_H

#include "dot.h"

static inline int32_t edgec_low_nibble(int8_t byte) { return (int32_t)((uint32_t)byte << 28) >> 28; }

static inline int32_t edgec_high_nibble(int8_t byte) { return (int32_t)byte >> 4; }

/* Weight `index` of a row that begins at a byte. */
static inline int32_t edgec_nibble(const int8_t *row, int32_t index) {
  const int8_t byte = row[index / 2];
  return index % 2 != 0 ? edgec_high_nibble(byte) : edgec_low_nibble(byte);
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
