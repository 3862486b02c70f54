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
    const int32_t both = edgec_nibble_correction(odd[i], even, 2 * groups);
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
    both[i] = edgec_nibble_correction(odd, even[i], 6 * groups);
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

/* GEMM_START with corrections of their own for channel B. */
#define NIBBLE_START             \
  "ldmia r0!, {r2-r5}\n"         \
  "strd r4, r5, [sp]\n"          \
  "ldr r1, [sp, #24]\n"          \
  "ldmia.w r1!, {r6-r12, lr}\n"  \
  "add r6, r6, r2\n"             \
  "add r7, r7, r2\n"             \
  "add r8, r8, r2\n"             \
  "add r9, r9, r2\n"             \
  "add r10, r10, r3\n"           \
  "add r11, r11, r3\n"           \
  "add r12, r12, r3\n"           \
  "add lr, lr, r3\n"

/* Four taps of eight outputs: 24 instructions, 88 bytes. */
#define NIBBLE_STEP              \
  "ldr r4, [r0], #4\n"           \
  "ldmia r1!, {r2, r3}\n"        \
  "and r5, r4, #0x0f0f0f0f\n"    \
  GEMM_SMLAD_01                  \
  "ldmia r1!, {r2, r3}\n"        \
  GEMM_SMLAD_23                  \
  "sxtb16 r4, r4, ror #8\n"      \
  "sxtb16 r5, r5, ror #8\n"      \
  "ldmia r1!, {r2, r3}\n"        \
  GEMM_SMLAD_01                  \
  "ldmia r1!, {r2, r3}\n"        \
  GEMM_SMLAD_23

#define NIBBLE_PATCH_STEP(e0, e2, o0, o2) \
  "ldr r4, [r0], #4\n"                 \
  "ldrd r2, r3, [r1, #" #e0 "]\n"      \
  "and r5, r4, #0x0f0f0f0f\n"          \
  GEMM_SMLAD_01                        \
  "ldrd r2, r3, [r1, #" #e2 "]\n"      \
  GEMM_SMLAD_23                        \
  "sxtb16 r4, r4, ror #8\n"            \
  "sxtb16 r5, r5, ror #8\n"            \
  "ldrd r2, r3, [r1, #" #o0 "]\n"      \
  GEMM_SMLAD_01                        \
  "ldrd r2, r3, [r1, #" #o2 "]\n"      \
  GEMM_SMLAD_23

/* 16 times the accumulators of channel A from both, then GEMM_FINISH. */
#define NIBBLE_FINISH            \
  "sub r6, r6, r10\n"            \
  "sub r7, r7, r11\n"            \
  "sub r8, r8, r12\n"            \
  "sub r9, r9, lr\n"             \
  "asr r6, r6, #4\n"             \
  "asr r7, r7, #4\n"             \
  "asr r8, r8, #4\n"             \
  "asr r9, r9, #4\n" GEMM_FINISH

__asm__(EDGEC_DSP_BEGIN(edgec_dsp_gemm_nibbles) GEMM_ENTER
        "subs r7, r8, r7\n" /* 32 + 32 * groups */
        "lsrs r7, r7, #5\n"
        "rsb r7, r7, #1\n"
        "and r7, r7, #3\n"
        "movs r8, #88\n"
        "adr r9, 2f\n"
        "mla r7, r7, r8, r9\n"
        "adds r7, r7, #1\n"
        "str r7, [sp, #32]\n"
        "1:\n" NIBBLE_START
        "ldr pc, [sp, #32]\n"
        ".p2align 2\n"
        "2:\n" NIBBLE_STEP NIBBLE_STEP NIBBLE_STEP NIBBLE_STEP
        "ldr r2, [sp, #28]\n"
        "cmp r1, r2\n"
        "bne.w 2b\n" NIBBLE_FINISH EDGEC_DSP_END(edgec_dsp_gemm_nibbles));

__asm__(EDGEC_DSP_BEGIN(edgec_dsp_gemm_nibbles_3x3) GEMM_ENTER
        "1:\n" NIBBLE_START
        "2:\n" NIBBLE_PATCH_STEP(0, 8, 24, 32) NIBBLE_PATCH_STEP(4, 12, 28, 36) NIBBLE_PATCH_STEP(8, 16, 32, 40)
        NIBBLE_PATCH_STEP(48, 56, 72, 80) NIBBLE_PATCH_STEP(52, 60, 76, 84) NIBBLE_PATCH_STEP(56, 64, 80, 88)
        NIBBLE_PATCH_STEP(96, 104, 120, 128) NIBBLE_PATCH_STEP(100, 108, 124, 132) NIBBLE_PATCH_STEP(104, 112, 128, 136)
        "adds r1, #144\n"
        "ldr r2, [sp, #28]\n"
        "cmp r1, r2\n"
        "bne.w 2b\n" NIBBLE_FINISH EDGEC_DSP_END(edgec_dsp_gemm_nibbles_3x3));

/* Registers as in edgec_dsp_gemm_one. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_gemm_nibbles_one)
        "push {r4-r11, lr}\n"
        "ldr r9, [r0, #8]\n"
        "ldrd lr, r4, [r0, #16]\n"
        "ldr r11, [r0, #36]\n"
        "ldr r12, [r0, #28]\n"
        "ldr r3, [r0, #24]\n"
        "ldr r0, [r0, #40]\n"
        "push {r3, r4}\n"
        "1:\n"
        "ldr r1, [sp]\n"
        "ldmia.w r0!, {r6, r7, r8, r10}\n"
        "ldr r3, [r1, #16]\n"
        "ldr r2, [r1], #32\n"
        "add r6, r6, r2\n"
        "add r7, r7, r3\n"
        "2:\n"
        "ldr r4, [r0], #4\n"
        "ldr r3, [r1, #16]\n"
        "ldr r2, [r1], #32\n"
        "and r5, r4, #0x0f0f0f0f\n"
        "smlad r6, r4, r2, r6\n"
        "smlad r7, r5, r2, r7\n"
        "sxtb16 r4, r4, ror #8\n"
        "sxtb16 r5, r5, ror #8\n"
        "smlad r6, r4, r3, r6\n"
        "smlad r7, r5, r3, r7\n"
        "cmp r1, r12\n"
        "bne 2b\n"
        "sub r6, r6, r7\n"
        "asr r6, r6, #4\n"
        "ldr r4, [sp, #4]\n"
        "cbnz r4, 4f\n"
        "3:\n"
        "smmlar r6, r6, r8, lr\n"
        "smmlar r7, r7, r10, lr\n"
        "ssat r6, #8, r6\n"
        "ssat r7, #8, r7\n"
        "strb r6, [r9], #1\n"
        "cmp r9, r11\n"
        "itt ne\n"
        "strbne r7, [r9], #1\n"
        "cmpne r9, r11\n"
        "bne 1b\n"
        "add sp, sp, #8\n"
        "pop {r4-r11, pc}\n"
        "4:\n"
        "qadd r6, r6, r6\n"
        "qadd r7, r7, r7\n"
        "subs r4, r4, #1\n"
        "bne 4b\n"
        "b 3b\n" EDGEC_DSP_END(edgec_dsp_gemm_nibbles_one));

#else

/* Four taps of two channels at position slots [0, count) of `even` and `odd`; acc: channel a, then b. */
static void step_nibbles(int32_t *acc, uint32_t word, const uint32_t *even, const uint32_t *odd, int32_t count) {
  const uint32_t masked = word & 0x0f0f0f0fu;
  for (int32_t i = 0; i < count; i++) {
    acc[i] = edgec_smlad(edgec_sxtb16_high(word), odd[i], edgec_smlad(word, even[i], acc[i]));
    acc[count + i] = edgec_smlad(edgec_sxtb16_high(masked), odd[i], edgec_smlad(masked, even[i], acc[count + i]));
  }
}

static void start_nibbles(const gemm *g, int32_t *acc, const uint32_t *head, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    acc[i] = (int32_t)(head[0] + g->columns[i]);
    acc[count + i] = (int32_t)(head[1] + g->columns[GEMM_POSITIONS + i]);
  }
}

static void finish_nibbles(int32_t *acc, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    acc[i] = (int32_t)((uint32_t)acc[i] - (uint32_t)acc[count + i]) >> 4;
  }
}

static void edgec_dsp_gemm_nibbles(const gemm *g) {
  const uint32_t *w = g->weights;
  for (int8_t *y = g->y; y != g->y_end; y += 2) {
    const uint32_t *const head = w;
    int32_t acc[2 * GEMM_POSITIONS];
    start_nibbles(g, acc, head, GEMM_POSITIONS);
    w += GEMM_HEAD_WORDS;
    for (const uint32_t *x = g->columns + NIBBLE_HEADS; x != g->columns_end; x += GEMM_GROUP_WORDS) {
      step_nibbles(acc, *w++, x, x + GEMM_POSITIONS, GEMM_POSITIONS);
    }
    finish_nibbles(acc, GEMM_POSITIONS);
    store_block(g, acc, head, y);
  }
}

static void edgec_dsp_gemm_nibbles_one(const gemm *g) {
  const uint32_t *w = g->weights;
  for (int8_t *y = g->y; y != g->y_end;) {
    const uint32_t *const head = w;
    int32_t acc[2];
    start_nibbles(g, acc, head, 1);
    w += GEMM_HEAD_WORDS;
    for (const uint32_t *x = g->columns + NIBBLE_HEADS; x != g->columns_end; x += GEMM_GROUP_WORDS) {
      step_nibbles(acc, *w++, x, x + GEMM_POSITIONS, 1);
    }
    finish_nibbles(acc, 1);
    for (int32_t i = 0; i < 2 && y != g->y_end; i++) {
      *y++ = requantized(g, acc[i], head[2 + i]);
    }
  }
}

static void edgec_dsp_gemm_nibbles_3x3(const gemm *g) {
  const uint32_t *w = g->weights;
  for (int8_t *y = g->y; y != g->y_end; y += 2) {
    const uint32_t *const head = w;
    int32_t acc[2 * GEMM_POSITIONS];
    start_nibbles(g, acc, head, GEMM_POSITIONS);
    w += GEMM_HEAD_WORDS;
    for (const uint32_t *x = g->columns + NIBBLE_HEADS; x != g->columns_end; x += PATCH_GROUP_WORDS) {
      for (int32_t tap = 0; tap < 9; tap++) {
        const uint32_t *const even = x + (tap / 3) * 2 * PATCH_PIXELS + tap % 3;
        step_nibbles(acc, *w++, even, even + PATCH_PIXELS, GEMM_POSITIONS);
      }
    }
    finish_nibbles(acc, GEMM_POSITIONS);
    store_block(g, acc, head, y);
  }
}

#endif

#endif
