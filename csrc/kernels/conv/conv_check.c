/* What the loader asks before a convolution may run: sizes that follow from each other, windows that touch the input. */
#include "conv.h"

/* One axis: every window starts before the input ends, and padding is within the kernel's reach. */
static int axis_is_valid(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t dilation, int32_t pad) {
  const int32_t limit = 0x7fff;
  if (!edgec_within(in, 1, limit) || !edgec_within(out, 1, limit) || !edgec_within(kernel, 1, limit) ||
      !edgec_within(stride, 1, limit) || !edgec_within(dilation, 1, limit) || !edgec_within(pad, 0, limit)) {
    return 0;
  }
  return pad <= (kernel - 1) * dilation && (out - 1) * stride - pad < in;
}

static int epilogue_is_valid(int32_t in_zero_point, int32_t out_zero_point, int32_t low, int32_t high, int32_t shift) {
  return edgec_within(in_zero_point, INT8_MIN, INT8_MAX) && edgec_within(out_zero_point, INT8_MIN, INT8_MAX) &&
         edgec_within(low, INT8_MIN, high) && edgec_within(high, low, INT8_MAX) && edgec_within(shift, 0, 24);
}

static int counts_are(const edgec_sizes *s, uint8_t inputs, uint8_t params) {
  return s->input_count == inputs && s->output_count == 1 && s->constant_count == 3 && s->param_count == params;
}

/* What a convolution asks of its parameters and of the sizes of its first input and its output. */
static int conv2d_is_valid(const edgec_conv2d_params *p, const edgec_sizes *s) {
  if (!axis_is_valid(p->in_h, p->out_h, p->kernel_h, p->stride_h, p->dilation_h, p->pad_top) ||
      !axis_is_valid(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left) ||
      !epilogue_is_valid(p->in_zero_point, p->out_zero_point, p->clamp_min, p->clamp_max, p->shift) ||
      (p->weight_bits != 8 && p->weight_bits != 4)) {
    return 0;
  }
  if (!edgec_within(p->in_c, 1, 0xffff) || !edgec_within(p->out_c, 1, 0xffff) || p->groups < 1 ||
      p->in_c % p->groups != 0 || p->out_c % p->groups != 0) {
    return 0;
  }
  const uint32_t window = edgec_volume(p->kernel_h, p->kernel_w, p->in_c / p->groups);
  return window < 0x01000000u && s->input[0] == edgec_volume(p->in_h, p->in_w, p->in_c) &&
         s->output[0] == edgec_volume(p->out_h, p->out_w, p->out_c);
}

int edgec_conv2d_is_valid(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_params *const p = params;
  return counts_are(s, 1, (uint8_t)(sizeof *p / 4)) && conv2d_is_valid(p, s);
}

/* Bounds of the residual's multiplier and of the offset keep every sum in int32. */
int edgec_conv2d_add_is_valid(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_add_params *const p = params;
  return counts_are(s, 2, (uint8_t)(sizeof *p / 4)) && p->weight_bits == 8 &&
         edgec_within(p->residual_multiplier, -0x100000, 0x100000) &&
         edgec_within(p->residual_offset, -0x10000000, 0x10000000) && conv2d_is_valid(edgec_conv2d_of(p), s) &&
         s->input[1] == s->output[0];
}

/* bias_bytes: 4, or 2 beside weights of 4 bits. */
static int epilogue_is_there(const edgec_sizes *s, int32_t channels, uint32_t bias_bytes) {
  return s->constant[1] == (uint32_t)channels * bias_bytes && s->constant[2] == (uint32_t)channels * 4u;
}

/* Constants in canonical order, weights of 8 bits. */
static int constants_are_there(const edgec_conv2d_params *p, const edgec_sizes *s) {
  return epilogue_is_there(s, p->out_c, 4u) &&
         s->constant[0] == edgec_volume(p->out_c, p->kernel_h * p->kernel_w, p->in_c / p->groups);
}

int edgec_conv2d_check(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_params *const p = params;
  return edgec_conv2d_is_valid(params, s) && p->weight_bits == 8 && constants_are_there(p, s);
}

int edgec_conv2d_add_check(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_add_params *const p = params;
  return edgec_conv2d_add_is_valid(params, s) && constants_are_there(edgec_conv2d_of(p), s);
}

int edgec_conv2d_nibbles_check(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_params *const p = params;
  return edgec_conv2d_is_valid(params, s) && p->weight_bits == 4 && epilogue_is_there(s, p->out_c, 2u) &&
         s->constant[0] == edgec_area(p->out_c, (p->kernel_h * p->kernel_w * (p->in_c / p->groups) + 1) / 2);
}

int edgec_depthwise_conv2d_is_valid(const void *params, const edgec_sizes *s) {
  const edgec_depthwise_conv2d_params *const p = params;
  if (!counts_are(s, 1, (uint8_t)(sizeof *p / 4)) ||
      !axis_is_valid(p->in_h, p->out_h, p->kernel_h, p->stride_h, p->dilation_h, p->pad_top) ||
      !axis_is_valid(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left) ||
      !epilogue_is_valid(p->in_zero_point, p->out_zero_point, p->clamp_min, p->clamp_max, p->shift) ||
      (p->weight_bits != 8 && p->weight_bits != 4)) {
    return 0;
  }
  if (!edgec_within(p->in_c, 1, 0xffff) || !edgec_within(p->out_c, 1, 0xffff) || p->out_c % p->in_c != 0) {
    return 0;
  }
  return s->input[0] == edgec_volume(p->in_h, p->in_w, p->in_c) && s->output[0] == edgec_volume(p->out_h, p->out_w, p->out_c);
}

int edgec_depthwise_conv2d_check(const void *params, const edgec_sizes *s) {
  const edgec_depthwise_conv2d_params *const p = params;
  return edgec_depthwise_conv2d_is_valid(params, s) && p->weight_bits == 8 && epilogue_is_there(s, p->out_c, 4u) &&
         s->constant[0] == edgec_volume(p->kernel_h, p->kernel_w, p->out_c);
}

int edgec_depthwise_conv2d_nibbles_check(const void *params, const edgec_sizes *s) {
  const edgec_depthwise_conv2d_params *const p = params;
  return edgec_depthwise_conv2d_is_valid(params, s) && p->weight_bits == 4 && epilogue_is_there(s, p->out_c, 2u) &&
         s->constant[0] == edgec_volume(p->kernel_h, p->kernel_w, (p->out_c + 1) / 2);
}
