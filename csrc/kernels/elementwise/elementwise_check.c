/* What the loader asks before an addition may run. */
#include "elementwise.h"

int edgec_add_check(const void *params, const edgec_sizes *s) {
  const edgec_add_params *const p = params;
  if (s->input_count != 2 || s->output_count != 1 || s->constant_count != 0 || s->param_count != sizeof *p / 4 ||
      p->count < 1 || !edgec_within(p->multiplier_a, -0x400000, 0x400000) ||
      !edgec_within(p->multiplier_b, -0x400000, 0x400000) || !edgec_within(p->shift, 1, 22) ||
      !edgec_within(p->clamp_min, INT8_MIN, p->clamp_max) || !edgec_within(p->clamp_max, p->clamp_min, INT8_MAX)) {
    return 0;
  }
  return s->input[0] == (uint32_t)p->count && s->input[1] == (uint32_t)p->count && s->output[0] == (uint32_t)p->count;
}
