/* Operators with activations of 16 bits: members in the order of `fields` in edgec/ops/wide.py. */
#ifndef EDGEC_WIDE_H
#define EDGEC_WIDE_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_conv2d_s16_params {
  int32_t in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w;
  int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t groups;
  int32_t in_zero_point, out_zero_point, clamp_min, clamp_max, narrow, shift, in_bits, out_bits;
} edgec_conv2d_s16_params;

typedef struct edgec_average_pool2d_s16_params {
  int32_t in_h, in_w, channels, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int32_t in_zero_point, out_zero_point, clamp_min, clamp_max, shift, multipliers, in_bits, out_bits;
} edgec_average_pool2d_s16_params;

typedef struct edgec_add_s16_params {
  int32_t count, multiplier_a, multiplier_b, offset_high, offset_low, shift, clamp_min, clamp_max, a_bits, b_bits, out_bits;
} edgec_add_s16_params;

typedef struct edgec_rescale_s16_params {
  int32_t count, in_zero_point, out_zero_point, clamp_min, clamp_max, multiplier, shift, in_bits, out_bits;
} edgec_rescale_s16_params;

int edgec_conv2d_s16_check(const void *params, const edgec_sizes *sizes);
int edgec_average_pool2d_s16_check(const void *params, const edgec_sizes *sizes);
int edgec_add_s16_check(const void *params, const edgec_sizes *sizes);
int edgec_rescale_s16_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
