/* What the loader asks before an argmax may run. */
#include "argmax.h"

int edgec_argmax_check(const void *params, const edgec_sizes *s) {
  const edgec_argmax_params *const p = params;
  return s->input_count == 1 && s->output_count == 1 && s->constant_count == 0 && s->param_count == sizeof *p / 4 &&
         p->outer >= 1 && p->depth >= 1 && p->inner >= 1 && edgec_within(p->last, 0, 1) && edgec_within(p->least, 0, 1) &&
         s->input[0] == edgec_volume(p->outer, p->depth, p->inner) &&
         s->output[0] == edgec_volume(p->outer, p->inner, (int32_t)sizeof(int32_t));
}
