/* What the loader asks before bytes may move: every walk stays inside its operands. */
#include "movement.h"

static int counts_are(const edgec_sizes *s, uint8_t inputs, uint8_t constants, uint8_t params) {
  return s->input_count == inputs && s->output_count == 1 && s->constant_count == constants && s->param_count == params;
}

int edgec_strided_copy_check(const void *params, const edgec_sizes *s) {
  const edgec_strided_copy_params *const p = params;
  const int32_t size[6] = {p->size_0, p->size_1, p->size_2, p->size_3, p->size_4, p->size_5};
  const int32_t stride[6] = {p->stride_0, p->stride_1, p->stride_2, p->stride_3, p->stride_4, p->stride_5};
  if (!counts_are(s, 1, 0, (uint8_t)(sizeof *p / 4))) {
    return 0;
  }
  int64_t low = p->offset;
  int64_t high = p->offset;
  uint32_t total = 1;
  for (int i = 0; i < 6; i++) {
    if (!edgec_within(size[i], 1, 0xffffff) || !edgec_within(stride[i], -0xffffff, 0xffffff) || total > 0x7fffffffu) {
      return 0;
    }
    const int64_t span = (int64_t)(size[i] - 1) * stride[i];
    low += span < 0 ? span : 0;
    high += span > 0 ? span : 0;
    total = edgec_area((int32_t)total, size[i]);
  }
  return low >= 0 && high < (int64_t)s->input[0] && s->output[0] == total;
}

int edgec_concat_check(const void *params, const edgec_sizes *s) {
  const edgec_concat_params *const p = params;
  if (!counts_are(s, 2, 0, (uint8_t)(sizeof *p / 4)) || !edgec_within(p->outer, 1, 0xffffff) ||
      !edgec_within(p->inner_a, 1, 0xffffff) || !edgec_within(p->inner_b, 1, 0xffffff)) {
    return 0;
  }
  return s->input[0] == edgec_area(p->outer, p->inner_a) && s->input[1] == edgec_area(p->outer, p->inner_b) &&
         s->output[0] == edgec_area(p->outer, p->inner_a + p->inner_b);
}

int edgec_pad_check(const void *params, const edgec_sizes *s) {
  const edgec_pad_params *const p = params;
  const int32_t size[4] = {p->size_0, p->size_1, p->size_2, p->size_3};
  const int32_t before[4] = {p->before_0, p->before_1, p->before_2, p->before_3};
  const int32_t after[4] = {p->after_0, p->after_1, p->after_2, p->after_3};
  if (!counts_are(s, 1, 0, (uint8_t)(sizeof *p / 4)) || !edgec_within(p->mode, 0, 3) ||
      !edgec_within(p->value, INT8_MIN, INT8_MAX)) {
    return 0;
  }
  uint32_t in = 1;
  uint32_t out = 1;
  for (int i = 0; i < 4; i++) {
    if (!edgec_within(size[i], 1, 0xffffff) || !edgec_within(before[i], 0, 0xffffff) ||
        !edgec_within(after[i], 0, 0xffffff) || in > 0x7fffffffu || out > 0x7fffffffu) {
      return 0;
    }
    const int32_t reach = before[i] > after[i] ? before[i] : after[i];
    if ((p->mode == 1 && reach >= size[i]) || (p->mode == 3 && reach > size[i])) {
      return 0;
    }
    in = edgec_area((int32_t)in, size[i]);
    out = edgec_area((int32_t)out, size[i] + before[i] + after[i]);
  }
  return s->input[0] == in && s->output[0] == out;
}

int edgec_gather_check(const void *params, const edgec_sizes *s) {
  const edgec_gather_params *const p = params;
  if (!counts_are(s, 1, 1, (uint8_t)(sizeof *p / 4)) || !edgec_within(p->outer, 1, 0xffffff) ||
      !edgec_within(p->size, 1, 0xffffff) || !edgec_within(p->count, 1, 0xffffff) ||
      !edgec_within(p->inner, 1, 0xffffff)) {
    return 0;
  }
  return s->input[0] == edgec_volume(p->outer, p->size, p->inner) &&
         s->output[0] == edgec_volume(p->outer, p->count, p->inner) && s->constant[0] == (uint32_t)p->count * 4u;
}

int edgec_constant_check(const void *params, const edgec_sizes *s) {
  const edgec_constant_params *const p = params;
  return counts_are(s, 1, 1, (uint8_t)(sizeof *p / 4)) && p->count >= 1 && s->output[0] == (uint32_t)p->count &&
         s->constant[0] == (uint32_t)p->count;
}
