/* Depthwise convolution of any window: two positions by four channels at a time straight from the input, weights in canonical
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

static inline void mac_channels(int32_t *acc, uint32_t x, uint32_t even, uint32_t odd) {
  const uint32_t x_even = edgec_sxtb16(x);
  const uint32_t x_odd = edgec_sxtb16_high(x);
  acc[0] = edgec_smlabb(x_even, even, acc[0]);
  acc[1] = edgec_smlabb(x_odd, odd, acc[1]);
  acc[2] = edgec_smlatt(x_even, even, acc[2]);
  acc[3] = edgec_smlatt(x_odd, odd, acc[3]);
}

typedef struct position {
  int32_t y, x; /* first tap in the input */
} position;

static int window_is_inside(const edgec_depthwise_conv2d_params *p, position at) {
  return at.y >= 0 && at.y + (p->kernel_h - 1) * p->dilation_h < p->in_h && at.x >= 0 &&
         at.x + (p->kernel_w - 1) * p->dilation_w < p->in_w;
}

/* `count` channels from c on of two positions whose windows lie inside the input. */
static void mac_inside(const edgec_depthwise_conv2d_params *p, const int8_t *x0, const int8_t *x1, const int8_t *w,
                       int32_t count, int32_t *acc) {
  int32_t a[8];
  memcpy(a, acc, sizeof a);
  const int32_t row = p->dilation_h * p->in_w * p->in_c;
  const int32_t step = p->dilation_w * p->in_c;
  const int32_t apart = (int32_t)(x1 - x0);
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int8_t *x = x0;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const uint32_t weights = load_channels(w, count);
      const uint32_t even = edgec_sxtb16(weights);
      const uint32_t odd = edgec_sxtb16_high(weights);
      mac_channels(a, load_channels(x, count), even, odd);
      mac_channels(a + 4, load_channels(x + apart, count), even, odd);
      x += step;
      w += p->out_c;
    }
    x0 += row;
  }
  memcpy(acc, a, sizeof a);
}

/* The same for one position whose window may leave the input. */
static void mac_edge(const edgec_depthwise_conv2d_params *p, const int8_t *x, position at, const int8_t *w, int32_t count,
                     int32_t *acc) {
  const uint32_t padding = ((uint32_t)p->in_zero_point & 0xffu) * 0x01010101u;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t y = at.y + ky * p->dilation_h;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int32_t column = at.x + kx * p->dilation_w;
      const int inside = y >= 0 && y < p->in_h && column >= 0 && column < p->in_w;
      const uint32_t weights = load_channels(w, count);
      mac_channels(acc, inside ? load_channels(x + (y * p->in_w + column) * p->in_c, count) : padding, edgec_sxtb16(weights),
                   edgec_sxtb16_high(weights));
      w += p->out_c;
    }
  }
}

static void depthwise_any(const edgec_depthwise_conv2d_params *p, const edgec_operands *o) {
  const int32_t *const bias = o->constant[1];
  const int32_t *const multiplier = o->constant[2];
  const int32_t positions = p->out_h * p->out_w;
  position next = {-p->pad_top, -p->pad_left};
  for (int32_t done = 0; done < positions; done += 2) {
    const int32_t pair = positions - done < 2 ? 1 : 2;
    position at[2];
    for (int32_t i = 0; i < 2; i++) {
      at[i] = i < pair ? next : at[0];
      next.x += p->stride_w;
      if (next.x > (p->out_w - 1) * p->stride_w - p->pad_left) {
        next.x = -p->pad_left;
        next.y += p->stride_h;
      }
    }
    const int inside = window_is_inside(p, at[0]) && window_is_inside(p, at[1]);
    for (int32_t c = 0; c < p->out_c; c += 4) {
      const int32_t count = p->out_c - c < 4 ? p->out_c - c : 4;
      const int8_t *const x = o->input[0] + c;
      const int8_t *const w = (const int8_t *)o->constant[0] + c;
      int32_t acc[8] = {0, 0, 0, 0, 0, 0, 0, 0};
      if (inside) {
        mac_inside(p, x + (at[0].y * p->in_w + at[0].x) * p->in_c, x + (at[1].y * p->in_w + at[1].x) * p->in_c, w, count, acc);
      } else {
        mac_edge(p, x, at[0], w, count, acc);
        mac_edge(p, x, at[1], w, count, acc + 4);
      }
      for (int32_t i = 0; i < pair; i++) {
        int8_t *const y = o->output[0] + (done + i) * p->out_c + c;
        for (int32_t j = 0; j < count; j++) {
          y[j] = (int8_t)edgec_ssat8(
              edgec_smmlar(edgec_wrapping_add(acc[4 * i + j], bias[c + j]), multiplier[c + j], p->out_zero_point));
        }
      }
    }
  }
  edgec_clamp_bytes(o->output[0], positions * p->out_c, p->clamp_min, p->clamp_max);
}

#endif
