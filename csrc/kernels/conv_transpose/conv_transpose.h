/* Parameters of conv_transpose2d: members in the order of `fields` in edgec/ops/conv_transpose.py. */
#ifndef EDGEC_CONV_TRANSPOSE_H
#define EDGEC_CONV_TRANSPOSE_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_conv_transpose2d_params {
  int32_t in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w;
  int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t groups;
  int32_t in_zero_point, out_zero_point, clamp_min, clamp_max, shift;
} edgec_conv_transpose2d_params;

int edgec_conv_transpose2d_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
