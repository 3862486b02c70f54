/* Parameters of the convolution family: members in the order of `fields` in edgec/ops/conv.py. */
#ifndef EDGEC_CONV_H
#define EDGEC_CONV_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_conv2d_params {
  int32_t in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w;
  int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t groups;
  int32_t in_zero_point, out_zero_point, clamp_min, clamp_max, shift;
  int32_t weight_bits; /* 8 or 4 */
} edgec_conv2d_params;

/* The convolution's own members are those of edgec_conv2d_params: edgec_conv2d_of. */
typedef struct edgec_conv2d_add_params {
  int32_t in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w;
  int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t groups;
  int32_t in_zero_point, out_zero_point, clamp_min, clamp_max, shift;
  int32_t weight_bits; /* 8 */
  int32_t residual_multiplier, residual_offset;
} edgec_conv2d_add_params;

typedef char edgec_assert_conv2d_first[offsetof(edgec_conv2d_add_params, residual_multiplier) == sizeof(edgec_conv2d_params) ? 1 : -1];

typedef struct edgec_depthwise_conv2d_params {
  int32_t in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w;
  int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  int32_t in_zero_point, out_zero_point, clamp_min, clamp_max, shift;
  int32_t weight_bits; /* 8 or 4 */
} edgec_depthwise_conv2d_params;

static inline const edgec_conv2d_params *edgec_conv2d_of(const edgec_conv2d_add_params *p) {
  return (const edgec_conv2d_params *)(const void *)p;
}

/* Everything but the sizes of constants and scratch, which follow from a kernel's packing. */
int edgec_conv2d_is_valid(const void *params, const edgec_sizes *sizes);
int edgec_conv2d_add_is_valid(const void *params, const edgec_sizes *sizes);
int edgec_depthwise_conv2d_is_valid(const void *params, const edgec_sizes *sizes);

/* The same with constants in canonical order, weights of 8 bits. */
int edgec_conv2d_check(const void *params, const edgec_sizes *sizes);
int edgec_conv2d_add_check(const void *params, const edgec_sizes *sizes);
int edgec_depthwise_conv2d_check(const void *params, const edgec_sizes *sizes);

/* The same with weights of 4 bits, two a byte: of conv2d each output channel, of depthwise_conv2d each tap begins at a byte;
 * biases are int16. */
int edgec_conv2d_nibbles_check(const void *params, const edgec_sizes *sizes);
int edgec_depthwise_conv2d_nibbles_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
