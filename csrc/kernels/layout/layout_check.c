/* What the loader asks before a transpose may run: the strides stay inside the input. */
#include "layout.h"

int edgec_transpose_check(const void *params, const edgec_sizes *s) {
  const edgec_transpose_params *const p = params;
  const int32_t limit = 0xffffff;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 0 || s->param_count != sizeof *p / 4 ||
      !edgec_within(p->size_0, 1, limit) || !edgec_within(p->size_1, 1, limit) || !edgec_within(p->size_2, 1, limit) ||
      !edgec_within(p->size_3, 1, limit) || !edgec_within(p->stride_0, 0, limit) ||
      !edgec_within(p->stride_1, 0, limit) || !edgec_within(p->stride_2, 0, limit) ||
      !edgec_within(p->stride_3, 0, limit)) {
    return 0;
  }
  const uint64_t reach = (uint64_t)(uint32_t)(p->size_0 - 1) * (uint32_t)p->stride_0 +
                         (uint64_t)(uint32_t)(p->size_1 - 1) * (uint32_t)p->stride_1 +
                         (uint64_t)(uint32_t)(p->size_2 - 1) * (uint32_t)p->stride_2 +
                         (uint64_t)(uint32_t)(p->size_3 - 1) * (uint32_t)p->stride_3;
  const uint32_t rest = edgec_volume(p->size_1, p->size_2, p->size_3);
  return reach < s->input[0] && rest <= 0x7fffffffu && s->output[0] == edgec_area(p->size_0, (int32_t)rest);
}
