/* mul, div, minimum and maximum, the reference. */
#include "../fixed.h"
#include "product.h"

void edgec_s8_mul__ref(const void *params, const edgec_operands *operands);
void edgec_s8_div__ref(const void *params, const edgec_operands *operands);
void edgec_s8_minimum__ref(const void *params, const edgec_operands *operands);
void edgec_s8_maximum__ref(const void *params, const edgec_operands *operands);

void edgec_s8_mul__ref(const void *params, const edgec_operands *operands) {
  const edgec_mul_params *const p = params;
  int8_t *y = operands->output[0];
  for (int32_t i = 0; i < p->size_0; i++) {
    for (int32_t j = 0; j < p->size_1; j++) {
      for (int32_t k = 0; k < p->size_2; k++) {
        const int8_t *const a = operands->input[0] + i * p->stride_a_0 + j * p->stride_a_1 + k * p->stride_a_2;
        const int8_t *const b = operands->input[1] + i * p->stride_b_0 + j * p->stride_b_1 + k * p->stride_b_2;
        for (int32_t l = 0; l < p->size_3; l++) {
          const int32_t product = (a[l * p->stride_a_3] - p->zero_point_a) * (b[l * p->stride_b_3] - p->zero_point_b);
          *y++ = edgec_requantize(product, p->multiplier, p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        }
      }
    }
  }
}

/* Sums and products wrap for an altered table only: docs/SPEC.md 1.11 keeps them inside int32. */
void edgec_s8_div__ref(const void *params, const edgec_operands *operands) {
  const edgec_div_params *const p = params;
  const int32_t *const reciprocals = operands->constant[0];
  const uint32_t half = (uint32_t)1 << (p->shift - 1);
  int8_t *y = operands->output[0];
  for (int32_t i = 0; i < p->size_0; i++) {
    for (int32_t j = 0; j < p->size_1; j++) {
      for (int32_t k = 0; k < p->size_2; k++) {
        const int8_t *const a = operands->input[0] + i * p->stride_a_0 + j * p->stride_a_1 + k * p->stride_a_2;
        const int8_t *const b = operands->input[1] + i * p->stride_b_0 + j * p->stride_b_1 + k * p->stride_b_2;
        for (int32_t l = 0; l < p->size_3; l++) {
          const uint32_t difference = (uint32_t)(a[l * p->stride_a_3] - p->zero_point_a);
          const int32_t sum = (int32_t)(difference * (uint32_t)reciprocals[b[l * p->stride_b_3] + 128] + half);
          *y++ = (int8_t)edgec_clamp((sum >> p->shift) + p->out_zero_point, p->clamp_min, p->clamp_max);
        }
      }
    }
  }
}

void edgec_s8_minimum__ref(const void *params, const edgec_operands *operands) {
  const edgec_minimum_params *const p = params;
  const int8_t *const a = operands->input[0];
  const int8_t *const b = operands->input[1];
  for (int32_t i = 0; i < p->count; i++) {
    operands->output[0][i] = a[i] < b[i] ? a[i] : b[i];
  }
}

void edgec_s8_maximum__ref(const void *params, const edgec_operands *operands) {
  const edgec_maximum_params *const p = params;
  const int8_t *const a = operands->input[0];
  const int8_t *const b = operands->input[1];
  for (int32_t i = 0; i < p->count; i++) {
    operands->output[0][i] = a[i] > b[i] ? a[i] : b[i];
  }
}

const edgec_kernel edgec_s8_mul__ref_kernel = {0x1000, 0, edgec_s8_mul__ref, edgec_mul_check};
const edgec_kernel edgec_s8_div__ref_kernel = {0x1700, 0, edgec_s8_div__ref, edgec_div_check};
const edgec_kernel edgec_s8_minimum__ref_kernel = {0x1100, 1, edgec_s8_minimum__ref, edgec_minimum_check};
const edgec_kernel edgec_s8_maximum__ref_kernel = {0x1200, 1, edgec_s8_maximum__ref, edgec_minimum_check};
