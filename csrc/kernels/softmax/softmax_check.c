/* What the loader asks before a softmax or softmax_s16 may run. */
#include "softmax.h"

int edgec_softmax_check(const void *params, const edgec_sizes *s) {
  const edgec_softmax_params *const p = params;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 1 || s->param_count != sizeof *p / 4 ||
      p->rows < 1 || !edgec_within(p->depth, 1, 32768) || !edgec_within(p->factor, 1, 32768) ||
      !edgec_within(p->fraction, 0, 8) || !edgec_within(p->out_zero_point, INT8_MIN, INT8_MAX)) {
    return 0;
  }
  return s->input[0] == edgec_area(p->rows, p->depth) && s->output[0] == s->input[0] && s->constant[0] == 1024u;
}

int edgec_softmax_s16_check(const void *params, const edgec_sizes *s) {
  const edgec_softmax_s16_params *const p = params;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 0 || s->param_count != sizeof *p / 4 ||
      p->rows < 1 || !edgec_within(p->depth_bits, 0, 15) || !edgec_within(p->depth, 1, 1 << p->depth_bits) ||
      p->multiplier < 0 || !edgec_within(p->shift, 1, 47) || !edgec_within(p->factor, 1, 32768) ||
      !edgec_within(p->fraction, 0, 8) || !edgec_within(p->out_zero_point, INT8_MIN, INT8_MAX) || (p->in_bits != 8 && p->in_bits != 16)) {
    return 0;
  }
  const uint32_t bytes = (uint32_t)p->in_bits / 8u;
  return s->output[0] == edgec_area(p->rows, p->depth) && s->input[0] % bytes == 0u && s->input[0] / bytes == s->output[0];
}
