/* What the inner products of two output channels by four positions share, of conv/gemm_dsp.h and wide/gemm_wide_dsp.h: what a block is, and of the
 * assembly its stack frame and the way in and around its rounds of four groups.
 *
 * Accumulators of channel A are in r6-r9, of channel B in r10-r12 and lr; weights r0, columns r1. Frame: multiplier 0, y 8, pitch 12,
 * zero_point 16, shift 20, columns 24, columns_end 28, entry 32, y_end 36, weights 40, and one word more at 44.
 */
#ifndef EDGEC_GEMM_FRAME_DSP_H
#define EDGEC_GEMM_FRAME_DSP_H

#include "dsp.h"

enum {
  GEMM_POSITIONS = 4,                   /* output positions of a block */
  GEMM_HEAD_WORDS = 4,                  /* biases and multipliers of two channels */
  GEMM_GROUP_WORDS = 2 * GEMM_POSITIONS /* of four taps: two of one position, each in its half of the group */
};

#if EDGEC_DSP

/* frame: bytes of it. */
#define GEMM_ENTER(frame)        \
  "push {r4-r11, lr}\n"          \
  "sub sp, sp, #" frame "\n"     \
  "ldmia.w r0, {r1-r12}\n"       \
  "stmia.w sp, {r1-r12}\n"       \
  "mov r0, r11\n"

/* The first round starts at the group that makes the last one end a round: r7 becomes minus the number of groups by `negate`, step_bytes is the size
 * of a group's instructions, the first of which has label 2. */
#define GEMM_ENTRY(negate, step_bytes) \
  "subs r7, r8, r7\n"            \
  "lsrs r7, r7, #5\n" negate     \
  "and r7, r7, #3\n"             \
  "movs r8, #" #step_bytes "\n"  \
  "adr r9, 2f\n"                 \
  "mla r7, r7, r8, r9\n"         \
  "adds r7, r7, #1\n"            \
  "str r7, [sp, #32]\n"

/* Four groups a round. */
#define GEMM_ROUNDS(step)        \
  "ldr pc, [sp, #32]\n"          \
  ".p2align 2\n"                 \
  "2:\n" step step step step     \
  "ldr r2, [sp, #28]\n"          \
  "cmp r1, r2\n"                 \
  "bne.w 2b\n"

/* Multipliers r2 and r3, zero_point r1. */
#define GEMM_SCALE               \
  "smmlar r6, r6, r2, r1\n"      \
  "smmlar r7, r7, r2, r1\n"      \
  "smmlar r8, r8, r2, r1\n"      \
  "smmlar r9, r9, r2, r1\n"      \
  "smmlar r10, r10, r3, r1\n"    \
  "smmlar r11, r11, r3, r1\n"    \
  "smmlar r12, r12, r3, r1\n"    \
  "smmlar lr, lr, r3, r1\n"

#endif

#endif
