/* The part of a pooling window that lies inside the input, along one axis: never empty where the check passed. */
#ifndef EDGEC_SPAN_H
#define EDGEC_SPAN_H

#include <stdint.h>

/* [first, last) of [0, size). */
typedef struct edgec_span {
  int32_t first, last;
} edgec_span;

static inline edgec_span edgec_span_inside(int32_t origin, int32_t kernel, int32_t size) {
  const edgec_span s = {origin < 0 ? 0 : origin, origin + kernel > size ? size : origin + kernel};
  return s;
}

#endif
