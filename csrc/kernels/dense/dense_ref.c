/* dense, the reference: one row, two output features at a time; weights of 8 bits, and of 4. */
#include "../dot.h"
#include "dense.h"

void edgec_s8_dense__ref(const void *params, const edgec_operands *operands);
void edgec_s8w4_dense__ref(const void *params, const edgec_operands *operands);

void edgec_s8_dense__ref(const void *params, const edgec_operands *operands) {
  const edgec_dense_params *const p = params;
  const int32_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int8_t *x = operands->input[0];
  int8_t *y = operands->output[0];

  for (int32_t row = 0; row < p->rows; row++) {
    const int8_t *w = operands->constant[0];
    for (int32_t n = 0; n < p->out_features; n += 2) {
      const int last = n + 1 == p->out_features;
      const int8_t *const second = last ? w : w + p->in_features;
      const edgec_pair start = {bias[n], bias[last ? n : n + 1]};
      const edgec_pair acc = edgec_dot(x, w, second, p->in_features, start);
      *y++ = edgec_requantize(acc.a, multiplier[n], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
      if (!last) {
        *y++ = edgec_requantize(acc.b, multiplier[n + 1], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
      }
      w = second + p->in_features;
    }
    x += p->in_features;
  }
}

void edgec_s8w4_dense__ref(const void *params, const edgec_operands *operands) {
  const edgec_dense_params *const p = params;
  const int16_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t row_bytes = (p->in_features + 1) / 2;
  const int8_t *x = operands->input[0];
  int8_t *y = operands->output[0];

  for (int32_t row = 0; row < p->rows; row++) {
    const int8_t *w = operands->constant[0];
    for (int32_t n = 0; n < p->out_features; n += 2) {
      const int last = n + 1 == p->out_features;
      const int8_t *const second = last ? w : w + row_bytes;
      const edgec_pair start = {bias[n], bias[last ? n : n + 1]};
      const edgec_pair acc = edgec_dot_nibbles(x, w, second, 0, p->in_features, start);
      *y++ = edgec_requantize(acc.a, multiplier[n], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
      if (!last) {
        *y++ = edgec_requantize(acc.b, multiplier[n + 1], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
      }
      w = second + row_bytes;
    }
    x += p->in_features;
  }
}

const edgec_kernel edgec_s8_dense__ref_kernel = {0x0300, 1, edgec_s8_dense__ref, edgec_dense_check};
const edgec_kernel edgec_s8w4_dense__ref_kernel = {0x0380, 1, edgec_s8w4_dense__ref, edgec_dense_nibbles_check};
