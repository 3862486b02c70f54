/* The inner products of gemm_dsp.h for weights of 4 bits, straight from the packed word: one instruction more for four taps of two
 * channels at four positions than with 8 bits.
 *
 * dsp.h has the form of packed words. In front of the columns lie the corrections of channels a, then of channels b.
 *
 * Included by conv_dsp.c alone.
 */
#ifndef EDGEC_GEMM_NIBBLES_DSP_H
#define EDGEC_GEMM_NIBBLES_DSP_H

#include "gemm_dsp.h"

enum { NIBBLE_HEADS = 2 * GEMM_POSITIONS }; /* words before the groups: corrections of channels a, then of channels b */

/* heads: corrections as the unpacking left them (behind, where those of channels b go), and the columns. */
static void correct_columns(uint32_t *heads, int32_t groups) {
  int32_t odd[GEMM_POSITIONS] = {0, 0, 0, 0};
  const uint32_t *x = heads + NIBBLE_HEADS + GEMM_POSITIONS;
  for (int32_t group = 0; group < groups; group++) {
    odd[0] = edgec_smlad(x[0], 0x00010001u, odd[0]);
    odd[1] = edgec_smlad(x[1], 0x00010001u, odd[1]);
    odd[2] = edgec_smlad(x[2], 0x00010001u, odd[2]);
    odd[3] = edgec_smlad(x[3], 0x00010001u, odd[3]);
    x += GEMM_GROUP_WORDS;
  }
  for (int32_t i = 0; i < GEMM_POSITIONS; i++) {
    const int32_t even = (int32_t)heads[GEMM_POSITIONS + i];
    const int32_t both = edgec_nibble_correction(odd[i], even);
    heads[i] = (uint32_t)edgec_wrapping_add(both, even);
    heads[GEMM_POSITIONS + i] = (uint32_t)both;
  }
}

/* The same for patches of `groups` groups of PATCH_GROUP_WORDS; even: EDGEC_EVEN_CORRECTION sums of each of the six pixels. */
static void correct_patch(uint32_t *heads, const int32_t *even, int32_t groups) {
  int32_t both[PATCH_PIXELS];
  for (int32_t i = 0; i < PATCH_PIXELS; i++) {
    const uint32_t *x = heads + NIBBLE_HEADS + PATCH_PIXELS + i;
    int32_t odd = 0;
    for (int32_t rows = 3 * groups; rows != 0; rows--) {
      odd = edgec_smlad(*x, 0x00010001u, odd);
      x += 2 * PATCH_PIXELS;
    }
    both[i] = edgec_nibble_correction(odd, even[i]);
  }
  for (int32_t i = 0; i < GEMM_POSITIONS; i++) {
    const int32_t b = edgec_wrapping_add(edgec_wrapping_add(both[i], both[i + 1]), both[i + 2]);
    const int32_t a = edgec_wrapping_add(edgec_wrapping_add(even[i], even[i + 1]), even[i + 2]);
    heads[i] = (uint32_t)edgec_wrapping_add(a, b);
    heads[GEMM_POSITIONS + i] = (uint32_t)b;
  }
}

#if EDGEC_DSP

void edgec_dsp_gemm_nibbles(const gemm *g);
void edgec_dsp_gemm_nibbles_one(const gemm *g);
void edgec_dsp_gemm_nibbles_3x3(const gemm *g);

/* As GEMM_START, but heads are added at the end. */
#define NIBBLE_START             \
  "ldr r1, [sp, #24]\n"          \
  "ldmia.w r1!, {r6-r12, lr}\n"

/* In GEMM_STEP: 24 instructions, 88 bytes. */
#define NIBBLE_LOAD "ldr r4, [r0], #4\n"
#define NIBBLE_MASK "and r5, r4, #0x0f0f0f0f\n"

/* The accumulators of channel A from those of both; then low halves of heads to r1, multipliers to r2 and r3, and heads are added. */
#define NIBBLE_SPLIT             \
  "sub r6, r6, r10\n"            \
  "sub r7, r7, r11\n"            \
  "sub r8, r8, r12\n"            \
  "sub r9, r9, lr\n"             \
  "asr r6, r6, #4\n"             \
  "asr r7, r7, #4\n"             \
  "asr r8, r8, #4\n"             \
  "asr r9, r9, #4\n"             \
  "ldmia r0!, {r1-r3}\n"         \
  "ldr r4, [sp]\n"               \
  "cbz r4, 6f\n"                 \
  "ldr r5, [r4], #4\n"           \
  "str r4, [sp]\n"               \
  "pkhbt r4, r1, r5, lsl #16\n"  \
  "pkhtb r5, r5, r1, asr #16\n"  \
  "add r6, r4\n"                 \
  "add r7, r4\n"                 \
  "add r8, r4\n"                 \
  "add r9, r4\n"                 \
  "add r10, r5\n"                \
  "add r11, r5\n"                \
  "add r12, r5\n"                \
  "add lr, r5\n"                 \
  "b 7f\n"                       \
  "6:\n"                         \
  "sxtah r6, r6, r1\n"           \
  "sxtah r7, r7, r1\n"           \
  "sxtah r8, r8, r1\n"           \
  "sxtah r9, r9, r1\n"           \
  "sxtah r10, r10, r1, ror #16\n" \
  "sxtah r11, r11, r1, ror #16\n" \
  "sxtah r12, r12, r1, ror #16\n" \
  "sxtah lr, lr, r1, ror #16\n"  \
  "7:\n"

#define NIBBLE_FINISH NIBBLE_SPLIT GEMM_FINISH("", "", "")
#define NIBBLE_NEGATE "rsb r7, r7, #1\n" /* 32 + 32 * groups */

/* One position: highs 8 in the frame; a word of low halves to r5. */
#define NIBBLE_ONE_ENTER         \
  "ldr r3, [r0, #24]\n"          \
  "ldr r5, [r0]\n"               \
  "ldr r0, [r0, #40]\n"          \
  "push {r3-r5}\n"
#define NIBBLE_ONE_START "ldr r7, [r1, #16]\nldr r6, [r1], #32\n"
#define NIBBLE_ONE_SPLIT         \
  "subs r6, r6, r7\n"            \
  "asrs r6, r6, #4\n"            \
  "ldmia.w r0!, {r5, r8, r10}\n" \
  "ldr r4, [sp, #8]\n"           \
  "cbz r4, 6f\n"                 \
  "ldr r3, [r4], #4\n"           \
  "str r4, [sp, #8]\n"           \
  "pkhbt r4, r5, r3, lsl #16\n"  \
  "pkhtb r5, r3, r5, asr #16\n"  \
  "add r6, r4\n"                 \
  "add r7, r5\n"                 \
  "b 7f\n"                       \
  "6:\n"                         \
  "sxtah r6, r6, r5\n"           \
  "sxtah r7, r7, r5, ror #16\n"  \
  "7:\n"

GEMM_FUNCTION(edgec_dsp_gemm_nibbles, NIBBLE_NEGATE, 88, NIBBLE_START, NIBBLE_LOAD, NIBBLE_MASK, NIBBLE_FINISH);
GEMM_FUNCTION_3X3(edgec_dsp_gemm_nibbles_3x3, NIBBLE_START, NIBBLE_LOAD, NIBBLE_MASK, NIBBLE_FINISH);
GEMM_FUNCTION_ONE(edgec_dsp_gemm_nibbles_one, NIBBLE_ONE_ENTER, "12", NIBBLE_ONE_START, NIBBLE_LOAD, NIBBLE_MASK, NIBBLE_ONE_SPLIT,
                  GEMM_ONE_SHIFTING("", ""));

#else

static void edgec_dsp_gemm_nibbles(const gemm *g) { run_gemm(g, GEMM_POSITIONS, 0, 1); }

static void edgec_dsp_gemm_nibbles_one(const gemm *g) { run_gemm(g, 1, 0, 1); }

static void edgec_dsp_gemm_nibbles_3x3(const gemm *g) { run_gemm(g, GEMM_POSITIONS, 1, 1); }

#endif

#endif
