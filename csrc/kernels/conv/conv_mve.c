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
#include "conv_mve_nibbles.h"
#include "conv_mve_pairs.h"

void edgec_s8w4_conv2d_4x2n16__mve(const void *params, const edgec_operands *operands);
void edgec_s8w4_depthwise_conv2d_1x8n1__mve(const void *params, const edgec_operands *operands);
void edgec_s8_conv2d_4x2c16__mve(const void *params, const edgec_operands *operands);
void edgec_s8_conv2d_add_4x2c16__mve(const void *params, const edgec_operands *operands);
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
  }
  s->job.finish = NULL;
}

#define WALK(name) name##_of_bytes
#define RUN_PAIRS edgec_mve_run_pairs
#include "conv_mve_walk.h"
#undef WALK
#undef RUN_PAIRS

#define WALK(name) name##_of_nibbles
#define RUN_PAIRS edgec_mve_run_nibbles
#include "conv_mve_walk.h"
#undef WALK
#undef RUN_PAIRS

/* What a job has of a residual; finish is here so that only programs that have one link it. */
typedef struct residual {
  int32_t zero_point, multiplier;
  uintptr_t from_output;
  edgec_mve_finish finish;
} residual;

/* r: null where none is added. One copy, whatever a program has. */
EDGEC_APART void run_bytes(const edgec_conv2d_params *p, const edgec_operands *operands, const residual *r) {
  conv_state s;
  start(&s, p, operands);
  if (r != NULL) {
    s.job.zero_point = r->zero_point;
    s.job.finish = r->finish;
    s.job.residual_multiplier = r->multiplier;
    s.job.residual = r->from_output;
  }
  run_of_bytes(&s);
}

void edgec_s8_conv2d_4x2c16__mve(const void *params, const edgec_operands *operands) { run_bytes(params, operands, NULL); }

void edgec_s8w4_conv2d_4x2n16__mve(const void *params, const edgec_operands *operands) {
  conv_state s;
  start(&s, params, operands);
  run_of_nibbles(&s);
}

void edgec_s8_conv2d_add_4x2c16__mve(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_add_params *const p = params;
  const residual r = {p->residual_offset - SUM_HALF, p->residual_multiplier,
                      (uintptr_t)operands->input[1] - (uintptr_t)operands->output[0], finish_of(edgec_conv2d_of(p)->out_c % 4 != 0)};
  run_bytes(edgec_conv2d_of(p), operands, &r);
}

/* Of four channels: block_bytes for 16 bytes of a window, bias_bytes; canonical: the check of the same with constants in canonical order. */
static int check_stream(const edgec_conv2d_params *p, const edgec_sizes *sizes, uint32_t block_bytes, uint32_t bias_bytes,
                        int (*canonical_check)(const void *params, const edgec_sizes *sizes)) {
  edgec_sizes canonical = *sizes;
  if (sizes->param_count < sizeof *p / 4 || p->groups != 1 || !edgec_within(p->in_c, 1, 0xffff) ||
      !edgec_within(p->out_c, 1, 0x7fff) || !edgec_within(p->kernel_h, 1, 0x7fff) || !edgec_within(p->kernel_w, 1, 0x7fff)) {
    return 0;
  }
  const uint32_t window = edgec_volume(p->kernel_h, p->kernel_w, p->in_c);
  if (window > 0x7fff0u) {
    return 0;
  }
  const uint32_t blocks = (window + 15u) / 16u;
  const uint32_t stream = ((uint32_t)p->out_c + 3u) / 4u * (bias_bytes + 16u + block_bytes * blocks);
  if (sizes->constant[0] != stream || sizes->constant[1] != 0u || sizes->constant[2] != 0u) {
    return 0;
  }
  const int32_t row = block_bytes == 64u ? (int32_t)window : ((int32_t)window + 1) / 2;
  canonical.constant[0] = edgec_area(p->out_c, row);
  canonical.constant[1] = (uint32_t)p->out_c * (block_bytes == 64u ? 4u : 2u);
  canonical.constant[2] = (uint32_t)p->out_c * 4u;
  /* Bounds under which no offset, those of padding included, leaves 32 bits. */
  const uint32_t tensor_max = 0x1ffffffu;
  return canonical_check(p, &canonical) != 0 && sizes->input[0] <= tensor_max && sizes->output[0] <= tensor_max &&
         edgec_volume(p->pad_top, p->in_w, p->in_c) <= tensor_max && edgec_area(p->pad_left, p->in_c) <= tensor_max &&
         edgec_area(p->stride_w, p->in_c) <= tensor_max && sizes->scratch == scratch_bytes(p);
}

static int edgec_conv2d_4x2c16_check(const void *params, const edgec_sizes *sizes) {
  return check_stream(params, sizes, 64u, 32u, edgec_conv2d_check);
}

static int edgec_conv2d_4x2n16_check(const void *params, const edgec_sizes *sizes) {
  return check_stream(params, sizes, 32u, 8u, edgec_conv2d_nibbles_check);
}

static int edgec_conv2d_add_4x2c16_check(const void *params, const edgec_sizes *sizes) {
  return check_stream(edgec_conv2d_of(params), sizes, 64u, 32u, edgec_conv2d_add_check);
}

const edgec_kernel edgec_s8_conv2d_add_4x2c16__mve_kernel = {0x1840, 1, edgec_s8_conv2d_add_4x2c16__mve, edgec_conv2d_add_4x2c16_check};
const edgec_kernel edgec_s8w4_conv2d_4x2n16__mve_kernel = {0x01c0, 1, edgec_s8w4_conv2d_4x2n16__mve, edgec_conv2d_4x2n16_check};
const edgec_kernel edgec_s8_conv2d_4x2c16__mve_kernel = {0x0140, 1, edgec_s8_conv2d_4x2c16__mve, edgec_conv2d_4x2c16_check};

#include "conv_mve_depthwise.h"
