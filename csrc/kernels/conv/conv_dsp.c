/* Convolution with the DSP extension: 2 output channels by 4 positions at a time, inputs unpacked once a block of positions.
 *
 * A block's inputs are all read before its outputs are written, blocks go from the first position to the last: `distance` in
 * edgec/ops/packing_dsp.py counts on that. 1x1 convolutions of stride 1 go backwards where the output lies above the input.
 */
#include "conv.h"
#include "depthwise_any_dsp.h"
#include "depthwise_dsp.h"
#include "gemm_dsp.h"
#include "gemm_nibbles_dsp.h"

void edgec_s8_conv2d_2x4c4__dsp(const void *params, const edgec_operands *operands);
void edgec_s8_conv2d_2x4c4w3__dsp(const void *params, const edgec_operands *operands);
void edgec_s8_conv2d_add_2x4c4__dsp(const void *params, const edgec_operands *operands);
void edgec_s8_conv2d_add_2x4c4w3__dsp(const void *params, const edgec_operands *operands);
void edgec_s8_depthwise_conv2d_2x2c4__dsp(const void *params, const edgec_operands *operands);
void edgec_s8_depthwise_conv2d_1x4c1__dsp(const void *params, const edgec_operands *operands);
void edgec_s8w4_conv2d_2x4n4__dsp(const void *params, const edgec_operands *operands);
void edgec_s8w4_conv2d_2x4n4w3__dsp(const void *params, const edgec_operands *operands);
void edgec_s8w4_depthwise_conv2d_2x2n1__dsp(const void *params, const edgec_operands *operands);
void edgec_s8w4_depthwise_conv2d_1x4n1__dsp(const void *params, const edgec_operands *operands);

/* How the taps of a window are ordered: whole words of each run of contiguous input bytes, run by run, then what is left over
 * of each, then zeros up to a word. Without dilation along the width a run is a row of the window, else it is one tap. */
typedef struct runs {
  int32_t bytes, words, left; /* of a run: bytes, whole words, bytes behind them */
  int32_t count;              /* in a window */
  int32_t left_words;         /* all `left` bytes, rounded up */
  int32_t groups;             /* words of a window */
} runs;

static int is_dilated(const edgec_conv2d_params *p) { return p->dilation_w > 1 && p->kernel_w > 1; }

static runs runs_of(const edgec_conv2d_params *p) {
  runs r;
  r.bytes = is_dilated(p) ? p->in_c : p->kernel_w * p->in_c;
  r.words = r.bytes / 4;
  r.left = r.bytes % 4;
  r.count = is_dilated(p) ? p->kernel_h * p->kernel_w : p->kernel_h;
  r.left_words = (r.left * r.count + 3) / 4;
  r.groups = r.words * r.count + r.left_words;
  return r;
}

static int is_pointwise(const edgec_conv2d_params *p) {
  return p->kernel_h == 1 && p->kernel_w == 1 && p->stride_h == 1 && p->stride_w == 1 && p->pad_top == 0 && p->pad_left == 0 &&
         p->in_h == p->out_h && p->in_w == p->out_w;
}

/* Bytes for a window that cannot be read in place: at the edge of the input, or dilated. */
static int32_t copy_bytes(const edgec_conv2d_params *p, const runs *r) {
  return p->kernel_h * p->kernel_w > 1 ? (r->count * r->bytes + 3) / 4 * 4 : 0;
}

/* Columns; behind them, for two positions, copies of windows and left-over bytes. */
static uint32_t scratch_bytes(const edgec_conv2d_params *p) {
  const runs r = runs_of(p);
  const int32_t heads = p->weight_bits == 4 ? (int32_t)NIBBLE_HEADS : (int32_t)GEMM_POSITIONS;
  return 4u * (uint32_t)(heads + GEMM_GROUP_WORDS * r.groups + 2 * r.left_words) + 2u * (uint32_t)copy_bytes(p, &r);
}

/* `count` bytes from a tap, or zero_point where there is none. */
static void copy_tap(int8_t *to, const int8_t *from, int32_t count, int32_t zero_point) {
  int32_t i = 0;
  for (const uint32_t padding = ((uint32_t)zero_point & 0xffu) * 0x01010101u; i + 4 <= count; i += 4) {
    const uint32_t word = from != NULL ? edgec_load_word(from + i) : padding;
    memcpy(to + i, &word, sizeof word);
  }
  for (; i < count; i++) {
    to[i] = from != NULL ? from[i] : (int8_t)zero_point;
  }
}

/* A window copied tap by tap, with zero_point outside the input; x, y: of its first tap. */
static void copy_window(const edgec_conv2d_params *p, const int8_t *input, int32_t y, int32_t x, int8_t *to) {
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t iy = y + ky * p->dilation_h;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int32_t ix = x + kx * p->dilation_w;
      const int inside = iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w;
      copy_tap(to, inside ? input + (iy * p->in_w + ix) * p->in_c : NULL, p->in_c, p->in_zero_point);
      to += p->in_c;
    }
  }
}

/* Where the next window is, and what all have in common. */
typedef struct walk {
  int32_t y, x;                   /* first tap in the input */
  int32_t inside_y, inside_x;     /* least values at which a window leaves the input */
  int32_t end_x;                  /* x behind the last window of a row */
  int32_t step_inside;            /* bytes from the end of a run to the next one in the input; in a copy 0 */
  int32_t copy;                   /* bytes of a copy */
} walk;

static walk walk_of(const edgec_conv2d_params *p, const runs *r) {
  walk w;
  w.y = -p->pad_top;
  w.x = -p->pad_left;
  w.inside_y = is_dilated(p) ? 0 : p->in_h - (p->kernel_h - 1) * p->dilation_h;
  w.inside_x = p->in_w - p->kernel_w + 1;
  w.end_x = w.x + p->out_w * p->stride_w;
  w.step_inside = p->dilation_h * p->in_w * p->in_c - r->bytes;
  w.copy = copy_bytes(p, r);
  return w;
}

/* The next window as rows of bytes: in the input, or in `copy`. step: bytes from the end of a row to the next one. */
static inline const int8_t *next_window(const edgec_conv2d_params *p, walk *next, const int8_t *input, int8_t *copy, int32_t *step) {
  const int32_t y = next->y;
  const int32_t x = next->x;
  next->x += p->stride_w;
  if (next->x == next->end_x) {
    next->x = -p->pad_left;
    next->y += p->stride_h;
  }
  if (y >= 0 && y < next->inside_y && x >= 0 && x < next->inside_x) {
    *step = next->step_inside;
    return input + (y * p->in_w + x) * p->in_c;
  }
  copy_window(p, input, y, x, copy);
  *step = 0;
  return copy;
}

/* What a residual is to a layer. */
typedef struct layer_sum {
  gemm_residual r;
  int32_t offset;
} layer_sum;

static layer_sum sum_of(const edgec_conv2d_add_params *p, const edgec_operands *o) {
  const layer_sum s = {{edgec_dsp_gemm_sum, edgec_dsp_gemm_sum_one, p->residual_multiplier, (uintptr_t)o->input[1] - (uintptr_t)o->output[0]},
                       p->residual_offset};
  return s;
}

static void add_sum(gemm *g, const layer_sum *sum) {
  if (sum != NULL) {
    g->residual = &sum->r;
    g->zero_point = sum->offset;
    g->shift |= GEMM_SUM;
  }
}

/* column_words: heads and groups. */
static gemm gemm_of(const edgec_conv2d_params *p, const edgec_operands *o, int32_t column_words) {
  gemm g;
  g.weights = o->constant[0];
  g.highs = NULL;
  g.own = 0;
  g.pitch = p->out_c;
  g.zero_point = p->out_zero_point;
  g.shift = p->shift;
  g.columns = o->scratch;
  g.columns_end = g.columns + column_words;
  g.entry = 0;
  g.y = o->output[0];
  g.y_end = g.y;
  g.residual = NULL;
  return g;
}

/* All channels of `count` positions whose columns are ready; nibbles: of weights of 4 bits. */
EDGEC_COPIED void finish_block(const edgec_conv2d_params *p, int nibbles, const gemm *block, int8_t *y, int32_t count) {
  gemm g = *block;
  const int32_t paired = count == GEMM_POSITIONS ? p->out_c & ~1 : 0;
  g.y = y;
  g.y_end = y + paired;
  if (paired != 0) {
    if (nibbles) {
      edgec_dsp_gemm_nibbles(&g);
    } else {
      edgec_dsp_gemm(&g);
    }
  }
  if (paired != p->out_c) { /* an odd channel, or positions that make no block */
    const int32_t heads = nibbles ? (int32_t)NIBBLE_HEADS : (int32_t)GEMM_POSITIONS;
    const int32_t groups = ((int32_t)(g.columns_end - g.columns) - heads) / GEMM_GROUP_WORDS;
    g.weights += (nibbles ? NIBBLE_TAIL_WORDS + groups : GEMM_HEAD_WORDS + 2 * groups) * (paired / 2);
    if (nibbles && g.highs != NULL) {
      g.highs += paired / 2;
    }
    for (int32_t i = 0; i < count; i++) {
      g.y = y + i * p->out_c + paired;
      g.y_end = y + (i + 1) * p->out_c;
      if (nibbles) {
        edgec_dsp_gemm_nibbles_one(&g);
      } else {
        edgec_dsp_gemm_one(&g);
      }
      g.columns++;
      g.columns_end++;
    }
  }
  edgec_clamp_bytes(y, count * p->out_c, p->clamp_min, p->clamp_max);
}

/* sum: null where no residual is added. */
EDGEC_COPIED void run_windows(const edgec_conv2d_params *p, const layer_sum *sum, const edgec_operands *operands, int nibbles) {
  const runs r = runs_of(p);
  const int32_t heads = nibbles ? (int32_t)NIBBLE_HEADS : (int32_t)GEMM_POSITIONS;
  const int8_t *const input = operands->input[0];
  uint32_t *const columns = (uint32_t *)operands->scratch + heads;
  int8_t *const spare = (int8_t *)(columns + GEMM_GROUP_WORDS * r.groups);
  int8_t *const copies = spare + 8 * r.left_words;
  const int32_t positions = p->out_h * p->out_w;
  const int pointwise = is_pointwise(p);
  const int is_3x9 = r.count == 3 && r.bytes == 9;
  const int backwards = pointwise && (uintptr_t)operands->output[0] > (uintptr_t)input;
  gemm g = gemm_of(p, operands, heads + GEMM_GROUP_WORDS * r.groups);
  walk next = walk_of(p, &r);
  two_windows w = {NULL, NULL, r.words, r.count, 0, 0, r.left, r.left_words, spare};
  if (nibbles) {
    g.highs = operands->constant[1];
  }
  add_sum(&g, sum);
  memset(spare, 0, (size_t)(8 * r.left_words));
  for (int32_t done = 0; done < positions;) {
    int32_t count = backwards ? (positions - done) % GEMM_POSITIONS : positions - done;
    if (count == 0 || count > GEMM_POSITIONS) {
      count = GEMM_POSITIONS;
    }
    const int32_t at = backwards ? positions - done - count : done;
    for (int32_t i = 0; i < count; i += 2) {
      const int both = i + 1 < count; /* an odd one at the end is unpacked twice */
      if (pointwise) {
        w.x0 = input + (at + i) * p->in_c;
        w.x1 = both ? w.x0 + p->in_c : w.x0;
      } else {
        w.x0 = next_window(p, &next, input, copies, &w.step0);
        w.step1 = w.step0;
        w.x1 = both ? next_window(p, &next, input, copies + next.copy, &w.step1) : w.x0;
      }
      if (is_3x9) {
        edgec_dsp_unpack_3x9(columns + i, &w);
      } else {
        edgec_dsp_unpack(columns + i, &w);
      }
    }
    if (nibbles) {
      correct_columns(operands->scratch, r.groups);
    }
    finish_block(p, nibbles, &g, operands->output[0] + at * p->out_c, count);
    done += count;
  }
}

/* One copy, whatever a program has. */
EDGEC_APART void run_byte_windows(const edgec_conv2d_params *p, const layer_sum *sum, const edgec_operands *operands) {
  run_windows(p, sum, operands, 0);
}

void edgec_s8_conv2d_2x4c4__dsp(const void *params, const edgec_operands *operands) { run_byte_windows(params, NULL, operands); }

void edgec_s8w4_conv2d_2x4n4__dsp(const void *params, const edgec_operands *operands) {
  run_windows(params, NULL, operands, 1);
}

/* 3x3, stride 1, in_c a multiple of 4: four positions of a row share a patch of 3 x 6 pixels, half the scratch and unpacking of
 * columns. The width of the output is a multiple of 4 and its channels are even. */
EDGEC_COPIED void run_patches(const edgec_conv2d_params *p, const layer_sum *sum, const edgec_operands *operands, int nibbles) {
  const int32_t words = p->in_c / 4;
  const int32_t heads = nibbles ? (int32_t)NIBBLE_HEADS : (int32_t)GEMM_POSITIONS;
  gemm g = gemm_of(p, operands, heads + PATCH_GROUP_WORDS * words);
  uint32_t *const columns = (uint32_t *)operands->scratch + heads;
  int32_t *const corrections = operands->scratch;
  int8_t *const outside = (int8_t *)(columns + PATCH_GROUP_WORDS * words);
  if (nibbles) {
    g.highs = operands->constant[1];
  }
  add_sum(&g, sum);
  memset(outside, p->in_zero_point, (size_t)p->in_c);
  int8_t *y = operands->output[0];
  for (int32_t row = -p->pad_top; row < p->out_h - p->pad_top; row++) {
    for (int32_t col = -p->pad_left; col < p->out_w - p->pad_left; col += GEMM_POSITIONS) {
      int32_t sums[PATCH_PIXELS] = {0, 0, 0, 0, 0, 0};
      const int8_t *x = operands->input[0] + (row * p->in_w + col) * p->in_c;
      for (int32_t ky = 0; ky < 3; ky++) {
        const int8_t *at[PATCH_PIXELS];
        const int row_inside = row + ky >= 0 && row + ky < p->in_h;
        const int32_t first = row_inside ? -col : PATCH_PIXELS; /* pixels [first, last) are inside */
        const int32_t last = p->in_w - col;
        const int8_t *pixel = x;
        for (int32_t i = 0; i < PATCH_PIXELS; i++) {
          at[i] = pixel;
          pixel += p->in_c;
        }
        if (first > 0 || last < PATCH_PIXELS) {
          for (int32_t i = 0; i < PATCH_PIXELS; i++) {
            at[i] = i >= first && i < last ? at[i] : outside;
          }
        }
        edgec_dsp_unpack_3x3(columns + 2 * PATCH_PIXELS * ky, at, words, sums);
        x += p->in_w * p->in_c;
      }
      g.y = y;
      g.y_end = y + p->out_c;
      if (nibbles) {
        correct_patch(operands->scratch, sums, words);
        edgec_dsp_gemm_nibbles_3x3(&g);
      } else {
        for (int32_t i = 0; i < GEMM_POSITIONS; i++) {
          corrections[i] = edgec_wrapping_add(edgec_wrapping_add(sums[i], sums[i + 1]), sums[i + 2]);
        }
        edgec_dsp_gemm_3x3(&g);
      }
      edgec_clamp_bytes(y, GEMM_POSITIONS * p->out_c, p->clamp_min, p->clamp_max);
      y += GEMM_POSITIONS * p->out_c;
    }
  }
}

EDGEC_APART void run_byte_patches(const edgec_conv2d_params *p, const layer_sum *sum, const edgec_operands *operands) {
  run_patches(p, sum, operands, 0);
}

void edgec_s8_conv2d_2x4c4w3__dsp(const void *params, const edgec_operands *operands) { run_byte_patches(params, NULL, operands); }

void edgec_s8w4_conv2d_2x4n4w3__dsp(const void *params, const edgec_operands *operands) {
  run_patches(params, NULL, operands, 1);
}

void edgec_s8_conv2d_add_2x4c4__dsp(const void *params, const edgec_operands *operands) {
  const layer_sum s = sum_of(params, operands);
  run_byte_windows(edgec_conv2d_of(params), &s, operands);
}

void edgec_s8_conv2d_add_2x4c4w3__dsp(const void *params, const edgec_operands *operands) {
  const layer_sum s = sum_of(params, operands);
  run_byte_patches(edgec_conv2d_of(params), &s, operands);
}

/* What is asked of every convolution beside its stream; canonical: the check of the same with constants in canonical order. */
static int is_valid(const edgec_conv2d_params *p, const edgec_sizes *s, int (*canonical_check)(const void *params, const edgec_sizes *s)) {
  edgec_sizes canonical = *s;
  if (s->param_count < sizeof *p / 4 || p->groups != 1 || !edgec_within(p->shift, 0, EDGEC_DSP_MAX_SHIFT) || !edgec_within(p->in_c, 1, 0xffff) ||
      !edgec_within(p->out_c, 1, 0xffff) || !edgec_within(p->kernel_h, 1, 0x7fff) || !edgec_within(p->kernel_w, 1, 0x7fff) ||
      s->constant[2] != 0u) {
    return 0;
  }
  if (s->constant[1] != 0u && (p->weight_bits != 4 || s->constant[1] != 4u * (((uint32_t)p->out_c + 1u) / 2u))) {
    return 0;
  }
  const uint32_t taps = edgec_volume(p->kernel_h, p->kernel_w, p->in_c);
  if (taps >= 0x01000000u) {
    return 0;
  }
  canonical.constant[0] = edgec_area(p->out_c, (int32_t)taps);
  canonical.constant[1] = 4u * (uint32_t)p->out_c;
  canonical.constant[2] = 4u * (uint32_t)p->out_c;
  if (p->weight_bits == 4) {
    canonical.constant[0] = edgec_area(p->out_c, ((int32_t)taps + 1) / 2);
    canonical.constant[1] = 2u * (uint32_t)p->out_c;
  }
  return (p->weight_bits != 4 || taps < EDGEC_NIBBLE_TAPS) && canonical_check(p, &canonical) != 0;
}

/* constant[0] has for each pair of channels `groups` times two words, of 4-bit weights one, and biases and multipliers; with weights of 4
 * bits constant[1] may have the high halves of heads. */
static int stream_is(const edgec_conv2d_params *p, const edgec_sizes *s, int32_t groups) {
  const int32_t words = p->weight_bits == 4 ? NIBBLE_TAIL_WORDS + groups : GEMM_HEAD_WORDS + 2 * groups;
  const uint64_t pair = 4u * (uint64_t)words;
  return s->constant[0] == (uint64_t)((p->out_c + 1) / 2) * pair;
}

static int check_windows(const edgec_conv2d_params *p, const edgec_sizes *s) {
  const runs r = runs_of(p);
  return stream_is(p, s, r.groups) && s->scratch >= scratch_bytes(p);
}

static int check_patches(const edgec_conv2d_params *p, const edgec_sizes *s) {
  if (p->kernel_h != 3 || p->kernel_w != 3 || p->stride_h != 1 || p->stride_w != 1 || p->dilation_h != 1 || p->dilation_w != 1 ||
      p->in_c % 4 != 0 || p->out_c % 2 != 0 || p->out_w % GEMM_POSITIONS != 0) {
    return 0;
  }
  const int32_t words = p->in_c / 4;
  const int32_t heads = p->weight_bits == 4 ? (int32_t)NIBBLE_HEADS : (int32_t)GEMM_POSITIONS;
  return stream_is(p, s, 9 * words) && s->scratch >= 4u * (uint32_t)(heads + (PATCH_GROUP_WORDS + 1) * words);
}

static int check_conv2d(const void *params, const edgec_sizes *s) {
  return is_valid(params, s, edgec_conv2d_check) && check_windows(params, s);
}

static int check_conv2d_nibbles(const void *params, const edgec_sizes *s) {
  return is_valid(params, s, edgec_conv2d_nibbles_check) && check_windows(params, s);
}

static int check_conv2d_add(const void *params, const edgec_sizes *s) {
  return is_valid(edgec_conv2d_of(params), s, edgec_conv2d_add_check) && check_windows(edgec_conv2d_of(params), s);
}

static int check_conv2d_3x3(const void *params, const edgec_sizes *s) {
  return is_valid(params, s, edgec_conv2d_check) && check_patches(params, s);
}

static int check_conv2d_nibbles_3x3(const void *params, const edgec_sizes *s) {
  return is_valid(params, s, edgec_conv2d_nibbles_check) && check_patches(params, s);
}

static int check_conv2d_add_3x3(const void *params, const edgec_sizes *s) {
  return is_valid(edgec_conv2d_of(params), s, edgec_conv2d_add_check) && check_patches(edgec_conv2d_of(params), s);
}

void edgec_s8_depthwise_conv2d_2x2c4__dsp(const void *params, const edgec_operands *operands) {
  depthwise_3x3(params, operands, 0);
}

void edgec_s8w4_depthwise_conv2d_2x2n1__dsp(const void *params, const edgec_operands *operands) {
  depthwise_3x3(params, operands, 1);
}

void edgec_s8_depthwise_conv2d_1x4c1__dsp(const void *params, const edgec_operands *operands) {
  depthwise_any(params, operands, operands->constant[0], operands->constant[1]);
}

void edgec_s8w4_depthwise_conv2d_1x4n1__dsp(const void *params, const edgec_operands *operands) {
  const edgec_depthwise_conv2d_params *const p = params;
  int32_t *const bias = operands->scratch;
  int8_t *const weights = (int8_t *)(bias + p->out_c);
  widen_biases(bias, operands->constant[1], p->out_c);
  widen_taps(weights, operands->constant[0], p->kernel_h * p->kernel_w, p->out_c);
  depthwise_any(p, operands, weights, bias);
}

static int check_depthwise_any(const void *params, const edgec_sizes *s) {
  const edgec_depthwise_conv2d_params *const p = params;
  return edgec_depthwise_conv2d_check(p, s) && p->in_c == p->out_c && p->shift <= EDGEC_DSP_MAX_SHIFT;
}

static int check_depthwise_nibbles_any(const void *params, const edgec_sizes *s) {
  const edgec_depthwise_conv2d_params *const p = params;
  return edgec_depthwise_conv2d_nibbles_check(p, s) && p->in_c == p->out_c && p->shift <= EDGEC_DSP_MAX_SHIFT &&
         s->scratch >= edgec_volume(p->kernel_h, p->kernel_w, p->out_c) + 4u * (uint32_t)p->out_c;
}

static int has_depthwise_3x3(const edgec_depthwise_conv2d_params *p, const edgec_sizes *s, int32_t shift) {
  return s->param_count == sizeof *p / 4 && edgec_within(p->out_c, 2, 0xffff) && p->in_c == p->out_c && p->kernel_h == 3 &&
         p->kernel_w == 3 && p->stride_h == p->stride_w && edgec_within(p->stride_h, 1, 2) && p->dilation_h == 1 &&
         p->dilation_w == 1 && edgec_within(p->shift, 0, shift) && edgec_depthwise_conv2d_is_valid(p, s) &&
         s->scratch >= 8u * (uint32_t)strips_of(p).plane_words;
}

static int check_depthwise_3x3(const void *params, const edgec_sizes *s) {
  const edgec_depthwise_conv2d_params *const p = params;
  return has_depthwise_3x3(p, s, 0) && p->weight_bits == 8 && s->constant[1] == 0u && s->constant[2] == 0u &&
         s->constant[0] == 4u * (uint32_t)DEPTHWISE_CHANNEL_WORDS * (uint32_t)p->out_c;
}

static int check_depthwise_nibbles_3x3(const void *params, const edgec_sizes *s) {
  return has_depthwise_3x3(params, s, DEPTHWISE_NIBBLE_SHIFT) && edgec_depthwise_conv2d_nibbles_check(params, s);
}

const edgec_kernel edgec_s8w4_conv2d_2x4n4__dsp_kernel = {0x0190, 1, edgec_s8w4_conv2d_2x4n4__dsp, check_conv2d_nibbles};
const edgec_kernel edgec_s8w4_conv2d_2x4n4w3__dsp_kernel = {0x0191, 1, edgec_s8w4_conv2d_2x4n4w3__dsp,
                                                            check_conv2d_nibbles_3x3};
const edgec_kernel edgec_s8w4_depthwise_conv2d_2x2n1__dsp_kernel = {0x0290, 1, edgec_s8w4_depthwise_conv2d_2x2n1__dsp,
                                                                    check_depthwise_nibbles_3x3};
const edgec_kernel edgec_s8w4_depthwise_conv2d_1x4n1__dsp_kernel = {0x0291, 1, edgec_s8w4_depthwise_conv2d_1x4n1__dsp,
                                                                    check_depthwise_nibbles_any};
const edgec_kernel edgec_s8_conv2d_add_2x4c4__dsp_kernel = {0x1810, 1, edgec_s8_conv2d_add_2x4c4__dsp, check_conv2d_add};
const edgec_kernel edgec_s8_conv2d_add_2x4c4w3__dsp_kernel = {0x1811, 1, edgec_s8_conv2d_add_2x4c4w3__dsp, check_conv2d_add_3x3};
const edgec_kernel edgec_s8_conv2d_2x4c4__dsp_kernel = {0x0110, 1, edgec_s8_conv2d_2x4c4__dsp, check_conv2d};
const edgec_kernel edgec_s8_conv2d_2x4c4w3__dsp_kernel = {0x0111, 1, edgec_s8_conv2d_2x4c4w3__dsp, check_conv2d_3x3};
const edgec_kernel edgec_s8_depthwise_conv2d_2x2c4__dsp_kernel = {0x0210, 1, edgec_s8_depthwise_conv2d_2x2c4__dsp,
                                                                  check_depthwise_3x3};
const edgec_kernel edgec_s8_depthwise_conv2d_1x4c1__dsp_kernel = {0x0211, 1, edgec_s8_depthwise_conv2d_1x4c1__dsp,
                                                                  check_depthwise_any};
