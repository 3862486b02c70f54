/* Convolution, the reference: what a Cortex-M0 runs and what every other kernel is compared with.
 *
 * Pixel by pixel, each output channel written once its window is read: the order that edgec/ops/conv.py `distance` counts on.
 */
#include "../fixed.h"
#include "conv.h"

void edgec_s8_conv2d__ref(const void *params, const edgec_operands *operands);
void edgec_s8_depthwise_conv2d__ref(const void *params, const edgec_operands *operands);

/* Taps [first, last) of a window at `origin` whose input index lies inside [0, size). */
typedef struct taps {
  int32_t first, last;
} taps;

static taps taps_inside(int32_t origin, int32_t dilation, int32_t kernel, int32_t size) {
  taps t = {0, kernel};
  while (t.first < kernel && origin + t.first * dilation < 0) {
    t.first++;
  }
  while (t.last > t.first && origin + (t.last - 1) * dilation >= size) {
    t.last--;
  }
  return t;
}

static int32_t dot(const int8_t *x, const int8_t *w, int32_t count, int32_t acc) {
  for (int32_t i = 0; i < count; i++) {
    acc = edgec_mac(acc, x[i], w[i]);
  }
  return acc;
}

/* zero_point times the sum of weights that fall into the padding. */
static int32_t padded(const int8_t *w, int32_t count, int32_t zero_point, int32_t acc) {
  for (int32_t i = 0; i < count; i++) {
    acc = edgec_mac(acc, zero_point, w[i]);
  }
  return acc;
}

void edgec_s8_conv2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_params *const p = params;
  const int32_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t depth = p->in_c / p->groups;
  const int32_t out_per_group = p->out_c / p->groups;
  const int32_t row_taps = p->kernel_w * depth;
  int8_t *y = operands->output[0];

  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const int32_t y0 = oy * p->stride_h - p->pad_top;
    const taps v = taps_inside(y0, p->dilation_h, p->kernel_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const int32_t x0 = ox * p->stride_w - p->pad_left;
      const taps h = taps_inside(x0, p->dilation_w, p->kernel_w, p->in_w);
      const int8_t *w = operands->constant[0];
      const int8_t *x = operands->input[0]; /* first channel of the group of oc */
      int32_t left_in_group = out_per_group;
      for (int32_t oc = 0; oc < p->out_c; oc++) {
        int32_t acc = bias[oc];
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
          if (ky < v.first || ky >= v.last) {
            acc = padded(w, row_taps, p->in_zero_point, acc);
            w += row_taps;
            continue;
          }
          const int8_t *const row = x + (y0 + ky * p->dilation_h) * p->in_w * p->in_c;
          for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            acc = kx < h.first || kx >= h.last ? padded(w, depth, p->in_zero_point, acc)
                                               : dot(row + (x0 + kx * p->dilation_w) * p->in_c, w, depth, acc);
            w += depth;
          }
        }
        *y++ = edgec_requantize(acc, multiplier[oc], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        left_in_group--;
        if (left_in_group == 0) {
          left_in_group = out_per_group;
          x += depth;
        }
      }
    }
  }
}

/* Backwards, from the last pixel and channel to the first, where the output lies above the input, as memmove does:
 * `distance_above` counts on that. */
void edgec_s8_depthwise_conv2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_depthwise_conv2d_params *const p = params;
  const int32_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t per_input = p->out_c / p->in_c;
  const int backwards = (uintptr_t)operands->output[0] > (uintptr_t)operands->input[0];
  const int32_t step = backwards ? -1 : 1;
  int8_t *y = operands->output[0] + (backwards ? p->out_h * p->out_w * p->out_c - 1 : 0);

  for (int32_t row = 0; row < p->out_h; row++) {
    const int32_t y0 = (backwards ? p->out_h - 1 - row : row) * p->stride_h - p->pad_top;
    for (int32_t col = 0; col < p->out_w; col++) {
      const int32_t x0 = (backwards ? p->out_w - 1 - col : col) * p->stride_w - p->pad_left;
      for (int32_t channel = 0; channel < p->out_c; channel++) {
        const int32_t oc = backwards ? p->out_c - 1 - channel : channel;
        const int8_t *const x = operands->input[0] + oc / per_input;
        const int8_t *w = (const int8_t *)operands->constant[0] + oc;
        int32_t acc = bias[oc];
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
          const int32_t iy = y0 + ky * p->dilation_h;
          for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            const int32_t ix = x0 + kx * p->dilation_w;
            const int inside = iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w;
            acc = edgec_mac(acc, inside ? x[(iy * p->in_w + ix) * p->in_c] : p->in_zero_point, *w);
            w += p->out_c;
          }
        }
        *y = edgec_requantize(acc, multiplier[oc], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        y += step;
      }
    }
  }
}

const edgec_kernel edgec_s8_conv2d__ref_kernel = {0x0100, 1, edgec_s8_conv2d__ref, edgec_conv2d_check};
const edgec_kernel edgec_s8_depthwise_conv2d__ref_kernel = {0x0200, 1, edgec_s8_depthwise_conv2d__ref,
                                                             edgec_depthwise_conv2d_check};
