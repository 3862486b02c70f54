/* The engine of conv_mve_pairs.h for weights of 4 bits: two instructions more in 14 for 16 taps of four channels at two positions.
 *
 * Packed stream of a block: for each 16 bytes of the window 2 x 16 bytes, of which the high halves are weights of channel 0 (2) and the
 * low halves those of channel 1 (3), then four int16 biases, then four int32 multipliers, halved. Masked with 0xf0, or shifted left by
 * four, a byte is 16 times a weight; so is the sum, which a program of 4-bit weights keeps within 28 bits. Sums start from zeros on the
 * stack; biases are added behind.
 */
#ifndef EDGEC_CONV_MVE_NIBBLES_H
#define EDGEC_CONV_MVE_NIBBLES_H

#include "conv_mve_pairs.h"

#if defined(__ARM_FEATURE_MVE)

#define NIBBLES_ENTER            \
  PAIRS_ENTER(32)                \
  "vmov.i32 q0, #0\n"            \
  "vstrw.32 q0, [sp]\n"          \
  "vstrw.32 q0, [sp, #16]\n"     \
  "vmov.i8 q6, #0xf0\n"

/* 16 instructions of four bytes; q6 is the mask. */
#define NIBBLES_BLOCK_AT(at)    \
  "vldrb.u8 q4, [r3" at "\n"    \
  "vldrw.u32 q1, [r1], #32\n"   \
  "vand q0, q1, q6\n"           \
  "vmladava.s8 r0, q4, q0\n"    \
  "vshl.i8 q1, q1, #4\n"        \
  "vmladava.s8 r2, q4, q1\n"    \
  "vldrw.u32 q3, [r1, #-16]\n"  \
  "vand q2, q3, q6\n"           \
  "vmladava.s8 r4, q4, q2\n"    \
  "vshl.i8 q3, q3, #4\n"        \
  "vmladava.s8 r6, q4, q3\n"    \
  EDGEC_MVE_PAIRS_SECOND(at)

/* The part of a block that meets the first window. */
#define NIBBLES_QUARTERS(product, window)  \
  "vldrw.u32 q1, [r1], #32\n"              \
  "vand q0, q1, q6\n"                      \
  product " r0, " window ", q0\n"          \
  "vshl.i8 q1, q1, #4\n"                   \
  product " r2, " window ", q1\n"          \
  "vldrw.u32 q3, [r1, #-16]\n"             \
  "vand q2, q3, q6\n"                      \
  product " r4, " window ", q2\n"          \
  "vshl.i8 q3, q3, #4\n"                   \
  product " r6, " window ", q3\n"

#define NIBBLES_GATHER(zero, first, second) \
  "vldrh.s32 q3, [r1], #8\n"             \
  PAIRS_GATHER(zero, first, second)      \
  "vshr.s32 q0, q0, #4\n"                \
  "vshr.s32 q1, q1, #4\n"                \
  "vadd.i32 q0, q0, q3\n"                \
  "vadd.i32 q1, q1, q3\n"

#define NIBBLES_ENTER_GENERAL NIBBLES_ENTER PAIRS_ENTER_GENERAL
#define NIBBLES_FINISH(requantize) requantize

PAIRS_FUNCTIONS(nibbles, NIBBLES_ENTER, NIBBLES_ENTER, NIBBLES_ENTER_GENERAL, EDGEC_MVE_PAIRS_SUMS("sp"), "", "vmladav.s8", NIBBLES_BLOCK_AT, 64, NIBBLES_QUARTERS,
                NIBBLES_GATHER, NIBBLES_FINISH)

static void edgec_mve_run_nibbles(const edgec_mve_pairs *job) {
  const int general = is_clamped(job) || job->shift != 0 || job->channels % 8 != 0;
  if (job->rows == 3) {
    run_three_rows(job, general, edgec_mve_nibbles_rows_general, edgec_mve_nibbles_rows_16, edgec_mve_nibbles_rows_plain);
  } else {
    run_columns(job, general, edgec_mve_nibbles_general, edgec_mve_nibbles_single, edgec_mve_nibbles_short, edgec_mve_nibbles_plain);
  }
}

#else

static void edgec_mve_run_nibbles(const edgec_mve_pairs *job) { run_pairs_portable(job, 1); }

#endif

#endif
