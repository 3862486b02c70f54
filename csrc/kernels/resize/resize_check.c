/* What the loader asks before a resize may run. */
#include "resize.h"

int edgec_resize_check(const void *params, const edgec_sizes *s) {
  const edgec_resize_params *const p = params;
  const int32_t limit = 0x7fff;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 2 || s->param_count != sizeof *p / 4 ||
      !edgec_within(p->in_h, 1, limit) || !edgec_within(p->in_w, 1, limit) || !edgec_within(p->channels, 1, 0xffff) ||
      !edgec_within(p->out_h, 1, limit) || !edgec_within(p->out_w, 1, limit)) {
    return 0;
  }
  return s->input[0] == edgec_volume(p->in_h, p->in_w, p->channels) &&
         s->output[0] == edgec_volume(p->out_h, p->out_w, p->channels) &&
         s->constant[0] == (uint32_t)p->out_h * 12u && s->constant[1] == (uint32_t)p->out_w * 12u;
}
