/* The DSP extension of Cortex-M4, M7 and M33: the instructions the dsp kernels use, and the same in plain C for any host.
 *
 * Packed operands ("c4" packings): four consecutive taps k0..k3 of a dot product meet in two SMLADs and only one SXTB16.
 *   weights   a word of bytes [w0 ^ 0x80, w1, w2 ^ 0x80, w3]: as halfwords 256 * w1 + (w0 + 128), 256 * w3 + (w2 + 128)
 *   even      halfwords x0, x2
 *   odd       halfwords x1 - 128 - 256 * x0, x3 - 128 - 256 * x2, which always fit int16
 *   SMLAD(weights, even) + SMLAD(SXTB16(weights, 8), odd) = sum of w * x, plus 128 * (x0 + x2), minus 128 * (w1 + w3).
 * The first excess is taken back by a correction that every output of a position shares (EDGEC_EVEN_CORRECTION, summed while
 * the inputs are unpacked), the second is part of the packed bias. All sums wrap modulo 2^32, as in fixed.h.
 *
 * Weights of 4 bits ("n4" packings), two channels together: one instruction more for four taps of both.
 * A word holds taps k0..k3 of channels a and b. Byte k has b_k + 8 in its low half; in its high half a_k + 8 where k is even, and
 * a_k as two's complement where it is odd. Read as above it is the weights 16 * a + (b + 8), and with the high halves
 * masked off it is the weights b + 8. So with the columns of 8-bit weights
 *   SMLADs of the word         sum up 16 * a.x + (b + 8).x, plus 128 * (x0 + x2), minus 128 * (16 * a + b + 8) of the odd taps
 *   SMLADs of the masked word  sum up (b + 8).x, minus 128 * (b + 8) of the odd taps
 * and 16 * a.x is their difference. Excesses of inputs are corrections in front of the columns: for a EDGEC_EVEN_CORRECTION sums and for
 * both edgec_nibble_correction. Those of weights are in the heads, the bias plus 128 times the sum of odd taps, which are added once 16 * a.x
 * is divided by 16: their low halves, one word for both channels, lie with the multipliers behind the words. Where all heads of a layer
 * are int16, that is all; else the high halves are a constant of their own, again a word for two channels, with which low halves are unsigned.
 *
 * Words of int8 data are read at any address, as compilers do on these cores (CCR.UNALIGN_TRP must be 0, its reset value).
 */
#ifndef EDGEC_DSP_H
#define EDGEC_DSP_H

#include <stddef.h>

#include "fixed.h"

/* As C99 declares them: there need not be a string.h. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

#if defined(__ARM_FEATURE_DSP) && defined(__ARM_ARCH_PROFILE) && defined(__GNUC__) && !defined(EDGEC_DSP_PORTABLE)
#if __ARM_ARCH_PROFILE == 'M'
#define EDGEC_DSP 1
#endif
#endif
#ifndef EDGEC_DSP
#define EDGEC_DSP 0
#endif

enum { EDGEC_DSP_MAX_SHIFT = 20 };

#define EDGEC_EVEN_CORRECTION 0xff80ff80u /* -128 in both halfwords; also the mask that makes `odd` of swapped bytes */

static inline uint32_t edgec_load_word(const void *at) {
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

#if EDGEC_DSP

#if defined(__clang__) /* C99's limit is of strings in objects; text for the assembler is none */
#pragma clang diagnostic ignored "-Woverlength-strings"
#endif

/* A function in assembly at file scope: a section of its own, so that the linker drops it where nothing calls it. */
#define EDGEC_DSP_BEGIN(name)                                                                           \
  ".pushsection .text." #name ",\"ax\",%progbits\n.syntax unified\n.thumb\n.p2align 2\n.global " #name \
  "\n.hidden " #name "\n.thumb_func\n.type " #name ", %function\n" #name ":\n"
#define EDGEC_DSP_END(name) ".size " #name ", .-" #name "\n.popsection\n"

/* Eight accumulators take one step of a layer shift. */
#define EDGEC_DSP_DOUBLE_EIGHT   \
  "qadd r6, r6, r6\n"            \
  "qadd r7, r7, r7\n"            \
  "qadd r8, r8, r8\n"            \
  "qadd r9, r9, r9\n"            \
  "qadd r10, r10, r10\n"         \
  "qadd r11, r11, r11\n"         \
  "qadd r12, r12, r12\n"         \
  "qadd lr, lr, lr\n"

static inline uint32_t edgec_sxtb16(uint32_t word) {
  uint32_t result;
  __asm__("sxtb16 %0, %1" : "=r"(result) : "r"(word));
  return result;
}

static inline uint32_t edgec_sxtb16_high(uint32_t word) {
  uint32_t result;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
  return result;
}

/* Sign-extended bytes 0 and 2 of word added to the halfwords of acc, each modulo 2^16. */
static inline uint32_t edgec_sxtab16(uint32_t acc, uint32_t word) {
  uint32_t result;
  __asm__("sxtab16 %0, %1, %2" : "=r"(result) : "r"(acc), "r"(word));
  return result;
}

static inline uint32_t edgec_sxtab16_high(uint32_t acc, uint32_t word) {
  uint32_t result;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(acc), "r"(word));
  return result;
}

static inline uint32_t edgec_swap_bytes(uint32_t word) {
  uint32_t result;
  __asm__("rev16 %0, %1" : "=r"(result) : "r"(word));
  return result;
}

static inline int32_t edgec_smlad(uint32_t a, uint32_t b, int32_t acc) {
  int32_t result;
  __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(acc));
  return result;
}

static inline int64_t edgec_smlald(uint32_t a, uint32_t b, int64_t acc) {
  __asm__("smlald %Q0, %R0, %1, %2" : "+r"(acc) : "r"(a), "r"(b));
  return acc;
}

/* (acc * multiplier + zero_point * 2^32 + 2^31) >> 32 */
static inline int32_t edgec_smmlar(int32_t acc, int32_t multiplier, int32_t zero_point) {
  int32_t result;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(acc), "r"(multiplier), "r"(zero_point));
  return result;
}

/* acc * 2^shift, saturated to int32. Reference kernels saturate to 32 - shift bits and shift then, which is at most 2^shift - 1
 * less; multipliers are even, so up to EDGEC_DSP_MAX_SHIFT that cannot change a result which the clamp does not decide. */
static inline int32_t edgec_scale_up(int32_t acc, int32_t shift) {
  for (int32_t i = 0; i < shift; i++) {
    __asm__("qadd %0, %1, %1" : "=r"(acc) : "r"(acc));
  }
  return acc;
}

/* Halfwords (low of a, low of b), and (high of a, high of b). */
static inline uint32_t edgec_pack_low(uint32_t a, uint32_t b) {
  uint32_t result;
  __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(a), "r"(b));
  return result;
}

static inline uint32_t edgec_pack_high(uint32_t a, uint32_t b) {
  uint32_t result;
  __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(result) : "r"(b), "r"(a));
  return result;
}

/* Both halfwords saturated to int8. */
static inline uint32_t edgec_saturate_halves(uint32_t word) {
  uint32_t result;
  __asm__("ssat16 %0, #8, %1" : "=r"(result) : "r"(word));
  return result;
}

/* acc + one halfword of a times one of b: both low, both high, the high one of a and the low one of b. */
static inline int32_t edgec_smlabb(uint32_t a, uint32_t b, int32_t acc) {
  int32_t result;
  __asm__("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(acc));
  return result;
}

static inline int32_t edgec_smlatt(uint32_t a, uint32_t b, int32_t acc) {
  int32_t result;
  __asm__("smlatt %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(acc));
  return result;
}

static inline int32_t edgec_smlatb(uint32_t a, uint32_t b, int32_t acc) {
  int32_t result;
  __asm__("smlatb %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(acc));
  return result;
}

static inline int32_t edgec_ssat8(int32_t value) {
  int32_t result;
  __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
  return result;
}

#else

static inline int32_t edgec_half(uint32_t word, int high) { return (int16_t)(uint16_t)(high ? word >> 16 : word); }

static inline uint32_t edgec_pair(int32_t low, int32_t high) { return ((uint32_t)high << 16) | ((uint32_t)low & 0xffffu); }

static inline uint32_t edgec_sxtb16(uint32_t word) {
  return edgec_pair((int8_t)(uint8_t)word, (int8_t)(uint8_t)(word >> 16));
}

static inline uint32_t edgec_sxtb16_high(uint32_t word) { return edgec_sxtb16(word >> 8); }

static inline uint32_t edgec_sxtab16(uint32_t acc, uint32_t word) {
  const uint32_t x = edgec_sxtb16(word);
  return edgec_pair(edgec_half(acc, 0) + edgec_half(x, 0), edgec_half(acc, 1) + edgec_half(x, 1));
}

static inline uint32_t edgec_sxtab16_high(uint32_t acc, uint32_t word) { return edgec_sxtab16(acc, word >> 8); }

static inline uint32_t edgec_swap_bytes(uint32_t word) { return ((word & 0x00ff00ffu) << 8) | ((word >> 8) & 0x00ff00ffu); }

static inline int32_t edgec_smlad(uint32_t a, uint32_t b, int32_t acc) {
  const uint32_t low = (uint32_t)(edgec_half(a, 0) * edgec_half(b, 0));
  const uint32_t high = (uint32_t)(edgec_half(a, 1) * edgec_half(b, 1));
  return (int32_t)((uint32_t)acc + low + high);
}

static inline int64_t edgec_smlald(uint32_t a, uint32_t b, int64_t acc) {
  const uint64_t low = (uint64_t)(int64_t)(edgec_half(a, 0) * edgec_half(b, 0));
  const uint64_t high = (uint64_t)(int64_t)(edgec_half(a, 1) * edgec_half(b, 1));
  return (int64_t)((uint64_t)acc + low + high);
}

static inline int32_t edgec_smmlar(int32_t acc, int32_t multiplier, int32_t zero_point) {
  const int64_t product = (int64_t)acc * multiplier + INT64_C(0x80000000);
  return (int32_t)((uint32_t)(product >> 32) + (uint32_t)zero_point);
}

static inline uint32_t edgec_pack_low(uint32_t a, uint32_t b) { return (b << 16) | (a & 0xffffu); }

static inline uint32_t edgec_pack_high(uint32_t a, uint32_t b) { return (b & 0xffff0000u) | (a >> 16); }

static inline uint32_t edgec_saturate_halves(uint32_t word) {
  return edgec_pair(edgec_clamp(edgec_half(word, 0), INT8_MIN, INT8_MAX), edgec_clamp(edgec_half(word, 1), INT8_MIN, INT8_MAX));
}

static inline int32_t edgec_smlabb(uint32_t a, uint32_t b, int32_t acc) {
  return (int32_t)((uint32_t)acc + (uint32_t)(edgec_half(a, 0) * edgec_half(b, 0)));
}

static inline int32_t edgec_smlatt(uint32_t a, uint32_t b, int32_t acc) {
  return (int32_t)((uint32_t)acc + (uint32_t)(edgec_half(a, 1) * edgec_half(b, 1)));
}

static inline int32_t edgec_smlatb(uint32_t a, uint32_t b, int32_t acc) {
  return (int32_t)((uint32_t)acc + (uint32_t)(edgec_half(a, 1) * edgec_half(b, 0)));
}

static inline int32_t edgec_scale_up(int32_t acc, int32_t shift) {
  const int64_t scaled = (int64_t)acc * ((int64_t)1 << shift);
  return scaled > INT32_MAX ? INT32_MAX : scaled < INT32_MIN ? INT32_MIN : (int32_t)scaled;
}

static inline int32_t edgec_ssat8(int32_t value) { return edgec_clamp(value, INT8_MIN, INT8_MAX); }

#endif

/* The `odd` word of four bytes of input. */
static inline uint32_t edgec_odd(uint32_t word) { return edgec_swap_bytes(word) ^ EDGEC_EVEN_CORRECTION; }

/* Bytes already saturated to int8 brought into [low, high]: the clamp of a fused activation, where it is narrower. */
static inline void edgec_clamp_bytes(int8_t *y, int32_t count, int32_t low, int32_t high) {
  if (low > INT8_MIN || high < INT8_MAX) {
    for (int32_t i = 0; i < count; i++) {
      y[i] = (int8_t)edgec_clamp(y[i], low, high);
    }
  }
}

#define EDGEC_NIBBLE_TAPS 0x10000u /* more than a window may have: 16 times a sum of products and every correction fit int32 */

/* -8 times the sum of a position's inputs, and 1024 for each odd tap: what the 8 of b + 8 adds. odd: sum of its `odd` halfwords; even: its
 * EDGEC_EVEN_CORRECTION sum. Modulo 2^32: columns of positions that are not there hold anything. */
static inline int32_t edgec_nibble_correction(int32_t odd, int32_t even) {
  return (int32_t)(2056u * (uint32_t)(even >> 7) - 8u * (uint32_t)odd);
}

/* The head of the first or the second channel of a pair from the word of low halves; highs: the word of high halves, or null. */
static inline int32_t edgec_nibble_head(uint32_t lows, const uint32_t *highs, int second) {
  const uint32_t low = second ? lows >> 16 : lows & 0xffffu;
  if (highs == NULL) {
    return (int32_t)(low << 16) >> 16;
  }
  return (int32_t)((second ? *highs & 0xffff0000u : *highs << 16) | low);
}

#endif
