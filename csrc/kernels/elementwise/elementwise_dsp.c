/* add with the DSP extension: four elements at a time, a and b side by side in one SMLAD. */
#include "../dsp.h"
#include "elementwise.h"

void edgec_s8_add__dsp(const void *params, const edgec_operands *operands);

/* (a, b) pairs of bytes 0 and 2, or 1 and 3, whose sums are shifted to halfwords and saturated to int8. */
static inline uint32_t add_two(uint32_t a, uint32_t b, uint32_t multipliers, int32_t offset, int32_t shift) {
  const int32_t low = edgec_smlad(edgec_pack_low(a, b), multipliers, offset) >> shift;
  const int32_t high = edgec_smlad(edgec_pack_high(a, b), multipliers, offset) >> shift;
  return edgec_saturate_halves(edgec_pack_low((uint32_t)low, (uint32_t)high));
}

void edgec_s8_add__dsp(const void *params, const edgec_operands *operands) {
  const edgec_add_params *const p = params;
  const int8_t *a = operands->input[0];
  const int8_t *b = operands->input[1];
  int8_t *y = operands->output[0];
  const int8_t *const end = y + (p->count & ~3);
  const uint32_t multipliers = ((uint32_t)p->multiplier_b << 16) | ((uint32_t)p->multiplier_a & 0xffffu);
  const int32_t offset = p->offset;
  const int32_t shift = p->shift;
  while (y != end) {
    const uint32_t x0 = edgec_load_word(a);
    const uint32_t x1 = edgec_load_word(b);
    const uint32_t even = add_two(edgec_sxtb16(x0), edgec_sxtb16(x1), multipliers, offset, shift);
    const uint32_t odd = add_two(edgec_sxtb16_high(x0), edgec_sxtb16_high(x1), multipliers, offset, shift);
    const uint32_t word = (even & 0x00ff00ffu) | ((odd & 0x00ff00ffu) << 8);
    memcpy(y, &word, sizeof word);
    a += 4;
    b += 4;
    y += 4;
  }
  for (int32_t i = 0; i < (p->count & 3); i++) {
    const int32_t sum = edgec_mac(edgec_mac(offset, a[i], p->multiplier_a), b[i], p->multiplier_b);
    y[i] = (int8_t)edgec_clamp(sum >> shift, INT8_MIN, INT8_MAX);
  }
  edgec_clamp_bytes(operands->output[0], p->count, p->clamp_min, p->clamp_max);
}

/* Multipliers of 16 bits, and sums that fit a halfword once they are shifted: saturation must see them whole. */
static int check_add(const void *params, const edgec_sizes *s) {
  const edgec_add_params *const p = params;
  if (!edgec_add_check(params, s) || !edgec_within(p->multiplier_a, -32767, 32767) || !edgec_within(p->multiplier_b, -32767, 32767)) {
    return 0;
  }
  const int32_t a = p->multiplier_a < 0 ? -p->multiplier_a : p->multiplier_a;
  const int32_t b = p->multiplier_b < 0 ? -p->multiplier_b : p->multiplier_b;
  const int64_t reach = 128 * ((int64_t)a + b) + (p->offset < 0 ? -(int64_t)p->offset : p->offset);
  return reach <= INT32_MAX && reach >> p->shift < INT16_MAX;
}

const edgec_kernel edgec_s8_add__dsp_kernel = {0x0410, 1, edgec_s8_add__dsp, check_add};
