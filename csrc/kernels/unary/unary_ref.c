/* lookup, the reference: y = table[q + 128]. */
#include "unary.h"

void edgec_s8_lookup__ref(const void *params, const edgec_operands *operands);

void edgec_s8_lookup__ref(const void *params, const edgec_operands *operands) {
  const edgec_lookup_params *const p = params;
  const int8_t *const table = operands->constant[0];
  const int8_t *const x = operands->input[0];
  int8_t *const y = operands->output[0];
  for (int32_t i = 0; i < p->count; i++) {
    y[i] = table[x[i] + 128];
  }
}

const edgec_kernel edgec_s8_lookup__ref_kernel = {0x0800, 1, edgec_s8_lookup__ref, edgec_lookup_check};
