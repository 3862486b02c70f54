/* What the loader asks before two tensors may be combined. */
#include "product.h"

static int walk_is_inside(const int32_t *size, const int32_t *stride, uint32_t bytes) {
  uint64_t reach = 0;
  for (int i = 0; i < 4; i++) {
    if (!edgec_within(size[i], 1, 0xffffff) || !edgec_within(stride[i], 0, 0xffffff)) {
      return 0;
    }
    reach += (uint64_t)(uint32_t)(size[i] - 1) * (uint32_t)stride[i];
  }
  return reach < bytes;
}

/* Both operands are inside their bytes, and the output has as many as the sizes say. */
static int walks_are_inside(const int32_t *size, const int32_t *stride_a, const int32_t *stride_b, const edgec_sizes *s) {
  if (!walk_is_inside(size, stride_a, s->input[0]) || !walk_is_inside(size, stride_b, s->input[1])) {
    return 0;
  }
  const uint32_t rows = edgec_area(size[0], size[1]);
  return rows <= 0x7fffffffu && s->output[0] == edgec_volume((int32_t)rows, size[2], size[3]);
}

int edgec_mul_check(const void *params, const edgec_sizes *s) {
  const edgec_mul_params *const p = params;
  const int32_t size[4] = {p->size_0, p->size_1, p->size_2, p->size_3};
  const int32_t stride_a[4] = {p->stride_a_0, p->stride_a_1, p->stride_a_2, p->stride_a_3};
  const int32_t stride_b[4] = {p->stride_b_0, p->stride_b_1, p->stride_b_2, p->stride_b_3};
  return s->input_count == 2 && s->output_count == 1 && s->constant_count == 0 && s->param_count == sizeof *p / 4 &&
         edgec_within(p->zero_point_a, INT8_MIN, INT8_MAX) && edgec_within(p->zero_point_b, INT8_MIN, INT8_MAX) &&
         edgec_within(p->out_zero_point, INT8_MIN, INT8_MAX) && edgec_within(p->clamp_min, INT8_MIN, p->clamp_max) &&
         edgec_within(p->clamp_max, p->clamp_min, INT8_MAX) && edgec_within(p->shift, 0, 24) &&
         edgec_within(p->multiplier, 0, 0x7ffffffe) && walks_are_inside(size, stride_a, stride_b, s);
}

int edgec_div_check(const void *params, const edgec_sizes *s) {
  const edgec_div_params *const p = params;
  const int32_t size[4] = {p->size_0, p->size_1, p->size_2, p->size_3};
  const int32_t stride_a[4] = {p->stride_a_0, p->stride_a_1, p->stride_a_2, p->stride_a_3};
  const int32_t stride_b[4] = {p->stride_b_0, p->stride_b_1, p->stride_b_2, p->stride_b_3};
  return s->input_count == 2 && s->output_count == 1 && s->constant_count == 1 && s->param_count == sizeof *p / 4 &&
         edgec_within(p->zero_point_a, INT8_MIN, INT8_MAX) && edgec_within(p->out_zero_point, INT8_MIN, INT8_MAX) &&
         edgec_within(p->clamp_min, INT8_MIN, p->clamp_max) && edgec_within(p->clamp_max, p->clamp_min, INT8_MAX) &&
         edgec_within(p->shift, 1, 30) && s->constant[0] == 1024u && walks_are_inside(size, stride_a, stride_b, s);
}

int edgec_minimum_check(const void *params, const edgec_sizes *s) {
  const edgec_minimum_params *const p = params;
  return s->input_count == 2 && s->output_count == 1 && s->constant_count == 0 && s->param_count == sizeof *p / 4 &&
         p->count >= 1 && s->input[0] == (uint32_t)p->count && s->input[1] == (uint32_t)p->count &&
         s->output[0] == (uint32_t)p->count;
}
