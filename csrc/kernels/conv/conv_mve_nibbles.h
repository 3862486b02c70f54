/* The engine of conv_mve_pairs.h for weights of 4 bits: two instructions more in 14 for 16 taps of four channels at two positions.
 *
 * Packed stream of a block: eight int32 (16 times the four biases, twice), then for each 16 bytes of the window 2 x 16 bytes, of which
 * the high halves are weights of channel 0 (2) and the low halves those of channel 1 (3), then four int32 multipliers, halved. Masked
 * with 0xf0, or shifted left by four, a byte is 16 times a weight; so is the accumulator, which a program of 4-bit weights
 * keeps within 28 bits.
 */
#ifndef EDGEC_CONV_MVE_NIBBLES_H
#define EDGEC_CONV_MVE_NIBBLES_H

#include "../nibbles.h"
#include "conv_mve_pairs.h"

#if defined(__ARM_FEATURE_MVE)

#define NIBBLES_ENTER PAIRS_ENTER "vmov.i8 q6, #0xf0\n"

/* 16 instructions of four bytes; q6 is the mask. */
#define NIBBLES_BLOCK           \
  "vldrb.u8 q4, [r3], #16\n"    \
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
  "vldrb.u8 q5, [r5], #16\n"    \
  "vmladava.s8 r8, q5, q0\n"    \
  "vmladava.s8 r10, q5, q1\n"   \
  "vmladava.s8 r12, q5, q2\n"   \
  "vmladava.s8 lr, q5, q3\n"

/* The part of a block that meets the first window. */
#define NIBBLES_QUARTERS(window)           \
  "vldrw.u32 q1, [r1], #32\n"              \
  "vand q0, q1, q6\n"                      \
  "vmladava.s8 r0, " window ", q0\n"       \
  "vshl.i8 q1, q1, #4\n"                   \
  "vmladava.s8 r2, " window ", q1\n"       \
  "vldrw.u32 q3, [r1, #-16]\n"             \
  "vand q2, q3, q6\n"                      \
  "vmladava.s8 r4, " window ", q2\n"       \
  "vshl.i8 q3, q3, #4\n"                   \
  "vmladava.s8 r6, " window ", q3\n"

#define NIBBLES_GATHER(first, second) PAIRS_GATHER(first, second) "vshr.s32 q0, q0, #4\nvshr.s32 q1, q1, #4\n"
#define NIBBLES_GATHER_BOTH NIBBLES_GATHER(PAIRS_FIRST_BACK, PAIRS_SECOND_BACK)

/* Clamp bounds are int8's own and channels come in fours. */
PAIRS_FUNCTION(nibbles_plain, NIBBLES_ENTER PAIRS_ENTRY(64) PAIRS_START PAIRS_WALK(NIBBLES_BLOCK) NIBBLES_GATHER_BOTH PAIRS_REQUANTIZE PAIRS_SATURATE PAIRS_STORE PAIRS_LEAVE)

/* Any number of channels, any clamp, any layer shift. */
PAIRS_FUNCTION(nibbles_general, NIBBLES_ENTER PAIRS_ENTER_GENERAL PAIRS_ENTRY(64) PAIRS_START PAIRS_WALK(NIBBLES_BLOCK) NIBBLES_GATHER_BOTH PAIRS_SHIFT PAIRS_REQUANTIZE
                                    PAIRS_CLAMP PAIRS_STORE_TAIL PAIRS_LEAVE)

/* Windows of one block: both stay in q4 and q5 for all channels. */
PAIRS_FUNCTION(nibbles_single, NIBBLES_ENTER PAIRS_START_SINGLE PAIRS_CHANNELS NIBBLES_QUARTERS("q4") PAIRS_SECOND("q5") NIBBLES_GATHER("", "")
                                   PAIRS_REQUANTIZE PAIRS_SATURATE PAIRS_STORE PAIRS_LEAVE)

/* Three rows of three blocks, the second window one block after the first: 16 channels and a stride of one. */
PAIRS_FUNCTION(nibbles_rows_16, NIBBLES_ENTER PAIRS_START_16 PAIRS_CHANNELS PAIRS_WALK_16(NIBBLES_QUARTERS) NIBBLES_GATHER(PAIRS_FIRST_BACK, "")
                                    PAIRS_REQUANTIZE PAIRS_SATURATE PAIRS_STORE PAIRS_NEXT("10b", ""))

/* Windows of three rows, each a multiple of three blocks, straight from the tensor. */
PAIRS_FUNCTION(nibbles_rows_plain, NIBBLES_ENTER PAIRS_START PAIRS_WALK_ROWS(NIBBLES_BLOCK) NIBBLES_GATHER_BOTH PAIRS_REQUANTIZE PAIRS_SATURATE PAIRS_STORE PAIRS_LEAVE)

PAIRS_FUNCTION(nibbles_rows_general, NIBBLES_ENTER PAIRS_ENTER_GENERAL PAIRS_START PAIRS_WALK_ROWS(NIBBLES_BLOCK) NIBBLES_GATHER_BOTH PAIRS_SHIFT PAIRS_REQUANTIZE
                                         PAIRS_CLAMP PAIRS_STORE_TAIL PAIRS_LEAVE)

static void edgec_mve_run_nibbles(const edgec_mve_pairs *job) {
  const int general = job->low[0] != INT8_MIN || job->high[0] != INT8_MAX || job->shift != 0 || job->channels % 8 != 0;
  if (job->rows == 3) {
    if (general) {
      edgec_mve_nibbles_rows_general(job);
    } else if (job->blocks == 3 && job->second - job->first == EDGEC_MVE_BLOCK) {
      edgec_mve_nibbles_rows_16(job);
    } else {
      edgec_mve_nibbles_rows_plain(job);
    }
  } else if (general) {
    edgec_mve_nibbles_general(job);
  } else if (job->blocks == 1) {
    edgec_mve_nibbles_single(job);
  } else {
    edgec_mve_nibbles_plain(job);
  }
}

#else

/* 16 times the sum of channel `channel` of a block over one window. weights: of the block. */
static int32_t nibbles_sum(const edgec_mve_pairs *job, const int8_t *x, const int8_t *weights, int32_t channel, int32_t acc) {
  const int8_t *w = weights + channel / 2 * EDGEC_MVE_BLOCK;
  for (int32_t row = 0; row < job->rows; row++) {
    for (int32_t block = 0; block < job->blocks; block++) {
      for (int32_t i = 0; i < EDGEC_MVE_BLOCK; i++) {
        acc = edgec_mac(acc, x[i], 16 * (channel % 2 == 0 ? edgec_high_nibble(w[i]) : edgec_low_nibble(w[i])));
      }
      x += EDGEC_MVE_BLOCK;
      w += 2 * EDGEC_MVE_BLOCK;
    }
    x += job->hop;
  }
  return acc;
}

static void edgec_mve_run_nibbles(const edgec_mve_pairs *job) {
  const int32_t stream = 32 + 32 * job->rows * job->blocks + 16;
  const int32_t blocks = (job->channels + 7) / 8;
  for (int32_t pair = 0; pair < job->pairs; pair++) {
    int8_t *y = job->output + pair * (job->output_step + 4 * blocks);
    const int8_t *weights = job->weights;
    for (int32_t left = job->channels; left > 0; left -= 8) {
      int8_t result[8]; /* stored together, as the assembly does: the output may overlap the input */
      for (int32_t i = 0; i < 8; i++) {
        const int8_t *const x = (i % 2 == 0 ? job->first : job->second) + pair * job->input_step;
        const int32_t bias = edgec_mve_word(weights + i / 2 * 4);
        const int32_t multiplier = (int32_t)(2u * (uint32_t)edgec_mve_word(weights + stream - 16 + i / 2 * 4));
        result[i] = edgec_requantize(nibbles_sum(job, x, weights + 32, i / 2, bias) >> 4, multiplier, job->shift, job->zero_point,
                                     job->low[0], job->high[0]);
      }
      for (int32_t i = 0; i < 8 && i < left; i++) {
        y[job->place[i]] = result[i];
      }
      y += 4;
      weights += stream;
    }
  }
}

#endif

#endif
