/* Fixed-point primitives: the C mirror of edgec/numerics.py (docs/SPEC.md section 1). C99, no state, no float.
 *
 * Every sum of products wraps modulo 2^32 through unsigned arithmetic: the compiler proves at compile time that no
 * accumulator of a valid program leaves int32, and an altered program must not reach undefined behaviour either.
 */
#ifndef EDGEC_FIXED_H
#define EDGEC_FIXED_H

#include <stdint.h>

/* Right shifts of negative numbers are arithmetic on every compiler edgec supports; C99 leaves it to the compiler. */
typedef char edgec_assert_arithmetic_shift[((-1) >> 1) == -1 ? 1 : -1];

/* A function of which every caller gets a copy, so that what a constant argument decides is decided when it is compiled; one of which none
 * gets a copy, so that what is rarely done takes no registers of what is often done. */
#if defined(__GNUC__)
#define EDGEC_COPIED static inline __attribute__((always_inline))
#define EDGEC_APART static __attribute__((noinline))
#else
#define EDGEC_COPIED static inline
#define EDGEC_APART static
#endif

static inline int32_t edgec_clamp(int32_t value, int32_t low, int32_t high) {
  if (value < low) {
    return low;
  }
  return value > high ? high : value;
}

/* An element of an int16 tensor, little-endian at any address: an altered artifact may put it anywhere. */
static inline int32_t edgec_int16_at(const int8_t *tensor, int32_t index) {
  const uint8_t *const pair = (const uint8_t *)tensor + 2 * index;
  return (int16_t)(uint16_t)(pair[0] | pair[1] << 8);
}

/* acc + x * w modulo 2^32; |x * w| fits int32 for every int8, int16 and 17-bit operand edgec multiplies. */
static inline int32_t edgec_mac(int32_t acc, int32_t x, int32_t w) {
  return (int32_t)((uint32_t)acc + (uint32_t)(x * w));
}

static inline int32_t edgec_wrapping_add(int32_t a, int32_t b) {
  return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* Saturate acc to 32 - shift bits, then shift left: the layer shift k. */
static inline int32_t edgec_shift_left(int32_t acc, int32_t shift) {
  const int32_t high = INT32_MAX >> shift;
  return edgec_clamp(acc, -high - 1, high) * (int32_t)((uint32_t)1 << shift);
}

/* (acc * multiplier + 2^31) >> 32: rounding half up, once. shift as in edgec_shift_left. */
static inline int32_t edgec_scale(int32_t acc, int32_t multiplier, int32_t shift) {
  const int64_t product = (int64_t)(shift != 0 ? edgec_shift_left(acc, shift) : acc) * multiplier;
  return (int32_t)((product + INT64_C(0x80000000)) >> 32);
}

/* clamp((acc * multiplier + zero_point * 2^32 + 2^31) >> 32). */
static inline int8_t edgec_requantize(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero_point, int32_t low,
                                      int32_t high) {
  return (int8_t)edgec_clamp(edgec_scale(acc, multiplier, shift) + zero_point, low, high);
}

/* Fractional bits of a convolution's result before a residual is added to it. */
enum { EDGEC_SUM_FRACTION = 12 };

/* The same with 12 fractional bits, and `addend`, the residual times its multiplier plus the offset, before the only rounding. */
static inline int8_t edgec_requantize_sum(int32_t acc, int32_t multiplier, int32_t shift, int32_t addend, int32_t low, int32_t high) {
  const int32_t sum = edgec_wrapping_add(edgec_scale(acc, multiplier, shift), addend);
  return (int8_t)edgec_clamp(sum >> EDGEC_SUM_FRACTION, low, high);
}

#endif
