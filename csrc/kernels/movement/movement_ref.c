/* Moving bytes, the reference: output in order, input by index. */
#include "movement.h"

#include <stddef.h>

/* As in string.h, which a freestanding compiler need not have. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);

void edgec_s8_strided_copy__ref(const void *params, const edgec_operands *operands);
void edgec_s8_concat__ref(const void *params, const edgec_operands *operands);
void edgec_s8_pad__ref(const void *params, const edgec_operands *operands);
void edgec_s8_gather__ref(const void *params, const edgec_operands *operands);
void edgec_s8_constant__ref(const void *params, const edgec_operands *operands);

void edgec_s8_strided_copy__ref(const void *params, const edgec_operands *operands) {
  const edgec_strided_copy_params *const p = params;
  const int8_t *const x = operands->input[0];
  int8_t *y = operands->output[0];
  for (int32_t i = 0; i < p->size_0; i++) {
    for (int32_t j = 0; j < p->size_1; j++) {
      for (int32_t k = 0; k < p->size_2; k++) {
        for (int32_t l = 0; l < p->size_3; l++) {
          for (int32_t m = 0; m < p->size_4; m++) {
            const int32_t row = p->offset + i * p->stride_0 + j * p->stride_1 + k * p->stride_2 + l * p->stride_3 +
                                m * p->stride_4;
            for (int32_t n = 0; n < p->size_5; n++) {
              *y++ = x[row + n * p->stride_5];
            }
          }
        }
      }
    }
  }
}

void edgec_s8_concat__ref(const void *params, const edgec_operands *operands) {
  const edgec_concat_params *const p = params;
  const int8_t *a = operands->input[0];
  const int8_t *b = operands->input[1];
  int8_t *y = operands->output[0];
  for (int32_t i = 0; i < p->outer; i++) {
    (void)memcpy(y, a, (size_t)p->inner_a);
    (void)memcpy(y + p->inner_a, b, (size_t)p->inner_b);
    y += p->inner_a + p->inner_b;
    a += p->inner_a;
    b += p->inner_b;
  }
}

/* Input index of output position i along one axis; -1 where the constant goes. */
static int32_t source_index(int32_t i, int32_t before, int32_t size, int32_t mode) {
  const int32_t at = i - before;
  if (at >= 0 && at < size) {
    return at;
  }
  switch (mode) {
    case 0:
      return -1;
    case 1:
      return at < 0 ? -at : 2 * size - 2 - at;
    case 2:
      return at < 0 ? 0 : size - 1;
    default:
      return at < 0 ? at + size : at - size;
  }
}

void edgec_s8_pad__ref(const void *params, const edgec_operands *operands) {
  const edgec_pad_params *const p = params;
  const int8_t *const x = operands->input[0];
  int8_t *y = operands->output[0];
  for (int32_t i = 0; i < p->before_0 + p->size_0 + p->after_0; i++) {
    const int32_t a = source_index(i, p->before_0, p->size_0, p->mode);
    for (int32_t j = 0; j < p->before_1 + p->size_1 + p->after_1; j++) {
      const int32_t b = source_index(j, p->before_1, p->size_1, p->mode);
      for (int32_t k = 0; k < p->before_2 + p->size_2 + p->after_2; k++) {
        const int32_t c = source_index(k, p->before_2, p->size_2, p->mode);
        const int inside = a >= 0 && b >= 0 && c >= 0;
        const int32_t row = ((a * p->size_1 + b) * p->size_2 + c) * p->size_3;
        for (int32_t l = 0; l < p->before_3 + p->size_3 + p->after_3; l++) {
          const int32_t d = source_index(l, p->before_3, p->size_3, p->mode);
          *y++ = inside && d >= 0 ? x[row + d] : (int8_t)p->value;
        }
      }
    }
  }
}

/* An index outside the axis can only come from an altered file; it reads the first row. */
void edgec_s8_gather__ref(const void *params, const edgec_operands *operands) {
  const edgec_gather_params *const p = params;
  const int32_t *const indices = operands->constant[0];
  const int8_t *x = operands->input[0];
  int8_t *y = operands->output[0];
  for (int32_t i = 0; i < p->outer; i++) {
    for (int32_t k = 0; k < p->count; k++) {
      const int32_t row = edgec_within(indices[k], 0, p->size - 1) ? indices[k] : 0;
      (void)memcpy(y, x + row * p->inner, (size_t)p->inner);
      y += p->inner;
    }
    x += p->size * p->inner;
  }
}

void edgec_s8_constant__ref(const void *params, const edgec_operands *operands) {
  const edgec_constant_params *const p = params;
  (void)memcpy(operands->output[0], operands->constant[0], (size_t)p->count);
}

const edgec_kernel edgec_s8_strided_copy__ref_kernel = {0x0b00, 0, edgec_s8_strided_copy__ref, edgec_strided_copy_check};
const edgec_kernel edgec_s8_concat__ref_kernel = {0x0c00, 0, edgec_s8_concat__ref, edgec_concat_check};
const edgec_kernel edgec_s8_pad__ref_kernel = {0x0d00, 0, edgec_s8_pad__ref, edgec_pad_check};
const edgec_kernel edgec_s8_gather__ref_kernel = {0x0e00, 0, edgec_s8_gather__ref, edgec_gather_check};
const edgec_kernel edgec_s8_constant__ref_kernel = {0x0f00, 0, edgec_s8_constant__ref, edgec_constant_check};
