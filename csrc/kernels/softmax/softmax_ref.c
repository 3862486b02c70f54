/* softmax and softmax_s16, the reference: docs/SPEC.md 1.8 and 1.12. One 32-bit division a row.
 *
 * Every product is of unsigned 64-bit numbers: T ≤ 2^30, R ≤ 2^16 and factor ≤ 2^15 keep a valid program below 2^62, and
 * an altered table wraps without undefined behaviour. The index is a byte for the same reason: an altered plan may put the
 * output over entries that are yet to be read, so that one of them exceeds `top`.
 */
#include "../fixed.h"
#include "softmax.h"

void edgec_s8_softmax__ref(const void *params, const edgec_operands *operands);
void edgec_s16_softmax__ref(const void *params, const edgec_operands *operands);

/* What the entries of a row are multiplied by, and shifted right by, to become output steps. */
typedef struct row_scale {
  uint32_t factor, shift;
} row_scale;

static row_scale scale_of(uint32_t sum, int32_t factor, int32_t fraction) {
  uint32_t k = 0;
  while ((sum >> k) >= 0x10000u) {
    k++;
  }
  const uint32_t rounded = k == 0 ? sum : (sum + ((uint32_t)1 << (k - 1))) >> k;
  const uint32_t reciprocal = 0x80000000u / (rounded == 0 ? 1u : rounded);
  const row_scale scale = {reciprocal * (uint32_t)factor, 31u + k + (uint32_t)fraction}; /* factor at most 2^31: see the checks */
  return scale;
}

static int8_t scaled(uint32_t power, row_scale by, int32_t zero_point) {
  const uint64_t product = (uint64_t)power * by.factor + ((uint64_t)1 << (by.shift - 1));
  return (int8_t)edgec_clamp(zero_point + (int32_t)((product >> by.shift) & 0x1ffff), INT8_MIN, INT8_MAX);
}

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
    const row_scale by = scale_of(sum, p->factor, p->fraction);
    for (int32_t i = 0; i < p->depth; i++) {
      y[i] = scaled((uint32_t)table[(uint8_t)(top - x[i])], by, p->out_zero_point);
    }
    x += p->depth;
    y += p->depth;
  }
}

static int32_t element_at(const edgec_softmax_s16_params *p, const int8_t *x, int32_t index) {
  return p->in_bits == 8 ? x[index] : edgec_int16_at(x, index);
}

/* 2^(30 - depth_bits) times exp of minus the distance: 2 to the power of a whole number by a shift, of a fraction of 14 bits by a
 * polynomial in 18. */
static uint32_t power_of(const edgec_softmax_s16_params *p, uint32_t distance) {
  const uint64_t octaves = ((uint64_t)distance * (uint32_t)p->multiplier + ((uint64_t)1 << (p->shift - 1))) >> p->shift;
  const uint64_t whole = (octaves >> 14) + (uint32_t)p->depth_bits;
  const uint32_t f = (uint32_t)octaves & 0x3fffu;
  uint32_t r = 13948u - ((1788u * f) >> 14);
  r = 62768u - ((r * f) >> 14);
  r = 181679u - ((r * f) >> 14);
  return whole > 30u ? 0u : (((0x80000000u - ((r * f) >> 1)) >> whole) + 1u) >> 1;
}

void edgec_s16_softmax__ref(const void *params, const edgec_operands *operands) {
  const edgec_softmax_s16_params *const p = params;
  int32_t at = 0;
  for (int32_t row = 0; row < p->rows; row++) {
    const int32_t end = at + p->depth;
    int32_t top = INT16_MIN;
    for (int32_t i = at; i < end; i++) {
      const int32_t q = element_at(p, operands->input[0], i);
      top = q > top ? q : top;
    }
    uint32_t sum = 0;
    for (int32_t i = at; i < end; i++) {
      sum += power_of(p, (uint32_t)(top - element_at(p, operands->input[0], i)));
    }
    const row_scale by = scale_of(sum, p->factor, p->fraction);
    for (; at < end; at++) {
      const uint32_t power = power_of(p, (uint32_t)(top - element_at(p, operands->input[0], at)));
      operands->output[0][at] = scaled(power, by, p->out_zero_point);
    }
  }
}

const edgec_kernel edgec_s8_softmax__ref_kernel = {0x0900, 1, edgec_s8_softmax__ref, edgec_softmax_check};
const edgec_kernel edgec_s16_softmax__ref_kernel = {0x2100, 1, edgec_s16_softmax__ref, edgec_softmax_s16_check};
