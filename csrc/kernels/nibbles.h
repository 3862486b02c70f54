/* Weights of 4 bits in [-8, 7], two a byte: the first in the low half. */
#ifndef EDGEC_NIBBLES_H
#define EDGEC_NIBBLES_H

#include <stdint.h>

static inline int32_t edgec_low_nibble(int8_t byte) { return (int32_t)((uint32_t)byte << 28) >> 28; }

static inline int32_t edgec_high_nibble(int8_t byte) { return (int32_t)byte >> 4; }

/* Weight `index` of a row that begins at a byte. */
static inline int32_t edgec_nibble(const int8_t *row, int32_t index) {
  const int8_t byte = row[index / 2];
  return index % 2 != 0 ? edgec_high_nibble(byte) : edgec_low_nibble(byte);
}

#endif
