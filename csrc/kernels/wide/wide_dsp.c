/* Operators with activations of 16 bits, with the DSP extension.
 *
 * Convolutions take 2 output channels by 4 positions at a time, inputs of 8 and of 16 bits alike: they are unpacked to pairs of int16
 * once a block of positions (gemm_wide_dsp.h). A block's inputs are read before its outputs are written, from the first to the last:
 * conv2d_distance in edgec/ops/packing_wide.py counts on that. Where a sum may leave 32 bits (narrow > 0) another kernel
 * keeps sums of 64.
 */
#include "wide.h"

#include "gemm_wide_dsp.h"

#include "pointwise_wide_dsp.h"

#include "depthwise_wide_dsp.h"
#include "wide_windows.h"

void edgec_s16_conv2d_2x4c4__dsp(const void *params, const edgec_operands *operands);
void edgec_s16_conv2d_2x1c4__dsp(const void *params, const edgec_operands *operands);
void edgec_s16_conv2d_2x4d4__dsp(const void *params, const edgec_operands *operands);
void edgec_s16_average_pool2d__dsp(const void *params, const edgec_operands *operands);
void edgec_s16_add__dsp(const void *params, const edgec_operands *operands);
void edgec_s16_rescale__dsp(const void *params, const edgec_operands *operands);

enum { MAX_SHIFT = 14 /* up to here saturating behind the layer shift gives the same 16 bits: dsp.h has 20 for 8 */ };

static int32_t groups_of(const edgec_conv2d_s16_params *p) { return (p->kernel_h * p->kernel_w * p->in_c + 3) / 4; }

/* Columns, and two windows as they are copied. */
static uint32_t scratch_bytes(const edgec_conv2d_s16_params *p) { return (uint32_t)groups_of(p) * (32u + (uint32_t)p->in_bits); }

#if EDGEC_DSP

/* Groups of four taps of two windows to slots side by side; bits: of the input. */
EDGEC_COPIED void unpack_groups(uint32_t *to, const int8_t *x0, const int8_t *x1, int32_t groups, int32_t bits) {
  for (; groups > 0; groups--) {
    if (bits == 8) {
      __asm__ volatile(
          "ldr r2, [%[x0]], #4\n"
          "ldr r3, [%[x1]], #4\n"
          "sxtb16 r4, r2\n"
          "sxtb16 r5, r3\n"
          "sxtb16 r2, r2, ror #8\n"
          "sxtb16 r3, r3, ror #8\n"
          "strd r4, r5, [%[to]], #16\n"
          "strd r2, r3, [%[to]], #16\n"
          : [to] "+r"(to), [x0] "+r"(x0), [x1] "+r"(x1)
          :
          : "r2", "r3", "r4", "r5", "memory");
    } else {
      __asm__ volatile(
          "ldr r2, [%[x0]], #4\n"
          "ldr r3, [%[x1]], #4\n"
          "ldr r4, [%[x0]], #4\n"
          "ldr r5, [%[x1]], #4\n"
          "strd r2, r3, [%[to]], #16\n"
          "strd r4, r5, [%[to]], #16\n"
          : [to] "+r"(to), [x0] "+r"(x0), [x1] "+r"(x1)
          :
          : "r2", "r3", "r4", "r5", "memory");
    }
  }
}

#else

EDGEC_COPIED void unpack_groups(uint32_t *to, const int8_t *x0, const int8_t *x1, int32_t groups, int32_t bits) {
  for (int32_t i = 0; i < groups; i++) {
    const uint32_t word0 = edgec_load_word(x0 + i * bits / 2);
    const uint32_t word1 = edgec_load_word(x1 + i * bits / 2);
    to[0] = bits == 8 ? edgec_sxtb16(word0) : word0;
    to[1] = bits == 8 ? edgec_sxtb16(word1) : word1;
    to[GEMM_POSITIONS] = bits == 8 ? edgec_sxtb16_high(word0) : edgec_load_word(x0 + i * 8 + 4);
    to[GEMM_POSITIONS + 1] = bits == 8 ? edgec_sxtb16_high(word1) : edgec_load_word(x1 + i * 8 + 4);
    to += GEMM_GROUP_WORDS;
  }
}

#endif

/* Windows have as many rows, each of `words` groups. */
static void unpack_rows(uint32_t *to, const wide_window *a, const wide_window *b, int32_t words, int32_t bits) {
  for (int32_t row = 0; row < a->rows; row++) {
    const int8_t *const x0 = a->first + row * a->step;
    const int8_t *const x1 = b->first + row * b->step;
    if (bits == 8) {
      unpack_groups(to, x0, x1, words, 8);
    } else {
      unpack_groups(to, x0, x1, words, 16);
    }
    to += GEMM_GROUP_WORDS * words;
  }
}

/* All channels of `count` positions whose columns are ready. */
static void finish_block(const edgec_conv2d_s16_params *p, wide_gemm *g, int8_t *y, int32_t count) {
  const int32_t element = p->out_bits / 8;
  const int32_t paired = count == GEMM_POSITIONS && p->narrow == 0 ? p->out_c & ~1 : 0;
  wide_gemm one = *g;
  if (paired != 0) {
    g->y = y;
    g->y_end = y + paired * element;
    edgec_dsp_wide_gemm(g);
  }
  if (paired != p->out_c) { /* an odd channel, or positions that make no block */
    one.weights += (GEMM_HEAD_WORDS + 2 * groups_of(p)) * (paired / 2);
    for (int32_t i = 0; i < count; i++) {
      one.y = y + (i * p->out_c + paired) * element;
      one.y_end = y + (i + 1) * p->out_c * element;
      if (p->narrow == 0) {
        wide_gemm_one(&one);
      } else {
        wide_gemm_one_long(&one, p->narrow);
      }
      one.columns++;
      one.columns_end++;
    }
  }
  clamp_wide(p, y, count * p->out_c, g->form == (int32_t)FORM_HALVES ? INT16_MIN : 0);
}

static void run_windows(const edgec_conv2d_s16_params *p, const edgec_operands *o) {
  const int32_t groups = groups_of(p);
  const int32_t copy_bytes = groups * p->in_bits / 2;
  const int32_t element = p->out_bits / 8;
  const int32_t positions = p->out_h * p->out_w;
  uint32_t *const columns = o->scratch;
  int8_t *const copies = (int8_t *)(columns + GEMM_GROUP_WORDS * groups);
  wide_walk next = wide_walk_of(p, o->input[0], 4);
  const int32_t form = p->out_bits == 8 ? FORM_BYTES : p->clamp_min >= 0 ? FORM_POSITIVE_HALVES : FORM_HALVES;
  wide_gemm g = {{0, 0}, NULL, p->out_c * element, p->out_zero_point, p->shift, columns, columns + GEMM_GROUP_WORDS * groups,
                 0, NULL, o->constant[0], form};
  for (int32_t i = 0; i < 2 * copy_bytes; i++) { /* what no tap writes */
    copies[i] = 0;
  }
  for (int32_t done = 0; done < positions; done += GEMM_POSITIONS) {
    const int32_t count = positions - done < GEMM_POSITIONS ? positions - done : GEMM_POSITIONS;
    for (int32_t i = 0; i < count; i += 2) {
      const wide_window a = wide_next_window(&next, copies);
      const wide_window b = i + 1 < count ? wide_next_window(&next, copies + copy_bytes) : a;
      unpack_rows(columns + i, &a, &b, groups / a.rows, p->in_bits);
    }
    finish_block(p, &g, o->output[0] + done * p->out_c * element, count);
  }
}

void edgec_s16_conv2d_2x4c4__dsp(const void *params, const edgec_operands *operands) { run_windows(params, operands); }

void edgec_s16_conv2d_2x1c4__dsp(const void *params, const edgec_operands *operands) { run_windows(params, operands); }

void edgec_s16_conv2d_2x4d4__dsp(const void *params, const edgec_operands *operands) { run_depthwise(params, operands); }

void edgec_s16_average_pool2d__dsp(const void *params, const edgec_operands *operands) { run_average_pool(params, operands); }

void edgec_s16_add__dsp(const void *params, const edgec_operands *operands) { run_add(params, operands); }

void edgec_s16_rescale__dsp(const void *params, const edgec_operands *operands) { run_rescale(params, operands); }

/* Everything lies in constant[0], `stream` bytes of it. */
static int is_valid(const edgec_conv2d_s16_params *p, const edgec_sizes *s, uint64_t stream) {
  edgec_sizes canonical = *s;
  canonical.constant[0] = edgec_volume(p->out_c, p->kernel_h * p->kernel_w, p->in_c / p->groups);
  canonical.constant[1] = 4u * (uint32_t)p->out_c;
  canonical.constant[2] = 4u * (uint32_t)p->out_c;
  return edgec_conv2d_s16_check(p, &canonical) && p->shift <= MAX_SHIFT && (p->in_bits == 8 || p->in_zero_point == 0) && s->constant[0] == stream && s->constant[1] == 0u &&
         s->constant[2] == 0u;
}

/* Bounds under which nothing that the checks compute leaves 32 bits. */
static int is_valid_size(const edgec_conv2d_s16_params *p, const edgec_sizes *s) {
  return s->param_count == sizeof *p / 4 && edgec_within(p->in_c, 1, 0xffff) && edgec_within(p->out_c, 1, 0xffff) &&
         edgec_within(p->kernel_h, 1, 0x7fff) && edgec_within(p->kernel_w, 1, 0x7fff) && p->groups >= 1 &&
         (p->in_bits == 8 || p->in_bits == 16) && edgec_volume(p->kernel_h, p->kernel_w, p->in_c) < 0x01000000u;
}

static int check_windows(const edgec_conv2d_s16_params *p, const edgec_sizes *s) {
  if (!is_valid_size(p, s) || p->groups != 1) {
    return 0;
  }
  const uint64_t pair = 4u * (uint64_t)(GEMM_HEAD_WORDS + 2 * groups_of(p));
  return is_valid(p, s, (uint64_t)((p->out_c + 1) / 2) * pair) && s->scratch >= scratch_bytes(p);
}

static int check_conv2d(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_s16_params *const p = params;
  return check_windows(p, s) && p->narrow == 0;
}

static int check_conv2d_long(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_s16_params *const p = params;
  return check_windows(p, s) && p->narrow > 0;
}

static int check_depthwise(const void *params, const edgec_sizes *s) {
  const edgec_conv2d_s16_params *const p = params;
  if (!is_valid_size(p, s) || p->groups != p->in_c || p->in_c != p->out_c || p->narrow != 0 || !edgec_within(p->in_h, 1, 0x7fff) ||
      !edgec_within(p->out_w, 1, 0x7fff) || !edgec_within(p->stride_w, 1, 0x7fff) || !edgec_within(p->dilation_w, 1, 0xff) ||
      !edgec_within(p->dilation_h, 1, 0xff) || !edgec_within(p->kernel_h, 1, 0xff) || !edgec_within(p->kernel_w, 1, 0xff)) {
    return 0;
  }
  const wide_rows r = wide_rows_of(p);
  const uint64_t block = 4u * (uint64_t)(DEPTHWISE_HEAD_WORDS + p->kernel_h * p->kernel_w);
  const uint32_t ring = edgec_volume(r.blocks, r.columns, 8 * (r.ring + 1));
  return is_valid(p, s, (uint64_t)((p->out_c + 3) / 4) * block) && ring <= (uint32_t)INT32_MAX && s->scratch >= ring;
}

static int check_average_pool(const void *params, const edgec_sizes *s) {
  const edgec_average_pool2d_s16_params *const p = params;
  return edgec_average_pool2d_s16_check(params, s) && p->kernel_h * p->kernel_w <= POOL_TAPS && p->shift <= MAX_SHIFT;
}

static int64_t magnitude(int32_t value) { return value < 0 ? -(int64_t)value : value; }

/* Operands may be shifted so far, and the shifted sum fits 32 bits. */
static int check_add(const void *params, const edgec_sizes *s) {
  const edgec_add_s16_params *const p = params;
  if (!edgec_add_s16_check(params, s) || p->shift < 17) {
    return 0;
  }
  const int64_t reach = magnitude(p->multiplier_a) + magnitude(p->multiplier_b) + (magnitude(p->offset_high) + 1) * 0x20000;
  return reach < (int64_t)1 << (16 + p->shift); /* both times 2^15 */
}

static int check_rescale(const void *params, const edgec_sizes *s) {
  const edgec_rescale_s16_params *const p = params;
  return edgec_rescale_s16_check(params, s) && p->shift <= MAX_SHIFT;
}

const edgec_kernel edgec_s16_conv2d_2x4c4__dsp_kernel = {0x1c10, 1, edgec_s16_conv2d_2x4c4__dsp, check_conv2d};
const edgec_kernel edgec_s16_conv2d_2x1c4__dsp_kernel = {0x1c11, 1, edgec_s16_conv2d_2x1c4__dsp, check_conv2d_long};
const edgec_kernel edgec_s16_conv2d_2x4d4__dsp_kernel = {0x1c12, 1, edgec_s16_conv2d_2x4d4__dsp, check_depthwise};
const edgec_kernel edgec_s16_average_pool2d__dsp_kernel = {0x1d10, 0, edgec_s16_average_pool2d__dsp, check_average_pool};
const edgec_kernel edgec_s16_add__dsp_kernel = {0x1e10, 1, edgec_s16_add__dsp, check_add};
const edgec_kernel edgec_s16_rescale__dsp_kernel = {0x1f10, 1, edgec_s16_rescale__dsp, check_rescale};
