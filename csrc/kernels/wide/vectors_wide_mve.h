/* Helium loops over four channels or elements in 32-bit lanes: depthwise windows, averages, add_s16 and rescale_s16. Included by
 * wide_mve.c alone. Where there is no Helium, the same in C. */
#ifndef EDGEC_VECTORS_WIDE_MVE_H
#define EDGEC_VECTORS_WIDE_MVE_H

#include "../fixed.h"
#include "../mve.h"
#include "wide_elements.h"

enum { LANES = 4, CHANNELS = 8, STREAM_HEAD = 64 /* bytes: biases of even and of odd channels, then their multipliers, halved */ };

/* From a sum to an element; of add_s16: from shifted operands. Byte offsets are known to the assembly. */
typedef struct wide_scale {
  int32_t shift, mask;     /* 0: layer shift, minus 2^shift */
  int32_t zero_point, low; /* 8 */
  int32_t high;            /* 16 */
} wide_scale;

static wide_scale scale_of(int32_t shift, int32_t zero_point, int32_t low, int32_t high) {
  const wide_scale s = {shift, -(int32_t)((uint32_t)1 << shift), zero_point, low, high};
  return s;
}

/* Of an average: pixels, bytes from one to the next and from the end of a row to the next, where sums start, the multiplier, halved. */
typedef struct pool_window {
  int32_t rows, columns, pixel, row, start, multiplier;
} pool_window;

/* a * ma + b * mb + c in two parts, so that 32 bits hold each: factors' lower 15 bits, then the rest. */
typedef struct wide_sum {
  int32_t a_low, b_low;   /* 0 */
  int32_t a_high, b_high; /* 8 */
  int32_t c_low, c_high;  /* 16 */
  int32_t low, high;      /* 24: clamp bounds */
  int32_t down;           /* 32: 15 less than the shift, negative */
} wide_sum;

#if defined(__ARM_FEATURE_MVE)

/* Eight channels of a depthwise window: taps at x, `step` bytes apart; w: the stream of these channels; count: those to store. */
#define DEPTHWISE_EIGHT(name, load, store)                                                                               \
  static void name(const int8_t *x, int32_t step, const int8_t *w, int32_t taps, const wide_scale *s, int8_t *y, int32_t count) { \
    int32_t t, u;                                                                                                        \
    __asm__ volatile("vldrw.u32 q0, [%[w]], #16\n"                                                                       \
                     "vldrw.u32 q1, [%[w]], #16\n"                                                                       \
                     "vldrw.u32 q6, [%[w]], #16\n"                                                                       \
                     "vldrw.u32 q7, [%[w]], #16\n"                                                                       \
                     "dls lr, %[taps]\n"                                                                                 \
                     "1:\n" load " q2, [%[x]]\n"                                                                         \
                     "vldrb.s16 q3, [%[w]], #8\n"                                                                        \
                     "add %[x], %[x], %[step]\n"                                                                         \
                     "vmullb.s16 q4, q2, q3\n"                                                                           \
                     "vmullt.s16 q5, q2, q3\n"                                                                           \
                     "vadd.i32 q0, q0, q4\n"                                                                             \
                     "vadd.i32 q1, q1, q5\n"                                                                             \
                     "le lr, 1b\n"                                                                                       \
                     "ldrd %[t], %[u], [%[s]]\n"                                                                         \
                     "vdup.32 q2, %[u]\n"                                                                                \
                     "vqshl.s32 q0, %[t]\n"                                                                              \
                     "vqshl.s32 q1, %[t]\n"                                                                              \
                     "vand q0, q0, q2\n"                                                                                 \
                     "vand q1, q1, q2\n"                                                                                 \
                     "ldrd %[t], %[u], [%[s], #8]\n"                                                                     \
                     "vqrdmlash.s32 q0, q6, %[t]\n"                                                                      \
                     "vqrdmlash.s32 q1, q7, %[t]\n"                                                                      \
                     "ldr %[t], [%[s], #16]\n"                                                                           \
                     "vqmovnb.s32 q0, q0\n"                                                                              \
                     "vqmovnt.s32 q0, q1\n"                                                                              \
                     "vdup.16 q2, %[u]\n"                                                                                \
                     "vdup.16 q3, %[t]\n"                                                                                \
                     "vmax.s16 q0, q0, q2\n"                                                                             \
                     "vmin.s16 q0, q0, q3\n"                                                                             \
                     "vctp.16 %[n]\n"                                                                                    \
                     "vpst\n" store " q0, [%[y]]\n"                                                                      \
                     : [x] "+l"(x), [w] "+l"(w), [t] "=&r"(t), [u] "=&r"(u)                                              \
                     : [step] "r"(step), [taps] "r"(taps), [s] "r"(s), [y] "l"(y), [n] "r"(count)                        \
                     : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "cc", "memory");                            \
  }
DEPTHWISE_EIGHT(depthwise_8_to_16, "vldrb.s16", "vstrht.16")
DEPTHWISE_EIGHT(depthwise_16_to_8, "vldrb.u8", "vstrbt.16")
DEPTHWISE_EIGHT(depthwise_16_to_16, "vldrb.u8", "vstrht.16")

static void depthwise_eight(const int8_t *x, int32_t in_bits, int32_t step, const int8_t *w, int32_t taps, const wide_scale *s, int8_t *y,
                            int32_t out_bits, int32_t count) {
  if (in_bits == 8) {
    depthwise_8_to_16(x, step, w, taps, s, y, count);
  } else if (out_bits == 8) {
    depthwise_16_to_8(x, step, w, taps, s, y, count);
  } else {
    depthwise_16_to_16(x, step, w, taps, s, y, count);
  }
}

/* The sums in q0 of up to four lanes to elements. Multipliers, halved, in q1. */
#define SCALE                            \
  "ldrd %[t], %[u], [%[s]]\n"            \
  "vdup.32 q2, %[u]\n"                   \
  "vqshl.s32 q0, %[t]\n"                 \
  "vand q0, q0, q2\n"                    \
  "ldrd %[t], %[u], [%[s], #8]\n"        \
  "vqrdmlash.s32 q0, q1, %[t]\n"         \
  "ldr %[t], [%[s], #16]\n"              \
  "vdup.32 q2, %[u]\n"                   \
  "vdup.32 q3, %[t]\n"                   \
  "vmax.s32 q0, q0, q2\n"                \
  "vmin.s32 q0, q0, q3\n"

/* Four channels of an average: rows of pixels, `row` bytes from the end of one to the next. */
#define AVERAGE_FOUR(name, load, store)                                                                                  \
  static void name(const int8_t *x, const pool_window *p, const wide_scale *s, int8_t *y, int32_t count) {               \
    int32_t rows = p->rows;                                                                                              \
    int32_t t, u;                                                                                                        \
    __asm__ volatile("vdup.32 q0, %[start]\n"                                                                            \
                     "vctp.32 %[n]\n"                                                                                    \
                     "1:\n"                                                                                              \
                     "dls lr, %[columns]\n"                                                                              \
                     "2:\n"                                                                                              \
                     "vpst\n" load " q1, [%[x]]\n"                                                                       \
                     "add %[x], %[x], %[pixel]\n"                                                                        \
                     "vadd.i32 q0, q0, q1\n"                                                                             \
                     "le lr, 2b\n"                                                                                       \
                     "add %[x], %[x], %[row]\n"                                                                          \
                     "subs %[rows], %[rows], #1\n"                                                                       \
                     "bgt 1b\n"                                                                                          \
                     "vdup.32 q1, %[m]\n" SCALE                                                                          \
                     "vpst\n" store " q0, [%[y]]\n"                                                                      \
                     : [x] "+l"(x), [rows] "+r"(rows), [t] "=&r"(t), [u] "=&r"(u)                                        \
                     : [start] "r"(p->start), [columns] "r"(p->columns), [pixel] "r"(p->pixel), [row] "r"(p->row), [m] "r"(p->multiplier),        \
                       [s] "r"(s), [y] "l"(y), [n] "r"(count)                                                            \
                     : "q0", "q1", "q2", "q3", "lr", "cc", "memory");                                                    \
  }

AVERAGE_FOUR(average_8_to_16, "vldrbt.s32", "vstrht.32")
AVERAGE_FOUR(average_16_to_8, "vldrht.s32", "vstrbt.32")
AVERAGE_FOUR(average_16_to_16, "vldrht.s32", "vstrht.32")

static void average_four(const int8_t *x, int32_t in_bits, const pool_window *p, const wide_scale *s, int8_t *y, int32_t out_bits, int32_t count) {
  if (in_bits == 8) {
    average_8_to_16(x, p, s, y, count);
  } else if (out_bits == 8) {
    average_16_to_8(x, p, s, y, count);
  } else {
    average_16_to_16(x, p, s, y, count);
  }
}

#define RESCALE(name, load, store)                                                                                       \
  static void name(const int8_t *x, int32_t zero_point, int32_t multiplier, const wide_scale *s, int8_t *y, int32_t count) { \
    int32_t t, u;                                                                                                        \
    __asm__ volatile("vdup.32 q1, %[m]\n"                                                                                \
                     "ldrd %[t], %[u], [%[s], #12]\n"                                                                    \
                     "vdup.32 q3, %[t]\n"                                                                                \
                     "vdup.32 q4, %[u]\n"                                                                                \
                     "ldrd %[t], %[u], [%[s]]\n"                                                                         \
                     "vdup.32 q2, %[u]\n"                                                                                \
                     "ldr %[u], [%[s], #8]\n"                                                                            \
                     "wlstp.32 lr, %[n], 2f\n"                                                                           \
                     "1:\n" load "\n"                                                                                    \
                     "vadd.i32 q0, q0, %[z]\n"                                                                           \
                     "vqshl.s32 q0, %[t]\n"                                                                              \
                     "vand q0, q0, q2\n"                                                                                 \
                     "vqrdmlash.s32 q0, q1, %[u]\n"                                                                      \
                     "vmax.s32 q0, q0, q3\n"                                                                             \
                     "vmin.s32 q0, q0, q4\n" store "\n"                                                                  \
                     "letp lr, 1b\n"                                                                                     \
                     "2:\n"                                                                                              \
                     : [x] "+l"(x), [y] "+l"(y), [t] "=&r"(t), [u] "=&r"(u)                                              \
                     : [z] "r"(-zero_point), [m] "r"(multiplier), [s] "r"(s), [n] "r"(count)                             \
                     : "q0", "q1", "q2", "q3", "q4", "lr", "memory");                                                    \
  }
RESCALE(rescale_8_to_16, "vldrb.s32 q0, [%[x]], #4", "vstrh.32 q0, [%[y]], #8")
RESCALE(rescale_16_to_8, "vldrh.s32 q0, [%[x]], #8", "vstrb.32 q0, [%[y]], #4")
RESCALE(rescale_16_to_16, "vldrh.s32 q0, [%[x]], #8", "vstrh.32 q0, [%[y]], #8")
RESCALE(rescale_8_to_8, "vldrb.s32 q0, [%[x]], #4", "vstrb.32 q0, [%[y]], #4")

static void rescale(const int8_t *x, int32_t in_bits, int32_t zero_point, int32_t multiplier, const wide_scale *s, int8_t *y, int32_t out_bits,
                    int32_t count) {
  if (in_bits == 8 && out_bits == 8) {
    rescale_8_to_8(x, zero_point, multiplier, s, y, count);
  } else if (in_bits == 8) {
    rescale_8_to_16(x, zero_point, multiplier, s, y, count);
  } else if (out_bits == 8) {
    rescale_16_to_8(x, zero_point, multiplier, s, y, count);
  } else {
    rescale_16_to_16(x, zero_point, multiplier, s, y, count);
  }
}

/* The factors change their registers between the parts: there are no more. */
#define ADD(name, load_a, load_b, store)                                                                                 \
  static void name(const int8_t *a, const int8_t *b, const wide_sum *s, int8_t *y, int32_t count) {                      \
    int32_t al, bl, ah, bh, t;                                                                                           \
    __asm__ volatile("ldrd %[al], %[bl], [%[s], #24]\n"                                                                  \
                     "vdup.32 q5, %[al]\n"                                                                               \
                     "vdup.32 q6, %[bl]\n"                                                                               \
                     "ldrd %[al], %[bl], [%[s], #16]\n"                                                                  \
                     "vdup.32 q3, %[al]\n"                                                                               \
                     "vdup.32 q4, %[bl]\n"                                                                               \
                     "ldr %[t], [%[s], #32]\n"                                                                           \
                     "ldrd %[al], %[bl], [%[s]]\n"                                                                       \
                     "ldrd %[ah], %[bh], [%[s], #8]\n"                                                                   \
                     "wlstp.32 lr, %[n], 2f\n"                                                                           \
                     "1:\n" load_a "\n" load_b "\n"                                                                      \
                     "vmov q2, q3\n"                                                                                     \
                     "vmla.s32 q2, q0, %[al]\n"                                                                          \
                     "vmla.s32 q2, q1, %[bl]\n"                                                                          \
                     "vshr.s32 q2, q2, #15\n"                                                                            \
                     "vmla.s32 q2, q0, %[ah]\n"                                                                          \
                     "vmla.s32 q2, q1, %[bh]\n"                                                                          \
                     "vadd.i32 q2, q2, q4\n"                                                                             \
                     "vshl.s32 q2, %[t]\n"                                                                               \
                     "vmax.s32 q2, q2, q5\n"                                                                             \
                     "vmin.s32 q2, q2, q6\n" store "\n"                                                                  \
                     "letp lr, 1b\n"                                                                                     \
                     "2:\n"                                                                                              \
                     : [a] "+l"(a), [b] "+l"(b), [y] "+l"(y), [al] "=&r"(al), [bl] "=&r"(bl), [ah] "=&r"(ah), [bh] "=&r"(bh), [t] "=&r"(t)        \
                     : [s] "r"(s), [n] "r"(count)                                                                        \
                     : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "lr", "memory");                                        \
  }
#define A_8 "vldrb.s32 q0, [%[a]], #4"
#define A_16 "vldrh.s32 q0, [%[a]], #8"
#define B_8 "vldrb.s32 q1, [%[b]], #4"
#define B_16 "vldrh.s32 q1, [%[b]], #8"
#define Y_8 "vstrb.32 q2, [%[y]], #4"
#define Y_16 "vstrh.32 q2, [%[y]], #8"
ADD(add_8_8_to_16, A_8, B_8, Y_16)
ADD(add_16_8_to_8, A_16, B_8, Y_8)
ADD(add_16_8_to_16, A_16, B_8, Y_16)
ADD(add_16_16_to_8, A_16, B_16, Y_8)
ADD(add_16_16_to_16, A_16, B_16, Y_16)

/* a has at least as many bits as b. */
static void add(const int8_t *a, int32_t a_bits, const int8_t *b, int32_t b_bits, const wide_sum *s, int8_t *y, int32_t out_bits, int32_t count) {
  if (a_bits == 8) {
    add_8_8_to_16(a, b, s, y, count);
  } else if (b_bits == 8 && out_bits == 8) {
    add_16_8_to_8(a, b, s, y, count);
  } else if (b_bits == 8) {
    add_16_8_to_16(a, b, s, y, count);
  } else if (out_bits == 8) {
    add_16_16_to_8(a, b, s, y, count);
  } else {
    add_16_16_to_16(a, b, s, y, count);
  }
}

#else

static int32_t scaled(int32_t acc, int32_t halved, const wide_scale *s) {
  const int64_t product = 2 * (int64_t)edgec_shift_left(acc, s->shift) * halved + INT64_C(0x80000000);
  return edgec_clamp((int32_t)(product >> 32) + s->zero_point, s->low, s->high);
}

static void depthwise_eight(const int8_t *x, int32_t in_bits, int32_t step, const int8_t *w, int32_t taps, const wide_scale *s, int8_t *y,
                            int32_t out_bits, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    const int32_t lane = 4 * (i % 2 * LANES + i / 2);
    int32_t acc, multiplier;
    memcpy(&acc, w + lane, sizeof acc);
    memcpy(&multiplier, w + STREAM_HEAD / 2 + lane, sizeof multiplier);
    for (int32_t tap = 0; tap < taps; tap++) {
      acc = edgec_mac(acc, element_at(x + tap * step + i * in_bits / 8, in_bits), w[STREAM_HEAD + CHANNELS * tap + i]);
    }
    put(y + i * out_bits / 8, out_bits, scaled(acc, multiplier, s));
  }
}

static void average_four(const int8_t *x, int32_t in_bits, const pool_window *p, const wide_scale *s, int8_t *y, int32_t out_bits, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    const int8_t *at = x + i * in_bits / 8;
    int32_t acc = p->start;
    for (int32_t row = 0; row < p->rows; row++) {
      for (int32_t column = 0; column < p->columns; column++) {
        acc += element_at(at, in_bits);
        at += p->pixel;
      }
      at += p->row;
    }
    put(y + i * out_bits / 8, out_bits, scaled(acc, p->multiplier, s));
  }
}

static void rescale(const int8_t *x, int32_t in_bits, int32_t zero_point, int32_t multiplier, const wide_scale *s, int8_t *y, int32_t out_bits,
                    int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    put(y + i * out_bits / 8, out_bits, scaled(element_at(x + i * in_bits / 8, in_bits) - zero_point, multiplier, s));
  }
}

static void add(const int8_t *a, int32_t a_bits, const int8_t *b, int32_t b_bits, const wide_sum *s, int8_t *y, int32_t out_bits, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    const int32_t left = element_at(a + i * a_bits / 8, a_bits);
    const int32_t right = element_at(b + i * b_bits / 8, b_bits);
    int32_t sum = edgec_mac(edgec_mac(s->c_low, left, s->a_low), right, s->b_low) >> 15;
    sum = edgec_wrapping_add(edgec_mac(edgec_mac(sum, left, s->a_high), right, s->b_high), s->c_high);
    put(y + i * out_bits / 8, out_bits, edgec_clamp(sum >> -s->down, s->low, s->high));
  }
}

#endif

#endif
