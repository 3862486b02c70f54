/* What the loader asks before a transposed convolution may run. */
#include "conv_transpose.h"

static int axis_is_valid(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t dilation, int32_t pad) {
  const int32_t limit = 0x7fff;
  return edgec_within(in, 1, limit) && edgec_within(out, 1, limit) && edgec_within(kernel, 1, limit) &&
         edgec_within(stride, 1, limit) && edgec_within(dilation, 1, limit) && edgec_within(pad, 0, limit);
}

int edgec_conv_transpose2d_check(const void *params, const edgec_sizes *s) {
  const edgec_conv_transpose2d_params *const p = params;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 3 || s->param_count != sizeof *p / 4 ||
      !axis_is_valid(p->in_h, p->out_h, p->kernel_h, p->stride_h, p->dilation_h, p->pad_top) ||
      !axis_is_valid(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left) ||
      !edgec_within(p->in_c, 1, 0xffff) || !edgec_within(p->out_c, 1, 0xffff) || p->groups < 1 ||
      p->in_c % p->groups != 0 || p->out_c % p->groups != 0 || !edgec_within(p->in_zero_point, INT8_MIN, INT8_MAX) ||
      !edgec_within(p->out_zero_point, INT8_MIN, INT8_MAX) || !edgec_within(p->clamp_min, INT8_MIN, p->clamp_max) ||
      !edgec_within(p->clamp_max, p->clamp_min, INT8_MAX) || !edgec_within(p->shift, 0, 24)) {
    return 0;
  }
  const uint32_t window = edgec_volume(p->kernel_h, p->kernel_w, p->in_c / p->groups);
  return window < 0x01000000u && s->input[0] == edgec_volume(p->in_h, p->in_w, p->in_c) &&
         s->output[0] == edgec_volume(p->out_h, p->out_w, p->out_c) &&
         s->constant[0] == edgec_area(p->out_c, (int32_t)window) && s->constant[1] == (uint32_t)p->out_c * 4u &&
         s->constant[2] == (uint32_t)p->out_c * 4u;
}
