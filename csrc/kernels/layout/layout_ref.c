/* transpose, the reference: output in order, input by strides. */
#include "layout.h"

void edgec_s8_transpose__ref(const void *params, const edgec_operands *operands);

void edgec_s8_transpose__ref(const void *params, const edgec_operands *operands) {
  const edgec_transpose_params *const p = params;
  const int8_t *const x = operands->input[0];
  int8_t *y = operands->output[0];
  for (int32_t i = 0; i < p->size_0; i++) {
    for (int32_t j = 0; j < p->size_1; j++) {
      for (int32_t k = 0; k < p->size_2; k++) {
        const int8_t *const row = x + i * p->stride_0 + j * p->stride_1 + k * p->stride_2;
        for (int32_t l = 0; l < p->size_3; l++) {
          *y++ = row[l * p->stride_3];
        }
      }
    }
  }
}

const edgec_kernel edgec_s8_transpose__ref_kernel = {0x0a00, 0, edgec_s8_transpose__ref, edgec_transpose_check};
