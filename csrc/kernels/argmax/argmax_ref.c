/* argmax, the reference: indices are written byte by byte, so that an output may lie at any address. */
#include "argmax.h"

void edgec_s8_argmax__ref(const void *params, const edgec_operands *operands);

void edgec_s8_argmax__ref(const void *params, const edgec_operands *operands) {
  const edgec_argmax_params *const p = params;
  const int8_t *x = operands->input[0];
  int8_t *y = operands->output[0];
  const int32_t flip = -p->least; /* ~q turns the order around */
  for (int32_t o = 0; o < p->outer; o++) {
    for (int32_t i = 0; i < p->inner; i++) {
      int32_t found = 0;
      int32_t best = x[i] ^ flip;
      for (int32_t d = 1; d < p->depth; d++) {
        const int32_t q = x[d * p->inner + i] ^ flip;
        if (q + p->last > best) {
          best = q;
          found = d;
        }
      }
      for (int32_t n = 0; n < 4; n++) {
        y[n] = (int8_t)(found >> (8 * n) & 0xff);
      }
      y += 4;
    }
    x += p->depth * p->inner;
  }
}

const edgec_kernel edgec_s8_argmax__ref_kernel = {0x1500, 0, edgec_s8_argmax__ref, edgec_argmax_check};
