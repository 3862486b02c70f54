/* What the loader asks before a dense layer may run. */
#include "dense.h"

/* bias_bytes: 4, or 2 beside weights of 4 bits. */
static int is_valid(const void *params, const edgec_sizes *s, uint32_t bias_bytes) {
  const edgec_dense_params *const p = params;
  if (s->input_count != 1 || s->output_count != 1 || s->constant_count != 3 || s->param_count != sizeof *p / 4 ||
      !edgec_within(p->rows, 1, 0xffffff) || !edgec_within(p->in_features, 1, 0xffffff) ||
      !edgec_within(p->out_features, 1, 0xffffff) || !edgec_within(p->out_zero_point, INT8_MIN, INT8_MAX) ||
      !edgec_within(p->clamp_min, INT8_MIN, p->clamp_max) || !edgec_within(p->clamp_max, p->clamp_min, INT8_MAX) ||
      !edgec_within(p->shift, 0, 24)) {
    return 0;
  }
  return s->input[0] == edgec_area(p->rows, p->in_features) && s->output[0] == edgec_area(p->rows, p->out_features) &&
         s->constant[1] == (uint32_t)p->out_features * bias_bytes && s->constant[2] == (uint32_t)p->out_features * 4u;
}

int edgec_dense_check(const void *params, const edgec_sizes *s) {
  const edgec_dense_params *const p = params;
  return is_valid(params, s, 4u) && p->weight_bits == 8 && s->constant[0] == edgec_area(p->out_features, p->in_features);
}

int edgec_dense_nibbles_check(const void *params, const edgec_sizes *s) {
  const edgec_dense_params *const p = params;
  return is_valid(params, s, 2u) && p->weight_bits == 4 &&
         s->constant[0] == edgec_area(p->out_features, (p->in_features + 1) / 2);
}
