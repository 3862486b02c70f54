/* What the loader asks before a lookup may run. */
#include "unary.h"

int edgec_lookup_check(const void *params, const edgec_sizes *s) {
  const edgec_lookup_params *const p = params;
  return s->input_count == 1 && s->output_count == 1 && s->constant_count == 1 && s->param_count == sizeof *p / 4 &&
         p->count >= 1 && s->input[0] == (uint32_t)p->count && s->output[0] == (uint32_t)p->count &&
         s->constant[0] == 256u;
}
