/* add and add_wide, the reference: one form, two opcodes (the narrow one promises 16-bit multipliers to SIMD kernels). */
#include "../fixed.h"
#include "elementwise.h"

void edgec_s8_add__ref(const void *params, const edgec_operands *operands);
void edgec_s8_add_wide__ref(const void *params, const edgec_operands *operands);

void edgec_s8_add__ref(const void *params, const edgec_operands *operands) {
  const edgec_add_params *const p = params;
  const int8_t *const a = operands->input[0];
  const int8_t *const b = operands->input[1];
  int8_t *const y = operands->output[0];
  for (int32_t i = 0; i < p->count; i++) {
    const int32_t sum = edgec_mac(edgec_mac(p->offset, a[i], p->multiplier_a), b[i], p->multiplier_b);
    y[i] = (int8_t)edgec_clamp(sum >> p->shift, p->clamp_min, p->clamp_max);
  }
}

void edgec_s8_add_wide__ref(const void *params, const edgec_operands *operands) { edgec_s8_add__ref(params, operands); }

const edgec_kernel edgec_s8_add__ref_kernel = {0x0400, 1, edgec_s8_add__ref, edgec_add_check};
const edgec_kernel edgec_s8_add_wide__ref_kernel = {0x0500, 1, edgec_s8_add_wide__ref, edgec_add_check};
