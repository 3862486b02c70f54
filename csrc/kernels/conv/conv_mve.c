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
#include "conv_mve_pairs.h"

void edgec_s8_conv2d_4x2c16__mve(const void *params, const edgec_operands *operands);
void edgec_s8_depthwise_conv2d_1x8c16__mve(const void *params, const edgec_operands *operands);

enum {
  COLUMN_TARGET = 640, /* bytes of scratch that columns may take where the window allows it */
  COLUMNS_MAX = 16
};

typedef struct conv_state {
  const edgec_conv2d_params *p;
  const int8_t *input;
  int8_t *output;
  int8_t *columns;
  int32_t window;  /* bytes of a window */
  int32_t padded;  /* rounded up to blocks */
  int32_t columns_max, columns_filled;
  int32_t interior_left, interior_right, interior_top, interior_bottom; /* output positions whose windows are inside */
  edgec_mve_pairs job;
} conv_state;

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

/* The part of a window that lies inside the input: taps [top, bottom) by [left, right). */
typedef struct clip {
  int32_t top, bottom, left, right;
} clip;

/* Rows of at most 16 bytes, one after the other; lanes outside the input become zero_point. from: the window's first tap,
 * which may lie outside, but no byte outside is read. The column has 16 bytes to spare behind it. */
static void gather_narrow(const conv_state *s, int8_t *to, const int8_t *from, const clip *c) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t row_bytes = p->kernel_w * p->in_c;
  const int32_t row_step = p->in_w * p->in_c;
  const int8_t *x = from + c->top * row_step;
#if defined(__ARM_FEATURE_MVE)
  const uint32_t lanes = ((1u << (uint32_t)(c->right * p->in_c)) - 1u) & ~((1u << (uint32_t)(c->left * p->in_c)) - 1u);
  const int32_t inside = c->bottom - c->top;
  const int32_t below = p->kernel_h - c->bottom;
  __asm__ volatile(
      "vdup.8 q1, %[zero]\n"
      "vmsr p0, %[lanes]\n"
      "wls lr, %[above], 2f\n"
      "1: vstrb.8 q1, [%[to]]\n"
      "add %[to], %[to], %[n]\n"
      "le lr, 1b\n"
      "2: wls lr, %[inside], 4f\n"
      "3: vpst\n"
      "vldrbt.u8 q0, [%[from]]\n"
      "vpsel q0, q0, q1\n"
      "vstrb.8 q0, [%[to]]\n"
      "add %[from], %[from], %[step]\n"
      "add %[to], %[to], %[n]\n"
      "le lr, 3b\n"
      "4: wls lr, %[below], 6f\n"
      "5: vstrb.8 q1, [%[to]]\n"
      "add %[to], %[to], %[n]\n"
      "le lr, 5b\n"
      "6:\n"
      : [to] "+r"(to), [from] "+r"(x)
      : [n] "r"(row_bytes), [above] "r"(c->top), [inside] "r"(inside), [below] "r"(below), [step] "r"(row_step), [lanes] "r"(lanes),
        [zero] "r"(p->in_zero_point)
      : "q0", "q1", "lr", "memory");
#else
  edgec_mve_fill(to, p->in_zero_point, p->kernel_h * row_bytes);
  for (int32_t row = c->top; row < c->bottom; row++) {
    edgec_mve_copy(to + row * row_bytes + c->left * p->in_c, x + c->left * p->in_c, (c->right - c->left) * p->in_c);
    x += row_step;
  }
#endif
}

/* The same for windows of three rows that lie inside the input, count of them side by side. */
static void gather_narrow_run(const conv_state *s, int8_t *to, const int8_t *from, int32_t count) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t row_bytes = p->kernel_w * p->in_c;
  const int32_t row_step = p->in_w * p->in_c;
  const int32_t step = p->stride_w * p->in_c;
#if defined(__ARM_FEATURE_MVE)
  const int8_t *second = from + row_step;
  const int8_t *third = second + row_step;
  int8_t *to_second = to + row_bytes;
  int8_t *to_third = to_second + row_bytes;
  __asm__ volatile(
      "vctp.8 %[n]\n"
      "dls lr, %[count]\n"
      "1: vpsttt\n"
      "vldrbt.u8 q0, [%[from]]\n"
      "vldrbt.u8 q1, [%[second]]\n"
      "vldrbt.u8 q2, [%[third]]\n"
      "vstrb.8 q0, [%[to]]\n"
      "add %[from], %[from], %[step]\n"
      "vstrb.8 q1, [%[to_second]]\n"
      "add %[second], %[second], %[step]\n"
      "vstrb.8 q2, [%[to_third]]\n"
      "add %[third], %[third], %[step]\n"
      "add %[to], %[to], %[padded]\n"
      "add %[to_second], %[to_second], %[padded]\n"
      "add %[to_third], %[to_third], %[padded]\n"
      "le lr, 1b\n"
      : [to] "+r"(to), [to_second] "+r"(to_second), [to_third] "+r"(to_third), [from] "+r"(from), [second] "+r"(second),
        [third] "+r"(third)
      : [n] "r"(row_bytes), [step] "r"(step), [padded] "r"(s->padded), [count] "r"(count)
      : "q0", "q1", "q2", "lr", "memory");
#else
  for (int32_t i = 0; i < count; i++) {
    for (int32_t row = 0; row < 3; row++) {
      edgec_mve_copy(to + i * s->padded + row * row_bytes, from + i * step + row * row_step, row_bytes);
    }
  }
#endif
}

static void gather_wide(const conv_state *s, int8_t *to, const int8_t *from, const clip *c) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t row_bytes = p->kernel_w * p->in_c;
  const int32_t row_step = p->in_w * p->in_c;
  const int32_t bytes = (c->right - c->left) * p->in_c;
  if (bytes * (c->bottom - c->top) != s->window) {
    edgec_mve_fill(to, p->in_zero_point, s->window);
  }
  to += c->top * row_bytes + c->left * p->in_c;
  from += c->top * row_step + c->left * p->in_c;
  for (int32_t row = c->top; row < c->bottom; row++) {
    edgec_mve_copy(to, from, bytes);
    to += row_bytes;
    from += row_step;
  }
}

/* With dilation: tap by tap. */
static void gather_taps(const conv_state *s, int8_t *to, int32_t y0, int32_t x0) {
  const edgec_conv2d_params *const p = s->p;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t iy = y0 + ky * p->dilation_h;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int32_t ix = x0 + kx * p->dilation_w;
      if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w) {
        edgec_mve_fill(to, p->in_zero_point, p->in_c);
      } else {
        edgec_mve_copy(to, s->input + (iy * p->in_w + ix) * p->in_c, p->in_c);
      }
      to += p->in_c;
    }
  }
}

/* Gather windows from (oy, ox) on into free columns: their number, at least one, all of one output row. */
static int32_t gather(const conv_state *s, int32_t oy, int32_t ox) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t y0 = oy * p->stride_h - p->pad_top;
  const int32_t x0 = ox * p->stride_w - p->pad_left;
  const int32_t row_bytes = p->kernel_w * p->in_c;
  int8_t *const to = s->columns + s->columns_filled * s->padded;
  if (p->dilation_h != 1 || p->dilation_w != 1) {
    gather_taps(s, to, y0, x0);
    return 1;
  }
  /* An integer: the first tap may lie before the input, where no pointer may point. */
  const int8_t *const from = (const int8_t *)((uintptr_t)s->input + (uintptr_t)(intptr_t)((y0 * p->in_w + x0) * p->in_c));
  const int inside = oy >= s->interior_top && oy < s->interior_bottom && ox >= s->interior_left && ox < s->interior_right;
  if (inside && row_bytes <= EDGEC_MVE_BLOCK && p->kernel_h == 3) {
    const int32_t room = s->columns_max - s->columns_filled;
    const int32_t side_by_side = s->interior_right - ox;
    const int32_t count = room < side_by_side ? room : side_by_side;
    gather_narrow_run(s, to, from, count);
    return count;
  }
  clip c;
  c.top = edgec_clamp(-y0, 0, p->kernel_h);
  c.bottom = edgec_clamp(p->in_h - y0, c.top, p->kernel_h);
  c.left = edgec_clamp(-x0, 0, p->kernel_w);
  c.right = edgec_clamp(p->in_w - x0, c.left, p->kernel_w);
  if (row_bytes <= EDGEC_MVE_BLOCK) {
    gather_narrow(s, to, from, &c);
  } else {
    gather_wide(s, to, from, &c);
  }
  return 1;
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

/* Positions from (oy, ox) on whose windows can be read straight from the tensor; even, but for a row that ends. */
static int32_t straight_run(const conv_state *s, int32_t oy, int32_t ox) {
  const edgec_conv2d_params *const p = s->p;
  if (is_pointwise(p)) {
    const int32_t step = p->stride_w * p->in_c;
    const int32_t at = oy * p->stride_h * p->in_w * p->in_c + ox * step;
    const int32_t bytes = p->in_h * p->in_w * p->in_c;
    const int flat = p->stride_w == 1 && p->stride_h == 1 && p->out_w == p->in_w;
    const int32_t readable = at + s->padded > bytes ? 0 : (bytes - s->padded - at) / step + 1;
    const int32_t left = flat ? (p->out_h - oy) * p->out_w - ox : p->out_w - ox;
    return readable < left ? readable : left;
  }
  if (!has_straight_rows(p) || oy < s->interior_top || oy >= s->interior_bottom || ox < s->interior_left || ox >= s->interior_right) {
    return 0;
  }
  return (s->interior_right - ox) / 2 * 2;
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
  s->interior_top = interior_first(p->pad_top, p->stride_h);
  s->interior_left = interior_first(p->pad_left, p->stride_w);
  s->interior_bottom = interior_end(p->in_h, (p->kernel_h - 1) * p->dilation_h + 1, p->pad_top, p->stride_h, p->out_h);
  s->interior_right = interior_end(p->in_w, (p->kernel_w - 1) * p->dilation_w + 1, p->pad_left, p->stride_w, p->out_w);
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

void edgec_s8_conv2d_4x2c16__mve(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_params *const p = params;
  conv_state s;
  start(&s, p, operands);
  const int32_t positions = p->out_h * p->out_w;
  int32_t oy = 0;
  int32_t ox = 0;
  int32_t position = 0;
  while (position < positions) {
    const int32_t run = straight_run(&s, oy, ox);
    if (run > 0) {
      flush(&s, position);
      set_walk(&s, is_pointwise(p) ? 1 : 3);
      const int32_t at = (oy * p->stride_h - p->pad_top) * p->in_w + ox * p->stride_w - p->pad_left;
      run_positions(&s, s.input + at * p->in_c, p->stride_w * p->in_c, position, run);
      position += run;
      ox += run;
    } else {
      const int32_t gathered = gather(&s, oy, ox);
      s.columns_filled += gathered;
      position += gathered;
      ox += gathered;
      if (s.columns_filled == s.columns_max) {
        flush(&s, position);
      }
    }
    while (ox >= p->out_w) {
      ox -= p->out_w;
      oy++;
    }
  }
  flush(&s, position);
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
  return edgec_conv2d_check(params, &canonical) != 0 && sizes->input[0] <= 0x7fffffffu && sizes->output[0] <= 0x7fffffffu &&
         sizes->scratch == scratch_bytes(p);
}

const edgec_kernel edgec_s8_conv2d_4x2c16__mve_kernel = {0x0140, 1, edgec_s8_conv2d_4x2c16__mve, edgec_conv2d_4x2c16_check};

#include "conv_mve_depthwise.h"
