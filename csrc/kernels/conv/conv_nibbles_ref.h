/* The reference convolutions with weights of 4 bits, unpacked as they are used: the order of reads and writes is that of the kernels
 * with 8 bits. Included by conv_ref.c alone.
 */
#ifndef EDGEC_CONV_NIBBLES_REF_H
#define EDGEC_CONV_NIBBLES_REF_H

#include "../dot.h"

void edgec_s8w4_conv2d__ref(const void *params, const edgec_operands *operands);
void edgec_s8w4_depthwise_conv2d__ref(const void *params, const edgec_operands *operands);

/* One kernel row of two output channels, whose weights are those from `index` on of the rows w and second; x: first channel. */
static edgec_pair nibbles_row(const edgec_conv2d_params *p, const int8_t *row, int32_t x0, taps h, const int8_t *w,
                              const int8_t *second, int32_t index, edgec_pair acc) {
  const int32_t depth = p->in_c / p->groups;
  const int contiguous = p->dilation_w == 1 && p->groups == 1;
  int32_t kx = 0;
  while (kx < p->kernel_w) {
    const int outside = kx < h.first || kx >= h.last;
    const int32_t run = outside || !contiguous ? 1 : h.last - kx;
    if (outside) {
      for (int32_t i = index; i < index + depth; i++) {
        acc = edgec_mac_pair(acc, p->in_zero_point, edgec_nibble(w, i), edgec_nibble(second, i));
      }
    } else {
      acc = edgec_dot_nibbles(row + (x0 + kx * p->dilation_w) * p->in_c, w, second, index, run * depth, acc);
    }
    index += run * depth;
    kx += run;
  }
  return acc;
}

void edgec_s8w4_conv2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_params *const p = params;
  const int16_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t depth = p->in_c / p->groups;
  const int32_t out_per_group = p->out_c / p->groups;
  const int32_t row_taps = p->kernel_w * depth;
  const int32_t window_bytes = (p->kernel_h * row_taps + 1) / 2;
  const taps none = {0, 0};
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
      int32_t oc = 0;
      while (oc < p->out_c) {
        const int32_t count = left_in_group > 1 ? 2 : 1;
        const int8_t *const second = count > 1 ? w + window_bytes : w;
        edgec_pair acc = {bias[oc], bias[oc + count - 1]};
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
          const int outside = ky < v.first || ky >= v.last;
          const int8_t *const row = outside ? x : x + (y0 + ky * p->dilation_h) * p->in_w * p->in_c;
          acc = nibbles_row(p, row, x0, outside ? none : h, w, second, ky * row_taps, acc);
        }
        *y++ = edgec_requantize(acc.a, multiplier[oc], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        if (count > 1) {
          *y++ = edgec_requantize(acc.b, multiplier[oc + 1], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        }
        w += count * window_bytes;
        oc += count;
        left_in_group -= count;
        if (left_in_group == 0) {
          left_in_group = out_per_group;
          x += depth;
        }
      }
    }
  }
}

/* Two channels (or one, with second 0), the first `channel`; x: its place in the input's first pixel, y0, x0: of the first tap. */
static edgec_pair depthwise_nibbles(const edgec_depthwise_conv2d_params *p, const int8_t *x, const int8_t *w, int32_t channel,
                                    int32_t second, int32_t y0, int32_t x0, edgec_pair acc) {
  const int32_t tap_bytes = (p->out_c + 1) / 2;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t iy = y0 + ky * p->dilation_h;
    const int row_inside = iy >= 0 && iy < p->in_h;
    int32_t ix = x0;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int inside = row_inside && ix >= 0 && ix < p->in_w;
      const int8_t *const pixel = inside ? x + (iy * p->in_w + ix) * p->in_c : x;
      acc.a = edgec_mac(acc.a, inside ? pixel[0] : p->in_zero_point, edgec_nibble(w, channel));
      acc.b = edgec_mac(acc.b, inside ? pixel[second] : p->in_zero_point, edgec_nibble(w, channel + second));
      ix += p->dilation_w;
      w += tap_bytes;
    }
  }
  return acc;
}

/* Backwards where the output lies above the input, as the kernel with 8 bits. */
void edgec_s8w4_depthwise_conv2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_depthwise_conv2d_params *const p = params;
  const int16_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t per_input = p->out_c / p->in_c;
  const int backwards = (uintptr_t)operands->output[0] > (uintptr_t)operands->input[0];
  int8_t *y = operands->output[0] + (backwards ? p->out_h * p->out_w * p->out_c : 0);

  for (int32_t row = 0; row < p->out_h; row++) {
    const int32_t y0 = (backwards ? p->out_h - 1 - row : row) * p->stride_h - p->pad_top;
    for (int32_t col = 0; col < p->out_w; col++) {
      const int32_t x0 = (backwards ? p->out_w - 1 - col : col) * p->stride_w - p->pad_left;
      int32_t channel = 0;
      while (channel < p->out_c) {
        const int32_t count = per_input == 1 && p->out_c - channel > 1 ? 2 : 1;
        const int32_t oc = backwards ? p->out_c - count - channel : channel; /* the first of one or two */
        const int8_t *const x = operands->input[0] + (per_input == 1 ? oc : oc / per_input);
        const edgec_pair start = {bias[oc], bias[oc + count - 1]};
        const edgec_pair acc = depthwise_nibbles(p, x, operands->constant[0], oc, count - 1, y0, x0, start);
        y -= backwards ? count : 0;
        y[0] = edgec_requantize(acc.a, multiplier[oc], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        if (count > 1) {
          y[1] = edgec_requantize(acc.b, multiplier[oc + 1], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        }
        y += backwards ? 0 : count;
        channel += count;
      }
    }
  }
}

#endif
