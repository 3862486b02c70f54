/* average_pool2d_s16, add_s16 and rescale_s16 for the DSP extension. Included by wide_dsp.c alone. */
#ifndef EDGEC_POINTWISE_WIDE_DSP_H
#define EDGEC_POINTWISE_WIDE_DSP_H

#include "../dsp.h"
#include "wide.h"
#include "wide_elements.h"

enum { POOL_TAPS = 256 /* whose int8 sums fit a halfword */ };

typedef struct pool_window {
  const int8_t *first;
  int32_t rows, columns;
  int32_t pixel, row; /* bytes to the next pixel, to the next row */
} pool_window;

/* Sums of channels 0, 2 and 1, 3 of `count` bytes a pixel, as halfwords. */
EDGEC_COPIED void sum_bytes(const pool_window *w, int32_t count, int32_t sums[4]) {
  const int32_t pixel = w->pixel;
  uint32_t even = 0;
  uint32_t odd = 0;
  for (int32_t i = 0; i < w->rows; i++) {
    const int8_t *x = w->first + i * w->row;
    for (const int8_t *const end = x + w->columns * pixel; x != end; x += pixel) {
      uint32_t word = 0;
      memcpy(&word, x, (size_t)count);
      even = edgec_sxtab16(even, word);
      odd = edgec_sxtab16_high(odd, word);
    }
  }
  sums[0] = (int16_t)(uint16_t)even;
  sums[1] = (int16_t)(uint16_t)odd;
  sums[2] = (int32_t)even >> 16;
  sums[3] = (int32_t)odd >> 16;
}

/* Sums of up to four int16 channels. */
EDGEC_COPIED void sum_halves(const pool_window *w, int32_t count, int32_t sums[4]) {
  const int32_t pixel = w->pixel;
  int32_t s0 = 0;
  int32_t s1 = 0;
  int32_t s2 = 0;
  int32_t s3 = 0;
  for (int32_t i = 0; i < w->rows; i++) {
    const int8_t *x = w->first + i * w->row;
    for (const int8_t *const end = x + w->columns * pixel; x != end; x += pixel) {
      uint32_t pair[2] = {0, 0};
      memcpy(pair, x, (size_t)(2 * count));
      s0 += (int16_t)(uint16_t)pair[0];
      s1 += (int32_t)pair[0] >> 16;
      s2 += (int16_t)(uint16_t)pair[1];
      s3 += (int32_t)pair[1] >> 16;
    }
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

static void sum_window(const pool_window *w, int32_t bits, int32_t count, int32_t sums[4]) {
  if (bits == 8 && count == 4) {
    sum_bytes(w, 4, sums);
  } else if (bits == 8) {
    sum_bytes(w, count, sums);
  } else if (count == 4) {
    sum_halves(w, 4, sums);
  } else {
    sum_halves(w, count, sums);
  }
}

static void run_average_pool(const edgec_average_pool2d_s16_params *p, const edgec_operands *o) {
  const int32_t *const multiplier = o->constant[0];
  const int32_t element = p->in_bits / 8;
  int8_t *y = o->output[0];
  pool_window w = {NULL, 0, 0, p->channels * element, p->in_w * p->channels * element};
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const edgec_span v = edgec_span_inside(oy * p->stride_h - p->pad_top, p->kernel_h, p->in_h);
    w.rows = v.last - v.first;
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const edgec_span h = edgec_span_inside(ox * p->stride_w - p->pad_left, p->kernel_w, p->in_w);
      w.columns = h.last - h.first;
      const int32_t taps = w.rows * w.columns;
      const int32_t m = multiplier[p->multipliers == 1 ? 0 : taps - 1];
      for (int32_t c = 0; c < p->channels; c += 4) {
        const int32_t count = p->channels - c < 4 ? p->channels - c : 4;
        int32_t sums[4];
        w.first = o->input[0] + v.first * w.row + h.first * w.pixel + c * element;
        sum_window(&w, p->in_bits, count, sums);
        for (int32_t i = 0; i < count; i++) {
          const int32_t acc = edgec_scale_up(sums[i] - taps * p->in_zero_point, p->shift);
          put(y, p->out_bits, edgec_clamp(edgec_smmlar(acc, m, p->out_zero_point), p->clamp_min, p->clamp_max));
          y += p->out_bits / 8;
        }
      }
    }
  }
}

/* Clamp bounds; whole: they are those of int8, and one instruction does it. */
typedef struct limits {
  int32_t low, high;
} limits;

static int is_whole(const limits *l, int32_t bits) { return bits == 8 && l->low == INT8_MIN && l->high == INT8_MAX; }

EDGEC_COPIED int32_t limited(int32_t value, int whole, limits l) { return whole ? edgec_ssat8(value) : edgec_clamp(value, l.low, l.high); }

/* Operands shifted left by 32 - n, so that the sum's upper word is the shifted sum. */
EDGEC_COPIED void add_elements(const edgec_add_s16_params *p, const edgec_operands *o, int32_t a_bits, int32_t b_bits, int32_t out_bits, limits l,
                               int whole) {
  const int8_t *a = o->input[0];
  const int8_t *b = o->input[1];
  int8_t *y = o->output[0];
  const int32_t up = 32 - p->shift;
  const int64_t offset = (int64_t)((((uint64_t)(uint32_t)p->offset_high << 32) | (uint32_t)p->offset_low) << up);
  const int32_t ma = p->multiplier_a;
  const int32_t mb = p->multiplier_b;
  for (int8_t *const end = y + p->count * out_bits / 8; y != end; y += out_bits / 8) {
    const int32_t left = (int32_t)((uint32_t)element_at(a, a_bits) << up);
    const int32_t right = (int32_t)((uint32_t)element_at(b, b_bits) << up);
    const int64_t sum = offset + (int64_t)left * ma + (int64_t)right * mb;
    put(y, out_bits, limited((int32_t)(sum >> 32), whole, l));
    a += a_bits / 8;
    b += b_bits / 8;
  }
}

static void run_add(const edgec_add_s16_params *p, const edgec_operands *o) {
  const limits l = {p->clamp_min, p->clamp_max};
  if (is_whole(&l, p->out_bits) && p->a_bits == 16 && p->b_bits == 8) {
    add_elements(p, o, 16, 8, 8, l, 1);
  } else if (is_whole(&l, p->out_bits) && p->a_bits == 8 && p->b_bits == 16) {
    add_elements(p, o, 8, 16, 8, l, 1);
  } else {
    add_elements(p, o, p->a_bits, p->b_bits, p->out_bits, l, 0);
  }
}

EDGEC_COPIED void rescale_elements(const edgec_rescale_s16_params *p, const edgec_operands *o, int32_t in_bits, int32_t out_bits, int32_t shift,
                                   limits l, int whole) {
  const int8_t *x = o->input[0];
  int8_t *y = o->output[0];
  const int32_t zero_point = p->in_zero_point;
  for (int8_t *const end = y + p->count * out_bits / 8; y != end; y += out_bits / 8) {
    const int32_t value = edgec_scale_up(element_at(x, in_bits) - zero_point, shift);
    put(y, out_bits, limited(edgec_smmlar(value, p->multiplier, p->out_zero_point), whole, l));
    x += in_bits / 8;
  }
}

static void run_rescale(const edgec_rescale_s16_params *p, const edgec_operands *o) {
  const limits l = {p->clamp_min, p->clamp_max};
  if (is_whole(&l, p->out_bits) && p->in_bits == 16 && p->shift == 0) {
    rescale_elements(p, o, 16, 8, 0, l, 1);
  } else {
    rescale_elements(p, o, p->in_bits, p->out_bits, p->shift, l, 0);
  }
}

#endif
