/* What the loader asks before a pooling may run: every window touches the input. */
#include "pooling.h"

static int axis_is_valid(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad) {
  const int32_t limit = 0x7fff;
  return edgec_within(in, 1, limit) && edgec_within(out, 1, limit) && edgec_within(kernel, 1, limit) &&
         edgec_within(stride, 1, limit) && edgec_within(pad, 0, kernel - 1) && (out - 1) * stride - pad < in;
}

int edgec_average_pool2d_check(const void *params, const edgec_sizes *s) {
  const edgec_average_pool2d_params *const p = params;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 1 || s->param_count != sizeof *p / 4 ||
      !axis_is_valid(p->in_h, p->out_h, p->kernel_h, p->stride_h, p->pad_top) ||
      !axis_is_valid(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->pad_left) ||
      !edgec_within(p->channels, 1, 0xffff) || edgec_area(p->kernel_h, p->kernel_w) > 0x400000u ||
      !edgec_within(p->in_zero_point, INT8_MIN, INT8_MAX) || !edgec_within(p->out_zero_point, INT8_MIN, INT8_MAX) ||
      !edgec_within(p->clamp_min, INT8_MIN, p->clamp_max) || !edgec_within(p->clamp_max, p->clamp_min, INT8_MAX) ||
      !edgec_within(p->shift, 0, 24) || (p->multipliers != 1 && p->multipliers != p->kernel_h * p->kernel_w)) {
    return 0;
  }
  return s->input[0] == edgec_volume(p->in_h, p->in_w, p->channels) &&
         s->output[0] == edgec_volume(p->out_h, p->out_w, p->channels) &&
         s->constant[0] == (uint32_t)p->multipliers * 4u;
}

int edgec_max_pool2d_check(const void *params, const edgec_sizes *s) {
  const edgec_max_pool2d_params *const p = params;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 0 || s->param_count != sizeof *p / 4 ||
      !axis_is_valid(p->in_h, p->out_h, p->kernel_h, p->stride_h, p->pad_top) ||
      !axis_is_valid(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->pad_left) ||
      !edgec_within(p->channels, 1, 0xffff) || !edgec_within(p->clamp_min, INT8_MIN, p->clamp_max) ||
      !edgec_within(p->clamp_max, p->clamp_min, INT8_MAX)) {
    return 0;
  }
  return s->input[0] == edgec_volume(p->in_h, p->in_w, p->channels) &&
         s->output[0] == edgec_volume(p->out_h, p->out_w, p->channels);
}
