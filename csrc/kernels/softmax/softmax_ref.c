/* softmax, the reference: docs/SPEC.md 1.8. One 32-bit division a row.
 *
 * Every product is of unsigned 64-bit numbers: T ≤ 2^30, R ≤ 2^16 and factor ≤ 2^15 keep a valid program below 2^62, and
 * an altered table wraps without undefined behaviour. The index is a byte for the same reason: an altered plan may put the
 * output over entries that are yet to be read, so that one of them exceeds `top`.
 */
#include "../fixed.h"
#include "softmax.h"

void edgec_s8_softmax__ref(const void *params, const edgec_operands *operands);

void edgec_s8_softmax__ref(const void *params, const edgec_operands *operands) {
  const edgec_softmax_params *const p = params;
  const int32_t *const table = operands->constant[0];
  const int8_t *x = operands->input[0];
  int8_t *y = operands->output[0];

  for (int32_t row = 0; row < p->rows; row++) {
    int32_t top = x[0];
    for (int32_t i = 1; i < p->depth; i++) {
      top = x[i] > top ? x[i] : top;
    }
    uint32_t sum = 0;
    for (int32_t i = 0; i < p->depth; i++) {
      sum += (uint32_t)table[(uint8_t)(top - x[i])];
    }
    uint32_t k = 0;
    while ((sum >> k) >= 0x10000u) {
      k++;
    }
    const uint32_t rounded = k == 0 ? sum : (sum + ((uint32_t)1 << (k - 1))) >> k;
    const uint32_t reciprocal = 0x80000000u / (rounded == 0 ? 1u : rounded);
    const uint32_t scale = reciprocal * (uint32_t)p->factor; /* at most 2^31: see edgec_softmax_check */
    const uint32_t shift = 31u + k + (uint32_t)p->fraction;
    for (int32_t i = 0; i < p->depth; i++) {
      const uint64_t product = (uint64_t)(uint32_t)table[(uint8_t)(top - x[i])] * scale + ((uint64_t)1 << (shift - 1));
      y[i] = (int8_t)edgec_clamp(p->out_zero_point + (int32_t)((product >> shift) & 0x1ffff), INT8_MIN, INT8_MAX);
    }
    x += p->depth;
    y += p->depth;
  }
}

const edgec_kernel edgec_s8_softmax__ref_kernel = {0x0900, 1, edgec_s8_softmax__ref, edgec_softmax_check};
