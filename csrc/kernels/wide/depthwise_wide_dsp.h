/* Depthwise conv2d_s16: four channels of two positions at a time, a row of outputs after the other.
 *
 * Rows of the input are widened to int16 once, with the padding on their left and right, into a ring of as many rows as a window reaches
 * over; one more row is all zero_point. In a row each four channels lie together, pixel after pixel, so that neighbouring taps are 8
 * bytes apart. A word of weights is one tap of four channels: 13 instructions for 8 products. A row of outputs is written once the
 * rows it needs are in the ring: conv2d_distance in edgec/ops/packing_wide.py counts on that. Included by wide_dsp.c alone.
 */
#ifndef EDGEC_DEPTHWISE_WIDE_DSP_H
#define EDGEC_DEPTHWISE_WIDE_DSP_H

#include "../dsp.h"
#include "wide.h"
#include "wide_elements.h"

enum { DEPTHWISE_CHANNELS = 4, DEPTHWISE_HEAD_WORDS = 8 /* biases, then multipliers */, DEPTHWISE_SIDE = 3 /* of windows in assembly */ };

typedef struct wide_rows {
  int32_t blocks;  /* of four channels */
  int32_t columns; /* pixels of a row: padding, the whole input, and those of a second position that is not there */
  int32_t ring;    /* rows */
} wide_rows;

static wide_rows wide_rows_of(const edgec_conv2d_s16_params *p) {
  const int32_t reach = p->out_w * p->stride_w + (p->kernel_w - 1) * p->dilation_w + 1;
  const int32_t input = p->pad_left + p->in_w;
  const wide_rows r = {(p->in_c + 3) / 4, reach > input ? reach : input, (p->kernel_h - 1) * p->dilation_h + 1};
  return r;
}

/* Outputs of a row, four channels; one member a word, in the order of the assembly's stack frame. */
typedef struct wide_depthwise {
  const int16_t *rows[DEPTHWISE_SIDE]; /* of the first window; the assembly's */
  int8_t *y;
  int32_t pitch; /* bytes from one position to the next */
  const uint32_t *weights;
  int32_t zero_point, shift;
  int32_t pairs; /* of positions, at least one */
  int32_t form;  /* a wide_form: bytes or halves */
  int32_t last;  /* pitch of the last pair; 0: only its first position is wanted */
} wide_depthwise;

#if EDGEC_DSP

/* 3x3 windows, stride 1 or 2, whole blocks of channels. */
void edgec_dsp_wide_depthwise_s1(const wide_depthwise *d);
void edgec_dsp_wide_depthwise_s2(const wide_depthwise *d);

/* Weights r0, pixels r1, accumulators r4-r7 of the first position and r8-r11 of the second. Frame: rows 0, y 12, pitch 16, weights 20,
 * zero_point 24, shift 28, pairs 32, form 36, last 40. */
#define DEPTHWISE_TAP(first, second)   \
  "ldr r3, [r0], #4\n"                 \
  "ldrd r12, lr, [r1, #" first "]\n"   \
  "sxtb16 r2, r3\n"                    \
  "sxtb16 r3, r3, ror #8\n"            \
  "smlabb r4, r12, r2, r4\n"           \
  "smlatb r5, r12, r3, r5\n"           \
  "smlabt r6, lr, r2, r6\n"            \
  "smlatt r7, lr, r3, r7\n"            \
  "ldrd r12, lr, [r1, #" second "]\n"  \
  "smlabb r8, r12, r2, r8\n"           \
  "smlatb r9, r12, r3, r9\n"           \
  "smlabt r10, lr, r2, r10\n"          \
  "smlatt r11, lr, r3, r11\n"

/* The pointer to the row moves on by both positions. */
#define DEPTHWISE_ROW_S1(row)          \
  "ldr r1, [sp, #" row "]\n"           \
  "add r2, r1, #16\n"                  \
  "str r2, [sp, #" row "]\n" DEPTHWISE_TAP("0", "8") DEPTHWISE_TAP("8", "16") DEPTHWISE_TAP("16", "24")
#define DEPTHWISE_ROW_S2(row)          \
  "ldr r1, [sp, #" row "]\n"           \
  "add r2, r1, #32\n"                  \
  "str r2, [sp, #" row "]\n" DEPTHWISE_TAP("0", "16") DEPTHWISE_TAP("8", "24") DEPTHWISE_TAP("16", "32")

#define DEPTHWISE_EACH(operation)      \
  operation("r4") operation("r5") operation("r6") operation("r7") operation("r8") operation("r9") operation("r10") operation("r11")

#define DEPTHWISE_BEGIN                \
  "push {r4-r11, lr}\n"                \
  "sub sp, sp, #44\n"                  \
  "ldmia.w r0, {r1-r11}\n"             \
  "stmia.w sp, {r1-r11}\n"             \
  "1:\n"                               \
  "ldr r0, [sp, #20]\n"                \
  "ldmia r0!, {r4-r7}\n"               \
  "adds r0, r0, #16\n"                 \
  "mov r8, r4\n"                       \
  "mov r9, r5\n"                       \
  "mov r10, r6\n"                      \
  "mov r11, r7\n"

/* The second position first: where only the first is wanted it is written last. */
#define DEPTHWISE_FINISH               \
  "ldrd r1, r2, [sp, #24]\n"           \
  "cmp r2, #0\n"                       \
  "bne.w 5f\n"                         \
  "2:\n"                               \
  "ldr r0, [sp, #20]\n"                \
  "ldrd r2, r3, [r0, #16]\n"           \
  "ldrd r12, lr, [r0, #24]\n"          \
  "smmlar r4, r4, r2, r1\n"            \
  "smmlar r5, r5, r3, r1\n"            \
  "smmlar r6, r6, r12, r1\n"           \
  "smmlar r7, r7, lr, r1\n"            \
  "smmlar r8, r8, r2, r1\n"            \
  "smmlar r9, r9, r3, r1\n"            \
  "smmlar r10, r10, r12, r1\n"         \
  "smmlar r11, r11, lr, r1\n"          \
  "ldrd r2, r3, [sp, #12]\n"           \
  "ldrd r0, r1, [sp, #32]\n"           \
  "ldr r12, [sp, #40]\n"               \
  "cmp r0, #1\n"                       \
  "it ne\n"                            \
  "movne r12, r3\n"                    \
  "add r12, r12, r2\n"                 \
  "add r3, r12, r3\n"                  \
  "str r3, [sp, #12]\n"                \
  "cbnz r1, 3f\n" DEPTHWISE_EACH(WIDE_SSAT8)  \
  "bfi r8, r9, #8, #8\n"               \
  "bfi r4, r5, #8, #8\n"               \
  "bfi r10, r11, #8, #8\n"             \
  "bfi r6, r7, #8, #8\n"               \
  "pkhbt r8, r8, r10, lsl #16\n"       \
  "pkhbt r4, r4, r6, lsl #16\n"        \
  "str r8, [r12]\n"                    \
  "str r4, [r2]\n"                     \
  "subs r0, r0, #1\n"                  \
  "str r0, [sp, #32]\n"                \
  "bne.w 1b\n"                         \
  "b 4f\n"                             \
  "3:\n" DEPTHWISE_EACH(WIDE_SSAT16)   \
  "pkhbt r8, r8, r9, lsl #16\n"        \
  "pkhbt r10, r10, r11, lsl #16\n"     \
  "pkhbt r4, r4, r5, lsl #16\n"        \
  "pkhbt r6, r6, r7, lsl #16\n"        \
  "str r8, [r12]\n"                    \
  "str r10, [r12, #4]\n"               \
  "str r4, [r2]\n"                     \
  "str r6, [r2, #4]\n"                 \
  "subs r0, r0, #1\n"                  \
  "str r0, [sp, #32]\n"                \
  "bne.w 1b\n"                         \
  "4:\n"                               \
  "add sp, sp, #44\n"                  \
  "pop {r4-r11, pc}\n"                 \
  "5:\n" DEPTHWISE_EACH(WIDE_DOUBLE)   \
  "subs r2, r2, #1\n"                  \
  "bne 5b\n"                           \
  "b 2b\n"

__asm__(EDGEC_DSP_BEGIN(edgec_dsp_wide_depthwise_s1) DEPTHWISE_BEGIN DEPTHWISE_ROW_S1("0") DEPTHWISE_ROW_S1("4") DEPTHWISE_ROW_S1("8")
        DEPTHWISE_FINISH EDGEC_DSP_END(edgec_dsp_wide_depthwise_s1));

__asm__(EDGEC_DSP_BEGIN(edgec_dsp_wide_depthwise_s2) DEPTHWISE_BEGIN DEPTHWISE_ROW_S2("0") DEPTHWISE_ROW_S2("4") DEPTHWISE_ROW_S2("8")
        DEPTHWISE_FINISH EDGEC_DSP_END(edgec_dsp_wide_depthwise_s2));

#else

static void depthwise_pairs(const wide_depthwise *d, int32_t stride) {
  int8_t *y = d->y;
  for (int32_t at = 0; at < 2 * d->pairs; at++) {
    const int32_t position = at ^ 1; /* of a pair the second one first */
    int8_t *to = y + (at / 2 + 1 == d->pairs ? (position - position % 2) * d->pitch + position % 2 * d->last : position * d->pitch);
    for (int32_t c = 0; c < DEPTHWISE_CHANNELS; c++) {
      int32_t acc = (int32_t)d->weights[c];
      for (int32_t tap = 0; tap < DEPTHWISE_SIDE * DEPTHWISE_SIDE; tap++) {
        const int32_t w = (int8_t)(uint8_t)(d->weights[DEPTHWISE_HEAD_WORDS + tap] >> (8 * c));
        const int16_t *const row = d->rows[tap / DEPTHWISE_SIDE];
        acc = edgec_mac(acc, row[(position * stride + tap % DEPTHWISE_SIDE) * DEPTHWISE_CHANNELS + c], w);
      }
      const int32_t value = edgec_smmlar(edgec_scale_up(acc, d->shift), (int32_t)d->weights[4 + c], d->zero_point);
      to = store_one(to, d->form, saturated(value, d->form));
    }
  }
}

static void edgec_dsp_wide_depthwise_s1(const wide_depthwise *d) { depthwise_pairs(d, 1); }
static void edgec_dsp_wide_depthwise_s2(const wide_depthwise *d) { depthwise_pairs(d, 2); }

#endif

/* A row of the input to its place between the padding. */
static void widen_row(const edgec_conv2d_s16_params *p, const wide_rows *r, int16_t *to, const int8_t *from) {
  const int32_t pixel = p->in_c * p->in_bits / 8;
  for (int32_t c = 0; c < p->in_c; c += DEPTHWISE_CHANNELS) {
    const int32_t channels = p->in_c - c < DEPTHWISE_CHANNELS ? p->in_c - c : DEPTHWISE_CHANNELS;
    const int8_t *x = from + c * p->in_bits / 8;
    int16_t *four = to + c * r->columns;
    if (channels < DEPTHWISE_CHANNELS) {
      for (int32_t i = 0; i < p->in_w * DEPTHWISE_CHANNELS; i++) {
        if (i % DEPTHWISE_CHANNELS < channels) {
          four[i] = (int16_t)element_at(x + (i / DEPTHWISE_CHANNELS * p->in_c + i % DEPTHWISE_CHANNELS) * p->in_bits / 8, p->in_bits);
        }
      }
    } else if (p->in_bits == 16) {
      for (int16_t *const end = four + p->in_w * DEPTHWISE_CHANNELS; four != end; four += DEPTHWISE_CHANNELS) {
        const uint32_t pairs[2] = {edgec_load_word(x), edgec_load_word(x + 4)};
        memcpy(four, pairs, sizeof pairs);
        x += pixel;
      }
    } else {
      for (int16_t *const end = four + p->in_w * DEPTHWISE_CHANNELS; four != end; four += DEPTHWISE_CHANNELS) {
        const uint32_t word = edgec_load_word(x);
        const uint32_t even = edgec_sxtb16(word);
        const uint32_t odd = edgec_sxtb16_high(word);
        const uint32_t pairs[2] = {edgec_pack_low(even, odd), edgec_pack_high(even, odd)};
        memcpy(four, pairs, sizeof pairs);
        x += pixel;
      }
    }
  }
}

typedef struct depthwise_ring {
  const int16_t *ring, *padding;
  int32_t row_elements, rows;
} depthwise_ring;

static const int16_t *row_of(const edgec_conv2d_s16_params *p, const depthwise_ring *ring, int32_t iy) {
  return iy >= 0 && iy < p->in_h ? ring->ring + iy % ring->rows * ring->row_elements : ring->padding;
}

/* Any window, one channel of one position. */
static int32_t depthwise_one(const edgec_conv2d_s16_params *p, const depthwise_ring *ring, const uint32_t *weights, int32_t y, int32_t at, int32_t c) {
  int32_t acc = (int32_t)weights[c];
  const uint32_t *w = weights + DEPTHWISE_HEAD_WORDS;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int16_t *x = row_of(p, ring, y + ky * p->dilation_h) + at + c;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      acc = edgec_mac(acc, *x, (int8_t)(uint8_t)(*w++ >> (8 * c)));
      x += DEPTHWISE_CHANNELS * p->dilation_w;
    }
  }
  return acc;
}

/* A row of outputs, as it is stored before a clamp narrower than its type. y: of its first output. */
static void depthwise_row(const edgec_conv2d_s16_params *p, const depthwise_ring *ring, const uint32_t *weights, int32_t iy, int8_t *y) {
  const int32_t form = p->out_bits == 8 ? FORM_BYTES : FORM_HALVES;
  const int32_t element = p->out_bits / 8;
  const int32_t block_elements = ring->row_elements / ((p->in_c + 3) / 4);
  const int unrolled = p->kernel_h == DEPTHWISE_SIDE && p->kernel_w == DEPTHWISE_SIDE && p->dilation_w == 1 && p->stride_w <= 2;
  const int16_t *rows[DEPTHWISE_SIDE] = {NULL, NULL, NULL};
  for (int32_t ky = 0; unrolled && ky < DEPTHWISE_SIDE; ky++) {
    rows[ky] = row_of(p, ring, iy + ky * p->dilation_h);
  }
  const int32_t pitch = p->out_c * element;
  wide_depthwise d = {{NULL, NULL, NULL}, y, pitch, weights, p->out_zero_point, p->shift, (p->out_w + 1) / 2, form, p->out_w % 2 != 0 ? 0 : pitch};
  for (int32_t c = 0; c < p->out_c; c += DEPTHWISE_CHANNELS) {
    const int32_t at = c / DEPTHWISE_CHANNELS * block_elements;
    if (unrolled && p->out_c - c >= DEPTHWISE_CHANNELS) {
      d.rows[0] = rows[0] + at;
      d.rows[1] = rows[1] + at;
      d.rows[2] = rows[2] + at;
      d.y = y + c * element;
      d.weights = weights;
      if (p->stride_w == 1) {
        edgec_dsp_wide_depthwise_s1(&d);
      } else {
        edgec_dsp_wide_depthwise_s2(&d);
      }
    } else {
      for (int32_t ox = 0; ox < p->out_w; ox++) {
        int8_t *to = y + (ox * p->out_c + c) * element;
        for (int32_t i = 0; i < DEPTHWISE_CHANNELS && c + i < p->out_c; i++) {
          const int32_t acc = depthwise_one(p, ring, weights, iy, at + ox * p->stride_w * DEPTHWISE_CHANNELS, i);
          const int32_t value = edgec_smmlar(edgec_scale_up(acc, p->shift), (int32_t)weights[4 + i], p->out_zero_point);
          to = store_one(to, form, saturated(value, form));
        }
      }
    }
    weights += DEPTHWISE_HEAD_WORDS + p->kernel_h * p->kernel_w;
  }
}

static void run_depthwise(const edgec_conv2d_s16_params *p, const edgec_operands *o) {
  const wide_rows r = wide_rows_of(p);
  int16_t *const rows = o->scratch;
  const int32_t row_elements = r.columns * r.blocks * DEPTHWISE_CHANNELS;
  const depthwise_ring ring = {rows, rows + r.ring * row_elements, row_elements, r.ring};
  const int32_t in_row = p->in_w * p->in_c * p->in_bits / 8;
  const int32_t out_row = p->out_w * p->out_c * p->out_bits / 8;
  const uint32_t pair = ((uint32_t)p->in_zero_point & 0xffffu) * 0x10001u;
  for (int32_t i = 0; i < (r.ring + 1) * row_elements; i += 2) {
    memcpy(rows + i, &pair, sizeof pair);
  }
  int32_t read = 0; /* rows of the input */
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const int32_t iy = oy * p->stride_h - p->pad_top;
    int8_t *const y = o->output[0] + oy * out_row;
    for (; read < p->in_h && read < iy + r.ring; read++) {
      int16_t *const to = rows + read % r.ring * row_elements + p->pad_left * DEPTHWISE_CHANNELS;
      widen_row(p, &r, to, o->input[0] + read * in_row);
    }
    depthwise_row(p, &ring, o->constant[0], iy, y);
    clamp_wide(p, y, p->out_w * p->out_c, INT16_MIN);
  }
}

#endif
