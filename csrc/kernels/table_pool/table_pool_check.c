/* What the loader asks before a table_pool2d may run. */
#include "table_pool.h"

/* Every index that a window can compute stays far inside int32. */
static int axis_is_valid(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t dilation, int32_t pad) {
  const int32_t limit = 0xffffff;
  return edgec_within(in, 1, limit) && edgec_within(out, 1, limit) && edgec_within(kernel, 1, limit) &&
         edgec_within(stride, 1, limit) && edgec_within(dilation, 1, limit) && edgec_within(pad, 0, limit) &&
         (int64_t)(out - 1) * stride - pad < in && (int64_t)(kernel - 1) * dilation <= limit;
}

int edgec_table_pool2d_check(const void *params, const edgec_sizes *s) {
  const edgec_table_pool2d_params *const p = params;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 2 || s->param_count != sizeof *p / 4 ||
      !axis_is_valid(p->in_h, p->out_h, p->kernel_h, p->stride_h, p->dilation_h, p->pad_top) ||
      !axis_is_valid(p->in_w, p->out_w, p->kernel_w, p->stride_w, p->dilation_w, p->pad_left) || p->channels < 1) {
    return 0;
  }
  return s->input[0] == edgec_volume(p->in_h, p->in_w, p->channels) &&
         s->output[0] == edgec_volume(p->out_h, p->out_w, p->channels) && s->constant[0] == 1024u &&
         edgec_within(p->base, INT8_MIN, INT8_MAX) && edgec_within(p->levels, 1, 255) && edgec_within(p->odd_flips, 0, 1) &&
         edgec_within(p->clamp_min, INT8_MIN, p->clamp_max) && edgec_within(p->clamp_max, p->clamp_min, INT8_MAX) &&
         s->constant[1] == 4u * (uint32_t)p->levels;
}
