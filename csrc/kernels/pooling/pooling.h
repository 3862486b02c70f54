/* Parameters of the pooling family: members in the order of `fields` in edgec/ops/pooling.py. */
#ifndef EDGEC_POOLING_H
#define EDGEC_POOLING_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_average_pool2d_params {
  int32_t in_h, in_w, channels, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int32_t in_zero_point, out_zero_point, clamp_min, clamp_max, shift, multipliers;
} edgec_average_pool2d_params;

typedef struct edgec_max_pool2d_params {
  int32_t in_h, in_w, channels, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int32_t clamp_min, clamp_max;
} edgec_max_pool2d_params;

/* The part [first, last) of a window that lies inside [0, size). */
typedef struct edgec_span {
  int32_t first, last;
} edgec_span;

static inline edgec_span edgec_span_inside(int32_t origin, int32_t kernel, int32_t size) {
  const edgec_span s = {origin < 0 ? 0 : origin, origin + kernel > size ? size : origin + kernel};
  return s;
}

int edgec_average_pool2d_check(const void *params, const edgec_sizes *sizes);
int edgec_max_pool2d_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
