/* argmax and argmax_s16, the reference: indices are written byte by byte, so that an output may lie at any address. */
#include "../fixed.h"
#include "argmax.h"

void edgec_s8_argmax__ref(const void *params, const edgec_operands *operands);
void edgec_s16_argmax__ref(const void *params, const edgec_operands *operands);

EDGEC_COPIED void run(const edgec_argmax_params *p, const edgec_operands *operands, int wide) {
  const int8_t *const x = operands->input[0];
  int8_t *y = operands->output[0];
  const int32_t flip = -p->least; /* ~q turns the order around */
  for (int32_t o = 0; o < p->outer; o++) {
    for (int32_t i = 0; i < p->inner; i++) {
      int32_t at = o * p->depth * p->inner + i;
      int32_t found = 0;
      int32_t best = (wide ? edgec_int16_at(x, at) : x[at]) ^ flip;
      for (int32_t d = 1; d < p->depth; d++) {
        at += p->inner;
        const int32_t q = (wide ? edgec_int16_at(x, at) : x[at]) ^ flip;
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
  }
}

void edgec_s8_argmax__ref(const void *params, const edgec_operands *operands) { run(params, operands, 0); }

void edgec_s16_argmax__ref(const void *params, const edgec_operands *operands) { run(params, operands, 1); }

const edgec_kernel edgec_s8_argmax__ref_kernel = {0x1500, 0, edgec_s8_argmax__ref, edgec_argmax_check};
const edgec_kernel edgec_s16_argmax__ref_kernel = {0x2200, 0, edgec_s16_argmax__ref, edgec_argmax_s16_check};
