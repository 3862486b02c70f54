/* Parameters of the pooling family: members in the order of `fields` in edgec/ops/pooling.py. */
#ifndef EDGEC_POOLING_H
#define EDGEC_POOLING_H

#include "../../runtime/kernel.h"
#include "../span.h"

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

int edgec_average_pool2d_check(const void *params, const edgec_sizes *sizes);
int edgec_max_pool2d_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
