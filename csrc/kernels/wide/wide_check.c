/* What the loader asks before an operator with activations of 16 bits may run. */
#include "wide.h"

static int axis_is_valid(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t dilation, int32_t pad) {
  const int32_t limit = 0x7fff;
  return edgec_within(in, 1, limit) && edgec_within(out, 1, limit) && edgec_within(kernel, 1, limit) &&
         edgec_within(stride, 1, limit) && edgec_within(dilation, 1, limit) && edgec_within(pad, 0, limit) &&
         pad <= (kernel - 1) * dilation && (out - 1) * stride - pad < in;
}

static int bits_are_valid(int32_t bits) { return bits == 8 || bits == 16; }

static int value_is_valid(int32_t value, int32_t bits) {
  return bits_are_valid(bits) && edgec_within(value, bits == 8 ? INT8_MIN : INT16_MIN, bits == 8 ? INT8_MAX : INT16_MAX);
}

static int clamp_is_valid(int32_t low, int32_t high, int32_t bits) {
  return low <= high && value_is_valid(low, bits) && value_is_valid(high, bits);
}

static int counts_are(const edgec_sizes *s, int inputs, int constants, size_t bytes) {
  return s->input_count == inputs && s->output_count == 1 && s->constant_count == constants && s->param_count == bytes / 4;
}

/* Bytes of a tensor of so many elements. */
static uint32_t bytes_of(uint32_t elements, int32_t bits) { return bits == 8 || elements > INT32_MAX ? elements : elements * 2u; }

int edgec_conv2d_s16_check(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_s16_params *const p = params;
  if (!counts_are(s, 1, 3, sizeof *p) ||
      !axis_is_valid(p->in_h, p->out_h, p->kernel_h, p->stride_h, p->dilation_h, p->pad_top) ||
      !axis_is_valid(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left) ||
      !value_is_valid(p->in_zero_point, p->in_bits) || !value_is_valid(p->out_zero_point, p->out_bits) ||
      !clamp_is_valid(p->clamp_min, p->clamp_max, p->out_bits) || !edgec_within(p->narrow, 0, 24) || !edgec_within(p->shift, 0, 24)) {
    return 0;
  }
  if (!edgec_within(p->in_c, 1, 0xffff) || !edgec_within(p->out_c, 1, 0xffff) || p->groups < 1 || p->in_c % p->groups != 0 ||
      p->out_c % p->groups != 0 || edgec_volume(p->kernel_h, p->kernel_w, p->in_c / p->groups) >= 0x01000000u) {
    return 0;
  }
  return s->input[0] == bytes_of(edgec_volume(p->in_h, p->in_w, p->in_c), p->in_bits) &&
         s->output[0] == bytes_of(edgec_volume(p->out_h, p->out_w, p->out_c), p->out_bits) &&
         s->constant[0] == edgec_volume(p->out_c, p->kernel_h * p->kernel_w, p->in_c / p->groups) &&
         s->constant[1] == (uint32_t)p->out_c * 4u && s->constant[2] == (uint32_t)p->out_c * 4u;
}

int edgec_average_pool2d_s16_check(const void *params, const edgec_sizes *s) {
  const edgec_average_pool2d_s16_params *const p = params;
  if (!counts_are(s, 1, 1, sizeof *p) || !axis_is_valid(p->in_h, p->out_h, p->kernel_h, p->stride_h, 1, p->pad_top) ||
      !axis_is_valid(p->in_w, p->out_w, p->kernel_w, p->stride_w, 1, p->pad_left) || !edgec_within(p->channels, 1, 0xffff) ||
      edgec_area(p->kernel_h, p->kernel_w) > 0x8000u || !value_is_valid(p->in_zero_point, p->in_bits) ||
      !value_is_valid(p->out_zero_point, p->out_bits) || !clamp_is_valid(p->clamp_min, p->clamp_max, p->out_bits) ||
      !edgec_within(p->shift, 0, 24)) {
    return 0;
  }
  return (p->multipliers == 1 || p->multipliers == p->kernel_h * p->kernel_w) && s->constant[0] == (uint32_t)p->multipliers * 4u &&
         s->input[0] == bytes_of(edgec_volume(p->in_h, p->in_w, p->channels), p->in_bits) &&
         s->output[0] == bytes_of(edgec_volume(p->out_h, p->out_w, p->channels), p->out_bits);
}

int edgec_add_s16_check(const void *params, const edgec_sizes *s) {
  const edgec_add_s16_params *const p = params;
  return counts_are(s, 2, 0, sizeof *p) && p->count >= 1 && edgec_within(p->shift, 1, 30) && bits_are_valid(p->a_bits) &&
         bits_are_valid(p->b_bits) && clamp_is_valid(p->clamp_min, p->clamp_max, p->out_bits) &&
         s->input[0] == bytes_of((uint32_t)p->count, p->a_bits) && s->input[1] == bytes_of((uint32_t)p->count, p->b_bits) &&
         s->output[0] == bytes_of((uint32_t)p->count, p->out_bits);
}

int edgec_rescale_s16_check(const void *params, const edgec_sizes *s) {
  const edgec_rescale_s16_params *const p = params;
  return counts_are(s, 1, 0, sizeof *p) && p->count >= 1 && edgec_within(p->shift, 0, 24) && p->multiplier >= 0 &&
         value_is_valid(p->in_zero_point, p->in_bits) && value_is_valid(p->out_zero_point, p->out_bits) &&
         clamp_is_valid(p->clamp_min, p->clamp_max, p->out_bits) && s->input[0] == bytes_of((uint32_t)p->count, p->in_bits) &&
         s->output[0] == bytes_of((uint32_t)p->count, p->out_bits);
}
