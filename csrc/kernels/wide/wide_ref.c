/* Operators with activations of 16 bits, the reference. Values are read and written byte by byte: an altered artifact may put a
 * tensor at any address. */
#include "../fixed.h"
#include "wide.h"

void edgec_s16_conv2d__ref(const void *params, const edgec_operands *operands);
void edgec_s16_average_pool2d__ref(const void *params, const edgec_operands *operands);
void edgec_s16_add__ref(const void *params, const edgec_operands *operands);
void edgec_s16_rescale__ref(const void *params, const edgec_operands *operands);

static int32_t value_at(const int8_t *x, int32_t bits, int32_t index) {
  return bits == 8 ? x[index] : edgec_int16_at(x, index);
}

static void store(int8_t *y, int32_t bits, int32_t index, int32_t value) {
  if (bits == 8) {
    y[index] = (int8_t)value;
  } else {
    y[2 * index] = (int8_t)(value & 0xff);
    y[2 * index + 1] = (int8_t)(value >> 8);
  }
}

static int32_t bounded(int64_t value, int32_t low, int32_t high) {
  if (value < low) {
    return low;
  }
  return value > high ? high : (int32_t)value;
}

/* clamp((acc + 2^(shift - 1)) >> shift) to int32, modulo 2^64 before that; shift 0 takes the low word. */
static int32_t narrowed(int64_t acc, int32_t shift) {
  if (shift == 0) {
    return (int32_t)(uint32_t)(uint64_t)acc;
  }
  return bounded((int64_t)((uint64_t)acc + ((uint64_t)1 << (shift - 1))) >> shift, INT32_MIN, INT32_MAX);
}

/* clamp((acc * multiplier + zero_point * 2^32 + 2^31) >> 32) without the narrowing to a byte. */
static int32_t requantized(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero_point, int32_t low, int32_t high) {
  const int64_t product = (int64_t)(shift == 0 ? acc : edgec_shift_left(acc, shift)) * multiplier;
  return edgec_clamp((int32_t)((product + (int64_t)0x80000000) >> 32) + zero_point, low, high);
}

/* acc and Σ w·x of `count` neighbours, from element `at` on. */
static int64_t dot(int64_t acc, const int8_t *x, int32_t bits, int32_t at, const int8_t *w, int32_t count) {
  if (bits == 8) {
    for (int32_t i = 0; i < count; i++) {
      acc += x[at + i] * w[i];
    }
    return acc;
  }
  x += 2 * at;
  for (int32_t i = 0; i < count; i++) {
    acc += edgec_int16_at(x, i) * w[i];
  }
  return acc;
}

/* Σ w·x of one kernel row. Taps outside the input read zero_point. */
static int64_t row_sum(const edgec_conv2d_s16_params *p, const int8_t *x, int32_t row, int32_t x0, int32_t channel, const int8_t *w) {
  const int32_t depth = p->in_c / p->groups;
  int64_t acc = 0;
  for (int32_t kx = 0; kx < p->kernel_w; kx++) {
    const int32_t ix = x0 + kx * p->dilation_w;
    if (row >= 0 && ix >= 0 && ix < p->in_w) {
      acc = dot(acc, x, p->in_bits, (row * p->in_w + ix) * p->in_c + channel, w, depth);
    } else {
      for (int32_t c = 0; c < depth; c++) {
        acc += p->in_zero_point * w[c];
      }
    }
    w += depth;
  }
  return acc;
}

void edgec_s16_conv2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_s16_params *const p = params;
  const int32_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t depth = p->in_c / p->groups;
  const int32_t per_group = p->out_c / p->groups;
  int32_t index = 0;
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const int8_t *w = operands->constant[0];
      for (int32_t oc = 0; oc < p->out_c; oc++) {
        int64_t acc = bias[oc];
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
          const int32_t iy = oy * p->stride_h - p->pad_top + ky * p->dilation_h;
          const int32_t row = iy >= 0 && iy < p->in_h ? iy : -1;
          acc += row_sum(p, operands->input[0], row, ox * p->stride_w - p->pad_left, oc / per_group * depth, w);
          w += p->kernel_w * depth;
        }
        const int32_t y = requantized(narrowed(acc, p->narrow), multiplier[oc], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        store(operands->output[0], p->out_bits, index++, y);
      }
    }
  }
}

void edgec_s16_average_pool2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_average_pool2d_s16_params *const p = params;
  const int32_t *const multiplier = operands->constant[0];
  int32_t index = 0;
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      for (int32_t c = 0; c < p->channels; c++) {
        int32_t acc = 0;
        int32_t taps = 0;
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
          const int32_t iy = oy * p->stride_h - p->pad_top + ky;
          for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            const int32_t ix = ox * p->stride_w - p->pad_left + kx;
            if (iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w) {
              acc += value_at(operands->input[0], p->in_bits, (iy * p->in_w + ix) * p->channels + c) - p->in_zero_point;
              taps++;
            }
          }
        }
        const int32_t m = multiplier[p->multipliers == 1 || taps == 0 ? 0 : taps - 1];
        store(operands->output[0], p->out_bits, index++, requantized(acc, m, p->shift, p->out_zero_point, p->clamp_min, p->clamp_max));
      }
    }
  }
}

void edgec_s16_add__ref(const void *params, const edgec_operands *operands) {
  const edgec_add_s16_params *const p = params;
  const int64_t offset = (int64_t)p->offset_high * ((int64_t)1 << 32) + (int64_t)(uint32_t)p->offset_low;
  for (int32_t i = 0; i < p->count; i++) {
    const int64_t a = (int64_t)value_at(operands->input[0], p->a_bits, i) * p->multiplier_a;
    const int64_t b = (int64_t)value_at(operands->input[1], p->b_bits, i) * p->multiplier_b;
    const int64_t y = (int64_t)((uint64_t)(a + b) + (uint64_t)offset) >> p->shift;
    store(operands->output[0], p->out_bits, i, bounded(y, p->clamp_min, p->clamp_max));
  }
}

void edgec_s16_rescale__ref(const void *params, const edgec_operands *operands) {
  const edgec_rescale_s16_params *const p = params;
  for (int32_t i = 0; i < p->count; i++) {
    const int32_t x = value_at(operands->input[0], p->in_bits, i) - p->in_zero_point;
    store(operands->output[0], p->out_bits, i, requantized(x, p->multiplier, p->shift, p->out_zero_point, p->clamp_min, p->clamp_max));
  }
}

const edgec_kernel edgec_s16_conv2d__ref_kernel = {0x1c00, 0, edgec_s16_conv2d__ref, edgec_conv2d_s16_check};
const edgec_kernel edgec_s16_average_pool2d__ref_kernel = {0x1d00, 0, edgec_s16_average_pool2d__ref, edgec_average_pool2d_s16_check};
const edgec_kernel edgec_s16_add__ref_kernel = {0x1e00, 0, edgec_s16_add__ref, edgec_add_s16_check};
const edgec_kernel edgec_s16_rescale__ref_kernel = {0x1f00, 0, edgec_s16_rescale__ref, edgec_rescale_s16_check};
