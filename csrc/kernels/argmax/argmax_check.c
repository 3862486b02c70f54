/* What the loader asks before an argmax or argmax_s16 may run. */
#include "argmax.h"

static int is_valid(const edgec_argmax_params *p, const edgec_sizes *s, int32_t element) {
  return s->input_count == 1 && s->output_count == 1 && s->constant_count == 0 && s->param_count == sizeof *p / 4 &&
         p->outer >= 1 && p->depth >= 1 && p->inner >= 1 && edgec_within(p->last, 0, 1) && edgec_within(p->least, 0, 1) &&
         s->input[0] % (uint32_t)element == 0 && s->input[0] / (uint32_t)element == edgec_volume(p->outer, p->depth, p->inner) &&
         s->output[0] == edgec_volume(p->outer, p->inner, (int32_t)sizeof(int32_t));
}

int edgec_argmax_check(const void *params, const edgec_sizes *s) { return is_valid(params, s, 1); }

int edgec_argmax_s16_check(const void *params, const edgec_sizes *s) { return is_valid(params, s, 2); }
