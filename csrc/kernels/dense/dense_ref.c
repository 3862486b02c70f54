/* dense, the reference: one row, one output feature at a time. */
#include "../fixed.h"
#include "dense.h"

void edgec_s8_dense__ref(const void *params, const edgec_operands *operands);

void edgec_s8_dense__ref(const void *params, const edgec_operands *operands) {
  const edgec_dense_params *const p = params;
  const int32_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int8_t *x = operands->input[0];
  int8_t *y = operands->output[0];

  for (int32_t row = 0; row < p->rows; row++) {
    const int8_t *w = operands->constant[0];
    for (int32_t n = 0; n < p->out_features; n++) {
      int32_t acc = bias[n];
      for (int32_t k = 0; k < p->in_features; k++) {
        acc = edgec_mac(acc, x[k], *w++);
      }
      *y++ = edgec_requantize(acc, multiplier[n], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
    }
    x += p->in_features;
  }
}

const edgec_kernel edgec_s8_dense__ref_kernel = {0x0300, 1, edgec_s8_dense__ref, edgec_dense_check};
