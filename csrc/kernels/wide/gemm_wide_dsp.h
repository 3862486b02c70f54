/* The inner product of the dsp convolutions with int16 inputs: two output channels by four positions, sums of 32 bits.
 *
 * Taps come as pairs of int16 in `columns`, weights as words of four bytes that two SXTB16 unpack: bytes 0 and 2 go with the first pair of
 * four taps, bytes 1 and 3 with the second one. int8 inputs are widened by SXTB16 too, so that their pairs are taps (0, 2) and
 * (1, 3) and the weights lie in order; int16 inputs are read as they lie, and the weights are (0, 2, 1, 3). 26 instructions for 32 products.
 * The program's verifier proves that 32 bits hold every sum (narrow is 0). Included by wide_dsp.c alone.
 */
#ifndef EDGEC_GEMM_WIDE_DSP_H
#define EDGEC_GEMM_WIDE_DSP_H

#include "../gemm_frame_dsp.h"

/* How results are saturated and stored. */
typedef enum wide_form { FORM_BYTES = 0, FORM_HALVES = 1, FORM_POSITIVE_HALVES = 2 } wide_form;

/* One member a word, in the order of the assembly's stack frame. weights: for each pair of channels its biases, its
 * multipliers, then two words a group. */
typedef struct wide_gemm {
  int32_t multiplier[2]; /* of the assembly */
  int8_t *y;             /* channel 0 of the first position */
  int32_t pitch;         /* bytes from one position to the next */
  int32_t zero_point, shift;
  const uint32_t *columns, *columns_end;
  uintptr_t entry;       /* of the assembly */
  const int8_t *y_end;   /* behind the channels of all pairs */
  const uint32_t *weights;
  int32_t form;          /* a wide_form */
} wide_gemm;

static inline int32_t saturated(int32_t value, int32_t form) {
  if (form == (int32_t)FORM_BYTES) {
    return edgec_clamp(value, INT8_MIN, INT8_MAX);
  }
  return edgec_clamp(value, form == (int32_t)FORM_HALVES ? INT16_MIN : 0, INT16_MAX);
}

static inline int8_t *store_one(int8_t *y, int32_t form, int32_t value) {
  *y++ = (int8_t)value;
  if (form != (int32_t)FORM_BYTES) {
    *y++ = (int8_t)(value >> 8);
  }
  return y;
}

#if EDGEC_DSP

void edgec_dsp_wide_gemm(const wide_gemm *g);

#define WIDE_SMLAD                \
  "ldmia r1!, {r2, r3}\n"         \
  "smlad r6, r4, r2, r6\n"        \
  "smlad r7, r4, r3, r7\n"        \
  "smlad r10, r5, r2, r10\n"      \
  "smlad r11, r5, r3, r11\n"      \
  "ldmia r1!, {r2, r3}\n"         \
  "smlad r8, r4, r2, r8\n"        \
  "smlad r9, r4, r3, r9\n"        \
  "smlad r12, r5, r2, r12\n"      \
  "smlad lr, r5, r3, lr\n"

/* 96 bytes. */
#define WIDE_STEP                 \
  "ldrd r4, r5, [r0]\n"           \
  "sxtb16 r4, r4\n"               \
  "sxtb16 r5, r5\n" WIDE_SMLAD    \
  "ldrd r4, r5, [r0], #8\n"       \
  "sxtb16 r4, r4, ror #8\n"       \
  "sxtb16 r5, r5, ror #8\n" WIDE_SMLAD

#define WIDE_EACH(operation)      \
  operation("r6") operation("r7") operation("r8") operation("r9") operation("r10") operation("r11") operation("r12") operation("lr")
#define WIDE_SSAT8(r) "ssat " r ", #8, " r "\n"
#define WIDE_SSAT16(r) "ssat " r ", #16, " r "\n"
#define WIDE_USAT15(r) "usat " r ", #15, " r "\n"
#define WIDE_DOUBLE(r) "qadd " r ", " r ", " r "\n"

/* At 44 of the frame: form. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_wide_gemm) GEMM_ENTER("48") GEMM_ENTRY("negs r7, r7\n", 96)
        "1:\n"
        "ldmia r0!, {r2-r5}\n"
        "strd r4, r5, [sp]\n"
        "ldr r1, [sp, #24]\n"
        "mov r6, r2\n"
        "mov r7, r2\n"
        "mov r8, r2\n"
        "mov r9, r2\n"
        "mov r10, r3\n"
        "mov r11, r3\n"
        "mov r12, r3\n"
        "mov lr, r3\n" GEMM_ROUNDS(WIDE_STEP)
        "ldrd r1, r4, [sp, #16]\n"
        "ldrd r2, r3, [sp]\n"
        "cmp r4, #0\n"
        "bne.w 7f\n"
        "3:\n" GEMM_SCALE
        "ldr r4, [sp, #44]\n"
        "ldrd r2, r3, [sp, #8]\n"
        "ldr r1, [sp, #36]\n"
        "cmp r4, #1\n"
        "beq 4f\n"
        "bgt 5f\n" WIDE_EACH(WIDE_SSAT8)
        "bfi r6, r10, #8, #8\n"
        "bfi r7, r11, #8, #8\n"
        "bfi r8, r12, #8, #8\n"
        "bfi r9, lr, #8, #8\n"
        "adds r4, r2, #2\n"
        "str r4, [sp, #8]\n"
        "strh r6, [r2]\n"
        "strh r7, [r2, r3]\n"
        "strh r8, [r2, r3, lsl #1]\n"
        "add r2, r2, r3\n"
        "strh r9, [r2, r3, lsl #1]\n"
        "cmp r4, r1\n"
        "bne.w 1b\n"
        "b 8f\n"
        "4:\n" WIDE_EACH(WIDE_SSAT16)
        "b 6f\n"
        "5:\n" WIDE_EACH(WIDE_USAT15)
        "6:\n"
        "pkhbt r6, r6, r10, lsl #16\n"
        "pkhbt r7, r7, r11, lsl #16\n"
        "pkhbt r8, r8, r12, lsl #16\n"
        "pkhbt r9, r9, lr, lsl #16\n"
        "adds r4, r2, #4\n"
        "str r4, [sp, #8]\n"
        "str r6, [r2]\n"
        "str r7, [r2, r3]\n"
        "str r8, [r2, r3, lsl #1]\n"
        "add r2, r2, r3\n"
        "str r9, [r2, r3, lsl #1]\n"
        "cmp r4, r1\n"
        "bne.w 1b\n"
        "8:\n"
        "add sp, sp, #48\n"
        "pop {r4-r11, pc}\n"
        "7:\n" WIDE_EACH(WIDE_DOUBLE)
        "subs r4, r4, #1\n"
        "bne 7b\n"
        "b 3b\n" EDGEC_DSP_END(edgec_dsp_wide_gemm));

#else

static void edgec_dsp_wide_gemm(const wide_gemm *g) {
  const uint32_t *w = g->weights;
  const int32_t step = g->form == (int32_t)FORM_BYTES ? 2 : 4;
  for (int8_t *y = g->y; y != g->y_end; y += step) {
    const uint32_t *const head = w;
    int32_t acc[2 * GEMM_POSITIONS];
    for (int32_t i = 0; i < 2 * GEMM_POSITIONS; i++) {
      acc[i] = (int32_t)head[i / GEMM_POSITIONS];
    }
    w += GEMM_HEAD_WORDS;
    for (const uint32_t *x = g->columns; x != g->columns_end; x += GEMM_GROUP_WORDS) {
      for (int32_t i = 0; i < 2 * GEMM_POSITIONS; i++) {
        const uint32_t *const pair = x + i % GEMM_POSITIONS;
        acc[i] = edgec_smlad(edgec_sxtb16(w[i / GEMM_POSITIONS]), pair[0], acc[i]);
        acc[i] = edgec_smlad(edgec_sxtb16_high(w[i / GEMM_POSITIONS]), pair[GEMM_POSITIONS], acc[i]);
      }
      w += 2;
    }
    for (int32_t i = 0; i < GEMM_POSITIONS; i++) {
      int8_t *to = y + i * g->pitch;
      for (int32_t k = 0; k < 2; k++) {
        const int32_t scaled = edgec_scale_up(acc[k * GEMM_POSITIONS + i], g->shift);
        to = store_one(to, g->form, saturated(edgec_smmlar(scaled, (int32_t)head[2 + k], g->zero_point), g->form));
      }
    }
  }
}

#endif

/* One position, that of slot 0 when `columns` is moved up by the slot; an odd channel at the end is left out. */
static void wide_gemm_one(const wide_gemm *g) {
  const uint32_t *w = g->weights;
  for (int8_t *y = g->y; y != g->y_end;) {
    const uint32_t *const head = w;
    int32_t a = (int32_t)head[0];
    int32_t b = (int32_t)head[1];
    w += GEMM_HEAD_WORDS;
    for (const uint32_t *x = g->columns; x != g->columns_end; x += GEMM_GROUP_WORDS) {
      const uint32_t first = x[0];
      const uint32_t second = x[GEMM_POSITIONS];
      a = edgec_smlad(edgec_sxtb16(w[0]), first, a);
      b = edgec_smlad(edgec_sxtb16(w[1]), first, b);
      a = edgec_smlad(edgec_sxtb16_high(w[0]), second, a);
      b = edgec_smlad(edgec_sxtb16_high(w[1]), second, b);
      w += 2;
    }
    y = store_one(y, g->form, saturated(edgec_smmlar(edgec_scale_up(a, g->shift), (int32_t)head[2], g->zero_point), g->form));
    if (y != g->y_end) {
      y = store_one(y, g->form, saturated(edgec_smmlar(edgec_scale_up(b, g->shift), (int32_t)head[3], g->zero_point), g->form));
    }
  }
}

/* The same with sums of 64 bits, narrowed before they are requantized: for programs whose sums may leave 32 bits. */
static void wide_gemm_one_long(const wide_gemm *g, int32_t narrow) {
  const uint32_t *w = g->weights;
  const int64_t half = (int64_t)1 << (narrow - 1);
  for (int8_t *y = g->y; y != g->y_end;) {
    const uint32_t *const head = w;
    int64_t acc[2] = {(int32_t)head[0] + half, (int32_t)head[1] + half};
    w += GEMM_HEAD_WORDS;
    for (const uint32_t *x = g->columns; x != g->columns_end; x += GEMM_GROUP_WORDS) {
      const uint32_t first = x[0];
      const uint32_t second = x[GEMM_POSITIONS];
      acc[0] = edgec_smlald(edgec_sxtb16(w[0]), first, acc[0]);
      acc[1] = edgec_smlald(edgec_sxtb16(w[1]), first, acc[1]);
      acc[0] = edgec_smlald(edgec_sxtb16_high(w[0]), second, acc[0]);
      acc[1] = edgec_smlald(edgec_sxtb16_high(w[1]), second, acc[1]);
      w += 2;
    }
    for (int32_t i = 0; i < 2 && y != g->y_end; i++) {
      const int64_t shifted = acc[i] >> narrow;
      const int32_t sum = shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
      y = store_one(y, g->form, saturated(edgec_smmlar(edgec_scale_up(sum, g->shift), (int32_t)head[2 + i], g->zero_point), g->form));
    }
  }
}

#endif
