/* Elements of 8 or 16 bits at any address. */
#ifndef EDGEC_WIDE_ELEMENTS_H
#define EDGEC_WIDE_ELEMENTS_H

#include <stddef.h>

#include "../fixed.h"
#include "../span.h"
#include "wide.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);

static inline int32_t element_at(const int8_t *x, int32_t bits) {
  int16_t value;
  if (bits == 8) {
    return *x;
  }
  memcpy(&value, x, sizeof value);
  return value;
}

static inline void put(int8_t *y, int32_t bits, int32_t value) {
  const int16_t half = (int16_t)value;
  if (bits == 8) {
    *y = (int8_t)value;
  } else {
    memcpy(y, &half, sizeof half);
  }
}

/* A clamp narrower than what the stores saturate to. least: of 16 bits. */
static inline void clamp_wide(const edgec_conv2d_s16_params *p, int8_t *y, int32_t count, int32_t least) {
  const int32_t bits = p->out_bits;
  if (p->clamp_min > (bits == 8 ? INT8_MIN : least) || p->clamp_max < (bits == 8 ? INT8_MAX : INT16_MAX)) {
    for (int32_t i = 0; i < count; i++) {
      put(y, bits, edgec_clamp(element_at(y, bits), p->clamp_min, p->clamp_max));
      y += bits / 8;
    }
  }
}

#endif
