/* Convolution with Helium (Armv8.1-M MVE). The packed layout and the inner engine are in conv_mve_pairs.h; here is which
 * windows are read straight from the tensor and which are gathered into a column in scratch first.
 *
 * Straight: 1x1 without padding, and 3x3 windows that lie inside the input when a row of one is a multiple of 16 bytes.
 * Gathered: everything else, and windows whose last block would read beyond the tensor. Positions are handled in order,
 * which edgec/ops/packing_mve.py replays to find how far the output may overlap the input.
 */
#include "../fixed.h"
#include "../mve.h"
#include "conv.h"
#include "conv_mve_columns.h"
#include "conv_mve_pairs.h"

void edgec_s8_conv2d_4x2c16__mve(const void *params, const edgec_operands *operands);
void edgec_s8_depthwise_conv2d_1x8c16__mve(const void *params, const edgec_operands *operands);

enum {
  COLUMN_TARGET = 640, /* bytes of scratch that columns may take where the window allows it */
  COLUMNS_MAX = 16
};

static int is_pointwise(const edgec_conv2d_params *p) { return p->kernel_h == 1 && p->kernel_w == 1; }

static int has_straight_rows(const edgec_conv2d_params *p) {
  return p->kernel_h == 3 && p->kernel_w == 3 && p->dilation_h == 1 && p->dilation_w == 1 && p->in_c % EDGEC_MVE_BLOCK == 0;
}

/* Columns in scratch: an even number. 0 where no window is ever gathered. */
static int32_t columns_of(const edgec_conv2d_params *p, int32_t padded) {
  if (is_pointwise(p) && p->in_c % EDGEC_MVE_BLOCK == 0) {
    return 0;
  }
  const int32_t fit = COLUMN_TARGET / padded / 2 * 2;
  return edgec_clamp(fit, 2, COLUMNS_MAX);
}

static uint32_t scratch_bytes(const edgec_conv2d_params *p) {
  const int32_t padded = edgec_mve_round_up(p->kernel_h * p->kernel_w * p->in_c, EDGEC_MVE_BLOCK);
  const int32_t columns = columns_of(p, padded);
  return columns == 0 ? 0u : (uint32_t)(columns * padded + EDGEC_MVE_BLOCK);
}

/* First position whose window starts at or after 0, and one past the last whose window ends at or before size. */
static int32_t interior_first(int32_t pad, int32_t stride) { return (pad + stride - 1) / stride; }

static int32_t interior_end(int32_t size, int32_t reach, int32_t pad, int32_t stride, int32_t out) {
  return size + pad < reach ? 0 : edgec_clamp((size + pad - reach) / stride + 1, 0, out);
}

/* How the engine walks a window: along a column in scratch, a pixel, or three rows of the tensor. */
static void set_walk(conv_state *s, int32_t rows) {
  const int32_t row_bytes = s->padded / rows;
  s->job.rows = rows;
  s->job.blocks = row_bytes / EDGEC_MVE_BLOCK;
  s->job.hop = rows == 1 ? 0 : s->p->in_w * s->p->in_c - row_bytes;
  s->job.back = -(s->padded + (rows - 1) * s->job.hop);
}

/* Two positions a pair; the last of an odd number is computed twice, into the same bytes. */
static void run_positions(conv_state *s, const int8_t *first, int32_t step, int32_t position, int32_t count) {
  const int32_t out_c = s->p->out_c;
  s->job.pairs = count / 2;
  s->job.first = first;
  s->job.second = first + step;
  s->job.input_step = 2 * step;
  s->job.output = s->output + position * out_c;
  if (s->job.pairs > 0) {
    edgec_mve_run_pairs(&s->job);
  }
  if (count % 2 != 0) {
    edgec_mve_pairs single = s->job;
    single.pairs = 1;
    single.first = first + (count - 1) * step;
    single.second = single.first;
    single.output = s->output + (position + count - 1) * out_c;
    for (int32_t i = 0; i < 8; i++) {
      single.place[i] = (uint16_t)(i / 2);
    }
    edgec_mve_run_pairs(&single);
  }
}

/* Compute the positions gathered so far, which end before `position`. */
static void flush(conv_state *s, int32_t position) {
  if (s->columns_filled != 0) {
    set_walk(s, 1);
    run_positions(s, s->columns, s->padded, position - s->columns_filled, s->columns_filled);
    s->columns_filled = 0;
  }
}

static void start(conv_state *s, const edgec_conv2d_params *p, const edgec_operands *operands) {
  s->p = p;
  s->input = operands->input[0];
  s->output = operands->output[0];
  s->columns = operands->scratch;
  s->window = p->kernel_h * p->kernel_w * p->in_c;
  s->padded = edgec_mve_round_up(s->window, EDGEC_MVE_BLOCK);
  s->columns_max = columns_of(p, s->padded);
  s->columns_filled = 0;
  s->job.zero_point = p->out_zero_point;
  s->job.weights = operands->constant[0];
  s->job.channels = 2 * p->out_c;
  s->job.output_step = 2 * p->out_c - edgec_mve_round_up(p->out_c, 4);
  s->job.shift = p->shift;
  for (int32_t i = 0; i < 8; i++) {
    s->job.place[i] = (uint16_t)(i / 2 + i % 2 * p->out_c);
    s->job.low[i] = (int16_t)p->clamp_min;
    s->job.high[i] = (int16_t)p->clamp_max;
    s->job.mask[i / 2] = -(int32_t)((uint32_t)1 << p->shift);
    s->job.unused[i / 4] = 0;
  }
}

/* Note that `count` more columns are filled; compute them all when there is no room for more. */
static void filled(conv_state *s, int32_t count, int32_t position) {
  s->columns_filled += count;
  if (s->columns_filled == s->columns_max) {
    flush(s, position);
  }
}

/* 1x1: pixels as they lie in the tensor, but for the last ones, whose last block would reach beyond it. */
static void run_pixels(conv_state *s) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t step = p->stride_w * p->in_c;
  const int32_t bytes = p->in_h * p->in_w * p->in_c;
  const int flat = p->stride_w == 1 && p->stride_h == 1 && p->out_w == p->in_w;
  const int32_t rows = flat ? 1 : p->out_h;
  const int32_t columns = flat ? p->out_h * p->out_w : p->out_w;
  for (int32_t oy = 0; oy < rows; oy++) {
    const int32_t at = oy * p->stride_h * p->in_w * p->in_c;
    const int8_t *from = s->input + at;
    const int32_t readable = at + s->padded > bytes ? 0 : (bytes - s->padded - at) / step + 1;
    const int32_t straight = readable < columns ? readable : columns;
    if (straight > 0) {
      flush(s, oy * columns);
      set_walk(s, 1);
      run_positions(s, from, step, oy * columns, straight);
      from += straight * step;
    }
    for (int32_t ox = straight; ox < columns; ox++) {
      edgec_mve_copy(s->columns + s->columns_filled * s->padded, from, p->in_c);
      from += step;
      filled(s, 1, oy * columns + ox + 1);
    }
  }
}

/* Everything else: rows of the tensor where the window is inside and its rows come in blocks, columns elsewhere. */
static void run_windows(conv_state *s) {
  const edgec_conv2d_params *const p = s->p;
  const int straight = has_straight_rows(p);
  const int dilated = p->dilation_h != 1 || p->dilation_w != 1;
  const int32_t row_bytes = p->kernel_w * p->in_c;
  const int narrow = row_bytes <= EDGEC_MVE_BLOCK;
  const int32_t step = p->stride_w * p->in_c;
  const int32_t left = interior_first(p->pad_left, p->stride_w);
  const int32_t right = interior_end(p->in_w, p->kernel_w, p->pad_left, p->stride_w, p->out_w);
  int32_t position = 0;
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const int32_t y0 = oy * p->stride_h - p->pad_top;
    clip c;
    c.top = edgec_clamp(-y0, 0, p->kernel_h);
    c.bottom = edgec_clamp(p->in_h - y0, c.top, p->kernel_h);
    const int row_inside = c.bottom - c.top == p->kernel_h;
    /* Integers, since the first tap may lie before the input, where no pointer may point. */
    uintptr_t from = (uintptr_t)s->input + (uintptr_t)(intptr_t)((y0 * p->in_w - p->pad_left) * p->in_c);
    int32_t x0 = -p->pad_left;
    int32_t count = 1;
    for (int32_t ox = 0; ox < p->out_w; ox += count) {
      int8_t *const to = s->columns + s->columns_filled * s->padded;
      const int8_t *const window = (const int8_t *)from;
      const int inside = row_inside && ox >= left && ox < right;
      count = 1;
      if (inside && straight && right - ox > 1) {
        count = (right - ox) / 2 * 2;
        flush(s, position);
        set_walk(s, 3);
        run_positions(s, window, step, position, count);
      } else if (inside && narrow && !dilated && p->kernel_h == 3) {
        const int32_t room = s->columns_max - s->columns_filled;
        count = room < right - ox ? room : right - ox;
        gather_narrow_run(s, to, window, count);
        filled(s, count, position + count);
      } else {
        c.left = edgec_clamp(-x0, 0, p->kernel_w);
        c.right = edgec_clamp(p->in_w - x0, c.left, p->kernel_w);
        if (dilated) {
          gather_taps(s, to, y0, x0);
        } else if (narrow) {
          gather_narrow(s, to, window, &c);
        } else {
          gather_wide(s, to, window, &c);
        }
        filled(s, 1, position + 1);
      }
      position += count;
      x0 += count * p->stride_w;
      from += (uintptr_t)(count * step);
    }
  }
}

void edgec_s8_conv2d_4x2c16__mve(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_params *const p = params;
  conv_state s;
  start(&s, p, operands);
  if (is_pointwise(p)) {
    run_pixels(&s);
  } else {
    run_windows(&s);
  }
  flush(&s, p->out_h * p->out_w);
}

static int edgec_conv2d_4x2c16_check(const void *params, const edgec_sizes *sizes) {
  const edgec_conv2d_params *const p = params;
  edgec_sizes canonical = *sizes;
  if (sizes->param_count != sizeof *p / 4 || p->groups != 1 || !edgec_within(p->in_c, 1, 0xffff) ||
      !edgec_within(p->out_c, 1, 0x7fff) || !edgec_within(p->kernel_h, 1, 0x7fff) || !edgec_within(p->kernel_w, 1, 0x7fff)) {
    return 0;
  }
  const uint32_t window = edgec_volume(p->kernel_h, p->kernel_w, p->in_c);
  if (window > 0x7fff0u) {
    return 0;
  }
  const uint32_t blocks = (window + 15u) / 16u;
  const uint32_t stream = ((uint32_t)p->out_c + 3u) / 4u * (48u + 64u * blocks);
  if (sizes->constant[0] != stream || sizes->constant[1] != 0u || sizes->constant[2] != 0u) {
    return 0;
  }
  canonical.constant[0] = edgec_area(p->out_c, (int32_t)window);
  canonical.constant[1] = (uint32_t)p->out_c * 4u;
  canonical.constant[2] = (uint32_t)p->out_c * 4u;
  /* Bounds under which no offset, those of padding included, leaves 32 bits. */
  const uint32_t tensor_max = 0x1ffffffu;
  return edgec_conv2d_check(params, &canonical) != 0 && sizes->input[0] <= tensor_max && sizes->output[0] <= tensor_max &&
         edgec_volume(p->pad_top, p->in_w, p->in_c) <= tensor_max && edgec_area(p->pad_left, p->in_c) <= tensor_max &&
         edgec_area(p->stride_w, p->in_c) <= tensor_max && sizes->scratch == scratch_bytes(p);
}

const edgec_kernel edgec_s8_conv2d_4x2c16__mve_kernel = {0x0140, 1, edgec_s8_conv2d_4x2c16__mve, edgec_conv2d_4x2c16_check};

#include "conv_mve_depthwise.h"
