/* The inner engine of conv2d_s16 with Helium: two positions by blocks of four output channels, sums of 32 bits.
 *
 * Packed stream of a block: eight int32 (the four biases twice), then for each block of taps the weights of four channels, then four
 * multipliers, halved. With int8 inputs a block is 16 taps as in conv/conv_mve_pairs.h; with int16 inputs it is 8, whose weights are
 * widened as they are loaded. As there the eight accumulators are all the even registers, and one VQRDMLASH is the whole
 * requantization; the two narrowing steps to int16 put positions and channels side by side for one scattered store.
 * The program's verifier proves that 32 bits hold every sum (narrow is 0). Included by wide_mve.c alone.
 */
#ifndef EDGEC_PAIRS_WIDE_MVE_H
#define EDGEC_PAIRS_WIDE_MVE_H

#include "../fixed.h"
#include "../mve.h"
#include "wide_elements.h"

/* Byte offsets are known to the assembly below. */
typedef struct wide_pair {
  int32_t zero_point;    /* 0: of the output */
  int32_t shift;         /* 4 */
  int32_t blocks;        /* 8: of taps in a window */
  const int8_t *weights; /* 12 */
  int32_t channels;      /* 16: output channels, times two */
  const int8_t *first;   /* 20: window of the first position */
  const int8_t *second;  /* 24: and of the second */
  int8_t *output;        /* 28 */
  uint16_t place[8];     /* 32: output elements of channel 0, 1, 2, 3 of the first and second position, interleaved */
  int16_t low[8];        /* 48: clamp bounds in every lane */
  int16_t high[8];       /* 64 */
  int32_t mask[4];       /* 80: minus 2^shift in every lane */
} wide_pair;

#if defined(__ARM_FEATURE_MVE)

typedef char assert_pair_layout[sizeof(wide_pair) == 96 ? 1 : -1];

/* EDGEC_MVE_PAIRS_BLOCK for taps of int16. */
#define PAIR_BLOCK_16           \
  "vldrb.u8 q4, [r3], #16\n"    \
  "vldrb.s16 q0, [r1], #32\n"   \
  "vmladava.s16 r0, q4, q0\n"   \
  "vldrb.s16 q1, [r1, #-24]\n"  \
  "vmladava.s16 r2, q4, q1\n"   \
  "vldrb.s16 q2, [r1, #-16]\n"  \
  "vmladava.s16 r4, q4, q2\n"   \
  "vldrb.s16 q3, [r1, #-8]\n"   \
  "vmladava.s16 r6, q4, q3\n"   \
  "vldrb.u8 q5, [r5], #16\n"    \
  "vmladava.s16 r8, q5, q0\n"   \
  "vmladava.s16 r10, q5, q1\n"  \
  "vmladava.s16 r12, q5, q2\n"  \
  "vmladava.s16 lr, q5, q3\n"

/* r0: the pair. Accumulators r0, r2, r4, r6 and r8, r10, r12, lr; r1 weights, r3 and r5 windows, r7 output, r9 rounds left, r11 channels
 * left, times two. The walk is unrolled by four and entered in the middle. Frame: the pair 0, rounds 4, entry 8. */
#define PAIR_START(block)        \
  "push {r4-r11, lr}\n"          \
  "vpush {d8-d15}\n"             \
  "sub sp, sp, #16\n"            \
  "vldrh.u16 q7, [r0, #32]\n"    \
  "ldrd r2, r1, [r0, #8]\n"      \
  "ldr r11, [r0, #16]\n"         \
  "ldr r7, [r0, #28]\n"          \
  EDGEC_MVE_PAIRS_ENTRY(56)      \
  "str r0, [sp]\n"               \
  "strd r2, r4, [sp, #4]\n"      \
  "20:\n"                        \
  "ldrd r9, r10, [sp]\n"         \
  "ldrd r3, r5, [r9, #20]\n"     \
  "mov r9, r10\n" EDGEC_MVE_PAIRS_SUMS("r1!") \
  "ldr pc, [sp, #8]\n"           \
  ".p2align 2\n"                 \
  "30:\n"                        \
  ".rept 4\n" block ".endr\n"    \
  "subs r9, r9, #1\n"            \
  "bgt 30b\n"                    \
  "vmov q0[2], q0[0], r0, r4\n"  \
  "vldrw.u32 q2, [r1], #16\n"    \
  "vmov q0[3], q0[1], r2, r6\n"  \
  "ldr r2, [sp]\n"               \
  "vmov q1[2], q1[0], r8, r12\n" \
  "ldrd r0, r4, [r2]\n"          \
  "vmov q1[3], q1[1], r10, lr\n" \
  "cbz r4, 40f\n"                \
  "vldrw.u32 q3, [r2, #80]\n" EDGEC_MVE_PAIRS_SHIFT("r4") \
  "40:\n" EDGEC_MVE_PAIRS_REQUANTIZE("r0") \
  "vldrw.u32 q1, [r2, #48]\n"    \
  "vldrw.u32 q2, [r2, #64]\n"    \
  "vmax.s16 q0, q0, q1\n"        \
  "vmin.s16 q0, q0, q2\n"        \
  "vctp.16 r11\n"                \
  "vpst\n"

#define PAIR_STORE_8 "vstrbt.16 q0, [r7, q7]\nadd r7, r7, #4\n"
#define PAIR_STORE_16 "vstrht.16 q0, [r7, q7, uxtw #1]\nadd r7, r7, #8\n"

#define PAIR_LEAVE       \
  "subs r11, r11, #8\n"  \
  "bgt 20b\n"            \
  "add sp, sp, #16\n"    \
  "vpop {d8-d15}\n"      \
  "pop {r4-r11, pc}\n"

EDGEC_MVE_FUNCTION(edgec_mve_wide_8_to_16, (const wide_pair *pair), PAIR_START(EDGEC_MVE_PAIRS_BLOCK) PAIR_STORE_16 PAIR_LEAVE)
EDGEC_MVE_FUNCTION(edgec_mve_wide_16_to_8, (const wide_pair *pair), PAIR_START(PAIR_BLOCK_16) PAIR_STORE_8 PAIR_LEAVE)
EDGEC_MVE_FUNCTION(edgec_mve_wide_16_to_16, (const wide_pair *pair), PAIR_START(PAIR_BLOCK_16) PAIR_STORE_16 PAIR_LEAVE)

static void run_pair(const wide_pair *pair, int32_t in_bits, int32_t out_bits) {
  if (in_bits == 8) {
    edgec_mve_wide_8_to_16(pair);
  } else if (out_bits == 8) {
    edgec_mve_wide_16_to_8(pair);
  } else {
    edgec_mve_wide_16_to_16(pair);
  }
}

#else

/* The sum of one channel over one window. weights: of that channel in the first block. */
static int32_t pair_sum(const wide_pair *pair, const int8_t *x, const int8_t *weights, int32_t acc, int32_t in_bits) {
  const int32_t taps = 128 / in_bits;
  for (int32_t block = 0; block < pair->blocks; block++) {
    for (int32_t i = 0; i < taps; i++) {
      acc = edgec_mac(acc, element_at(x + i * in_bits / 8, in_bits), weights[i]);
    }
    x += EDGEC_MVE_BLOCK;
    weights += 4 * taps;
  }
  return acc;
}

static void run_pair(const wide_pair *pair, int32_t in_bits, int32_t out_bits) {
  const int32_t taps = 128 / in_bits;
  const int8_t *weights = pair->weights;
  int8_t *y = pair->output;
  for (int32_t left = pair->channels; left > 0; left -= 8) {
    const int8_t *const rest = weights + 32 + 4 * taps * pair->blocks;
    for (int32_t i = 0; i < 8 && i < left; i++) {
      int32_t bias, multiplier;
      memcpy(&bias, weights + i / 2 * 4, sizeof bias);
      memcpy(&multiplier, rest + i / 2 * 4, sizeof multiplier);
      int32_t acc = pair_sum(pair, i % 2 == 0 ? pair->first : pair->second, weights + 32 + i / 2 * taps, bias, in_bits);
      acc = edgec_shift_left(acc, pair->shift);
      const int64_t product = 2 * (int64_t)acc * multiplier + INT64_C(0x80000000);
      const int32_t rounded = (int32_t)(product >> 32) + pair->zero_point;
      put(y + pair->place[i] * out_bits / 8, out_bits, edgec_clamp(rounded, pair->low[0], pair->high[0]));
    }
    y += out_bits / 2;
    weights = rest + 16;
  }
}

#endif

#endif
