/* Operators with activations of 16 bits, with Helium (Armv8.1-M MVE).
 *
 * Convolutions take two positions at a time; windows are read where they lie if they are one run of whole blocks, and are copied to scratch
 * otherwise. A depthwise window is copied too, one position at a time. conv2d_distance in edgec/ops/packing_wide.py knows in which order
 * this reads and writes. Where a sum may leave 32 bits (narrow > 0) another kernel keeps sums of 64.
 */
#include "../fixed.h"
#include "../mve.h"
#include "pairs_wide_mve.h"
#include "vectors_wide_mve.h"
#include "wide.h"
#include "wide_elements.h"
#include "wide_windows.h"

void edgec_s16_conv2d_4x2c16__mve(const void *params, const edgec_operands *operands);
void edgec_s16_conv2d_1x1c1__mve(const void *params, const edgec_operands *operands);
void edgec_s16_conv2d_8x1d8__mve(const void *params, const edgec_operands *operands);
void edgec_s16_average_pool2d__mve(const void *params, const edgec_operands *operands);
void edgec_s16_add__mve(const void *params, const edgec_operands *operands);
void edgec_s16_rescale__mve(const void *params, const edgec_operands *operands);

static int32_t window_bytes(const edgec_conv2d_s16_params *p) { return p->kernel_h * p->kernel_w * p->in_c * p->in_bits / 8; }

static int32_t padded_bytes(const edgec_conv2d_s16_params *p) { return edgec_mve_round_up(window_bytes(p), EDGEC_MVE_BLOCK); }

static wide_walk walk_of(const edgec_conv2d_s16_params *p, const int8_t *input) {
  wide_walk w = wide_walk_of(p, input, 128 / p->in_bits);
  w.straight = w.straight && p->kernel_h == 1 && p->groups == 1;
  return w;
}

void edgec_s16_conv2d_4x2c16__mve(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_s16_params *const p = params;
  const int32_t padded = padded_bytes(p);
  const int32_t positions = p->out_h * p->out_w;
  int8_t *const copies = operands->scratch;
  wide_walk next = walk_of(p, operands->input[0]);
  wide_pair pair;
  pair.zero_point = p->out_zero_point;
  pair.shift = p->shift;
  pair.blocks = padded / EDGEC_MVE_BLOCK;
  pair.weights = operands->constant[0];
  pair.channels = 2 * p->out_c;
  for (int32_t i = 0; i < 8; i++) {
    pair.place[i] = (uint16_t)(i / 2 + i % 2 * p->out_c);
    pair.low[i] = (int16_t)p->clamp_min;
    pair.high[i] = (int16_t)p->clamp_max;
    pair.mask[i / 2] = -(int32_t)((uint32_t)1 << p->shift);
  }
  if (!next.straight) {
    wide_fill(copies, 0, 2 * padded); /* what no tap writes */
  }
  for (int32_t at = 0; at < positions; at += 2) {
    pair.first = wide_next_window(&next, copies).first;
    pair.output = operands->output[0] + at * p->out_c * p->out_bits / 8;
    if (at + 1 < positions) {
      pair.second = wide_next_window(&next, copies + padded).first;
    } else { /* computed twice, into the same bytes */
      pair.second = pair.first;
      for (int32_t i = 0; i < 8; i++) {
        pair.place[i] = (uint16_t)(i / 2);
      }
    }
    run_pair(&pair, p->in_bits, p->out_bits);
  }
}

/* acc + sum of w * x over `taps` of int16. */
static int64_t long_dot(int64_t acc, const int8_t *x, const int8_t *w, int32_t taps) {
#if defined(__ARM_FEATURE_MVE)
  __asm__ volatile(
      "wlstp.16 lr, %[n], 2f\n"
      "1:\n"
      "vldrh.u16 q0, [%[x]], #16\n"
      "vldrb.s16 q1, [%[w]], #8\n"
      "vmlaldava.s16 %Q[acc], %R[acc], q0, q1\n"
      "letp lr, 1b\n"
      "2:\n"
      : [acc] "+r"(acc), [x] "+l"(x), [w] "+l"(w)
      : [n] "r"(taps)
      : "q0", "q1", "lr", "memory");
#else
  for (int32_t i = 0; i < taps; i++) {
    acc += element_at(x + 2 * i, 16) * w[i];
  }
#endif
  return acc;
}

/* int16 inputs, weights in canonical order, one output at a time. */
void edgec_s16_conv2d_1x1c1__mve(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_s16_params *const p = params;
  const int32_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t taps = p->kernel_h * p->kernel_w * p->in_c;
  wide_walk next = walk_of(p, operands->input[0]);
  int8_t *y = operands->output[0];
  for (int32_t at = 0; at < p->out_h * p->out_w; at++) {
    const int8_t *const x = wide_next_window(&next, operands->scratch).first;
    const int8_t *w = operands->constant[0];
    for (int32_t c = 0; c < p->out_c; c++) {
      const int64_t sum = long_dot(bias[c] + ((int64_t)1 << (p->narrow - 1)), x, w, taps) >> p->narrow;
      const int32_t acc = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : (int32_t)sum;
      const int64_t product = (int64_t)edgec_shift_left(acc, p->shift) * multiplier[c] + INT64_C(0x80000000);
      put(y, p->out_bits, edgec_clamp((int32_t)(product >> 32) + p->out_zero_point, p->clamp_min, p->clamp_max));
      y += p->out_bits / 8;
      w += taps;
    }
  }
}

void edgec_s16_conv2d_8x1d8__mve(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_s16_params *const p = params;
  const int32_t taps = p->kernel_h * p->kernel_w;
  const wide_scale s = scale_of(p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
  wide_walk next = walk_of(p, operands->input[0]);
  int8_t *y = operands->output[0];
  for (int32_t at = 0; at < p->out_h * p->out_w; at++) {
    const int8_t *const x = wide_next_window(&next, operands->scratch).first;
    const int8_t *w = operands->constant[0];
    for (int32_t c = 0; c < p->out_c; c += CHANNELS) {
      const int32_t count = p->out_c - c < CHANNELS ? p->out_c - c : CHANNELS;
      depthwise_eight(x + c * p->in_bits / 8, p->in_bits, p->in_c * p->in_bits / 8, w, taps, &s, y, p->out_bits, count);
      w += STREAM_HEAD + CHANNELS * taps;
      y += count * p->out_bits / 8;
    }
  }
}

void edgec_s16_average_pool2d__mve(const void *params, const edgec_operands *operands) {
  const edgec_average_pool2d_s16_params *const p = params;
  const int32_t *const multiplier = operands->constant[0];
  const int32_t element = p->in_bits / 8;
  const wide_scale s = scale_of(p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
  int8_t *y = operands->output[0];
  pool_window w;
  w.pixel = p->channels * element;
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const edgec_span v = edgec_span_inside(oy * p->stride_h - p->pad_top, p->kernel_h, p->in_h);
    w.rows = v.last - v.first;
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const edgec_span h = edgec_span_inside(ox * p->stride_w - p->pad_left, p->kernel_w, p->in_w);
      w.columns = h.last - h.first;
      w.row = (p->in_w - w.columns) * w.pixel;
      w.start = -w.rows * w.columns * p->in_zero_point;
      w.multiplier = multiplier[p->multipliers == 1 ? 0 : w.rows * w.columns - 1] / 2; /* even, docs/SPEC.md section 1 */
      for (int32_t c = 0; c < p->channels; c += LANES) {
        const int32_t count = p->channels - c < LANES ? p->channels - c : LANES;
        const int8_t *const x = operands->input[0] + (v.first * p->in_w + h.first) * w.pixel + c * element;
        average_four(x, p->in_bits, &w, &s, y, p->out_bits, count);
        y += count * p->out_bits / 8;
      }
    }
  }
}

enum { SPLIT = 15 /* bits of the lower parts of factors */ };

static int32_t upper(int32_t factor) { return factor >> SPLIT; }

static int32_t lower(int32_t factor) { return factor & ((1 << SPLIT) - 1); }

void edgec_s16_add__mve(const void *params, const edgec_operands *operands) {
  const edgec_add_s16_params *const p = params;
  const int64_t offset = (int64_t)(((uint64_t)(uint32_t)p->offset_high << 32) | (uint32_t)p->offset_low);
  const int wider = p->a_bits >= p->b_bits ? 0 : 1; /* operand */
  const int32_t ma = wider == 0 ? p->multiplier_a : p->multiplier_b;
  const int32_t mb = wider == 0 ? p->multiplier_b : p->multiplier_a;
  const wide_sum s = {lower(ma), lower(mb), upper(ma), upper(mb), lower(p->offset_low), (int32_t)(uint32_t)(uint64_t)(offset >> SPLIT),
                      p->clamp_min, p->clamp_max, SPLIT - p->shift};
  add(operands->input[wider], wider == 0 ? p->a_bits : p->b_bits, operands->input[1 - wider], wider == 0 ? p->b_bits : p->a_bits, &s,
      operands->output[0], p->out_bits, p->count);
}

void edgec_s16_rescale__mve(const void *params, const edgec_operands *operands) {
  const edgec_rescale_s16_params *const p = params;
  const wide_scale s = scale_of(p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
  rescale(operands->input[0], p->in_bits, p->in_zero_point, p->multiplier / 2, &s, operands->output[0], p->out_bits, p->count);
}

/* Bounds under which nothing that the checks and the walk compute leaves 32 bits. */
static int is_valid_size(const edgec_conv2d_s16_params *p, const edgec_sizes *s) {
  return s->param_count == sizeof *p / 4 && edgec_within(p->in_c, 1, 0xffff) && edgec_within(p->out_c, 1, 0x7fff) &&
         edgec_within(p->kernel_h, 1, 0x7fff) && edgec_within(p->kernel_w, 1, 0x7fff) && p->groups >= 1 &&
         (p->in_bits == 8 || (p->in_bits == 16 && p->in_zero_point == 0)) &&
         edgec_volume(p->kernel_h, p->kernel_w, p->in_c) < 0x01000000u;
}

/* Everything lies in constant[0], `stream` bytes of it. */
static int check_stream(const edgec_conv2d_s16_params *p, const edgec_sizes *s, uint64_t stream) {
  edgec_sizes canonical = *s;
  canonical.constant[0] = edgec_volume(p->out_c, p->kernel_h * p->kernel_w, p->in_c / p->groups);
  canonical.constant[1] = 4u * (uint32_t)p->out_c;
  canonical.constant[2] = 4u * (uint32_t)p->out_c;
  return edgec_conv2d_s16_check(p, &canonical) && s->constant[0] == stream && s->constant[1] == 0u && s->constant[2] == 0u;
}

static int check_conv2d(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_s16_params *const p = params;
  if (!is_valid_size(p, s) || p->groups != 1 || p->narrow != 0 || (p->in_bits == 8 && p->out_bits == 8)) {
    return 0;
  }
  const uint64_t weights = 4u * (uint64_t)padded_bytes(p) * 8u / (uint32_t)p->in_bits;
  return check_stream(p, s, (uint64_t)((p->out_c + 3) / 4) * (48u + weights)) && s->scratch == 2u * (uint32_t)padded_bytes(p);
}

static int check_long(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_s16_params *const p = params;
  return is_valid_size(p, s) && p->groups == 1 && p->narrow > 0 && p->in_bits == 16 && edgec_conv2d_s16_check(params, s) &&
         s->scratch == (uint32_t)padded_bytes(p);
}

static int check_depthwise(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_s16_params *const p = params;
  if (!is_valid_size(p, s) || p->groups != p->in_c || p->in_c != p->out_c || p->narrow != 0 || (p->in_bits == 8 && p->out_bits == 8)) {
    return 0;
  }
  const uint64_t stream = (uint64_t)((p->out_c + 7) / 8) * (uint32_t)(STREAM_HEAD + CHANNELS * p->kernel_h * p->kernel_w);
  return check_stream(p, s, stream) && s->scratch == (uint32_t)(padded_bytes(p) + EDGEC_MVE_BLOCK);
}

static int check_average_pool(const void *params, const edgec_sizes *s) {
  const edgec_average_pool2d_s16_params *const p = params;
  return edgec_average_pool2d_s16_check(params, s) && (p->in_bits == 16 || p->out_bits == 16);
}

static int64_t magnitude(int32_t value) { return value < 0 ? -(int64_t)value : value; }

/* The sum without its lower 15 bits fits 32 bits, and factors fit their parts. */
static int check_add(const void *params, const edgec_sizes *s) {
  const edgec_add_s16_params *const p = params;
  if (!edgec_add_s16_check(params, s) || p->shift < SPLIT || !edgec_within(p->offset_high, -0x3fff, 0x3fff) ||
      (p->a_bits == 8 && p->b_bits == 8 && p->out_bits == 8)) {
    return 0;
  }
  const int64_t a = magnitude(p->multiplier_a) * ((int64_t)1 << (p->a_bits - 1));
  const int64_t b = magnitude(p->multiplier_b) * ((int64_t)1 << (p->b_bits - 1));
  return a + b + (magnitude(p->offset_high) + 1) * ((int64_t)1 << 32) < ((int64_t)1 << 46) - (1 << SPLIT);
}

const edgec_kernel edgec_s16_conv2d_4x2c16__mve_kernel = {0x1c40, 1, edgec_s16_conv2d_4x2c16__mve, check_conv2d};
const edgec_kernel edgec_s16_conv2d_1x1c1__mve_kernel = {0x1c41, 1, edgec_s16_conv2d_1x1c1__mve, check_long};
const edgec_kernel edgec_s16_conv2d_8x1d8__mve_kernel = {0x1c42, 1, edgec_s16_conv2d_8x1d8__mve, check_depthwise};
const edgec_kernel edgec_s16_average_pool2d__mve_kernel = {0x1d40, 1, edgec_s16_average_pool2d__mve, check_average_pool};
const edgec_kernel edgec_s16_add__mve_kernel = {0x1e40, 1, edgec_s16_add__mve, check_add};
const edgec_kernel edgec_s16_rescale__mve_kernel = {0x1f40, 1, edgec_s16_rescale__mve, edgec_rescale_s16_check};
