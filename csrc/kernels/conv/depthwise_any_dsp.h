/* Depthwise convolution of any window: four channels at a time straight from the input, weights in canonical
 * order, in which four channels of a tap lie side by side. No scratch. Included by conv_dsp.c alone. */
#ifndef EDGEC_DEPTHWISE_ANY_DSP_H
#define EDGEC_DEPTHWISE_ANY_DSP_H

#include "../dsp.h"
#include "conv.h"

/* Up to four bytes; the rest 0. */
static inline uint32_t load_channels(const void *at, int32_t count) {
  uint32_t word = 0;
  if (count == 4) {
    return edgec_load_word(at);
  }
  memcpy(&word, at, (size_t)count);
  return word;
}

/* Four channels of a window, or the first `count` of them; x: its first tap, which may lie outside the input; w: of the first tap. */
typedef struct taps_of_four {
  const int8_t *x, *w;
  int32_t y, column; /* of the first tap */
  int32_t count;
  int inside;        /* the whole window */
} taps_of_four;

static inline void mac_four(const edgec_depthwise_conv2d_params *p, const taps_of_four *t, int32_t *acc) {
  const uint32_t padding = ((uint32_t)p->in_zero_point & 0xffu) * 0x01010101u;
  const int32_t step = p->dilation_w * p->in_c;
  const int32_t next_row = p->dilation_h * p->in_w * p->in_c - p->kernel_w * step;
  const int8_t *x = t->x;
  const int8_t *w = t->w;
  int32_t a0 = 0;
  int32_t a1 = 0;
  int32_t a2 = 0;
  int32_t a3 = 0;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t y = t->y + ky * p->dilation_h;
    int32_t column = t->column;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int inside = t->inside || (y >= 0 && y < p->in_h && column >= 0 && column < p->in_w);
      const uint32_t input = inside ? load_channels(x, t->count) : padding;
      const uint32_t weights = load_channels(w, t->count);
      const uint32_t input_even = edgec_sxtb16(input);
      const uint32_t input_odd = edgec_sxtb16_high(input);
      const uint32_t weights_even = edgec_sxtb16(weights);
      const uint32_t weights_odd = edgec_sxtb16_high(weights);
      a0 = edgec_smlabb(input_even, weights_even, a0);
      a1 = edgec_smlabb(input_odd, weights_odd, a1);
      a2 = edgec_smlatt(input_even, weights_even, a2);
      a3 = edgec_smlatt(input_odd, weights_odd, a3);
      x += step;
      w += p->out_c;
      column += p->dilation_w;
    }
    x += next_row;
  }
  acc[0] = a0;
  acc[1] = a1;
  acc[2] = a2;
  acc[3] = a3;
}

static void depthwise_any(const edgec_depthwise_conv2d_params *p, const edgec_operands *o) {
  const int32_t *const bias = o->constant[1];
  const int32_t *const multiplier = o->constant[2];
  int8_t *y = o->output[0];
  for (int32_t row = 0; row < p->out_h; row++) {
    for (int32_t col = 0; col < p->out_w; col++) {
      taps_of_four t;
      t.y = row * p->stride_h - p->pad_top;
      t.column = col * p->stride_w - p->pad_left;
      t.inside = t.y >= 0 && t.y + (p->kernel_h - 1) * p->dilation_h < p->in_h && t.column >= 0 &&
                 t.column + (p->kernel_w - 1) * p->dilation_w < p->in_w;
      for (int32_t c = 0; c < p->out_c; c += 4) {
        int32_t acc[4];
        t.x = o->input[0] + (t.y * p->in_w + t.column) * p->in_c + c;
        t.w = (const int8_t *)o->constant[0] + c;
        t.count = p->out_c - c;
        if (t.inside && t.count >= 4) { /* the same, with what is known of it */
          t.count = 4;
          mac_four(p, &(const taps_of_four){t.x, t.w, t.y, t.column, 4, 1}, acc);
        } else {
          t.count = t.count < 4 ? t.count : 4;
          mac_four(p, &t, acc);
        }
        for (int32_t i = 0; i < t.count; i++) {
          y[i] = (int8_t)edgec_ssat8(
              edgec_smmlar(edgec_wrapping_add(acc[i], bias[c + i]), multiplier[c + i], p->out_zero_point));
        }
        y += t.count;
      }
    }
  }
  edgec_clamp_bytes(o->output[0], p->out_h * p->out_w * p->out_c, p->clamp_min, p->clamp_max);
}

#endif
