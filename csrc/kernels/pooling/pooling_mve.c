/* Average pooling with Helium: eight channels in 16-bit lanes, summed over a window of at most 255 taps. */
#include "../fixed.h"
#include "pooling.h"

void edgec_s8_average_pool2d__mve(const void *params, const edgec_operands *operands);

enum {
  LANES = 8,
  TAPS_MAX = 255 /* 255 * 128 fits 16 bits */
};

/* The part of a window that lies inside the input, and what its sum is turned into. */
typedef struct window {
  const int8_t *first;
  int32_t rows, columns;
  int32_t pixel, row_step; /* bytes; row_step from the end of a row of the window to its next */
  int32_t multiplier;
} window;

#if defined(__ARM_FEATURE_MVE)

/* count: channels, 1 to 8. Constants of the epilogue come through memory: they are more than there are registers. */
static void pool_lanes(const edgec_average_pool2d_params *p, const window *w, int32_t channel, int32_t count, int8_t *y) {
  const int8_t *x = w->first + channel;
  int32_t rows = w->rows;
  const int32_t constants[7] = {-w->rows * w->columns * p->in_zero_point,
                                p->shift,
                                -(int32_t)((uint32_t)1 << p->shift),
                                w->multiplier / 2, /* even, docs/SPEC.md section 1 */
                                p->out_zero_point,
                                p->clamp_min,
                                p->clamp_max};
  __asm__ volatile(
      "vmov.i32 q0, #0\n"
      "vctp.16 %[count]\n"
      "1:\n"
      "dls lr, %[columns]\n"
      "2:\n"
      "vpst\n"
      "vldrbt.s16 q1, [%[x]]\n"
      "add %[x], %[x], %[pixel]\n"
      "vadd.i16 q0, q0, q1\n"
      "le lr, 2b\n"
      "add %[x], %[x], %[row]\n"
      "subs %[rows], %[rows], #1\n"
      "bgt 1b\n"
      "vmovlb.s16 q1, q0\n"
      "vmovlt.s16 q2, q0\n"
      "ldrd %[x], %[rows], [%[constants]]\n" /* offset and layer shift */
      "vadd.i32 q1, q1, %[x]\n"
      "vadd.i32 q2, q2, %[x]\n"
      "vqshl.s32 q1, %[rows]\n"
      "vqshl.s32 q2, %[rows]\n"
      "ldrd %[x], %[rows], [%[constants], #8]\n" /* mask and halved multiplier */
      "vdup.32 q3, %[x]\n"
      "vand q1, q1, q3\n"
      "vand q2, q2, q3\n"
      "vdup.32 q3, %[rows]\n"
      "ldrd %[x], %[rows], [%[constants], #16]\n" /* zero_point and lower bound */
      "vqrdmlash.s32 q1, q3, %[x]\n"
      "vqrdmlash.s32 q2, q3, %[x]\n"
      "ldr %[x], [%[constants], #24]\n" /* upper bound */
      "vqmovnb.s32 q1, q1\n"
      "vqmovnt.s32 q1, q2\n"
      "vdup.16 q2, %[rows]\n"
      "vdup.16 q3, %[x]\n"
      "vmax.s16 q1, q1, q2\n"
      "vmin.s16 q1, q1, q3\n"
      "vpst\n"
      "vstrbt.16 q1, [%[y]]\n"
      : [x] "+&l"(x), [rows] "+&r"(rows)
      : [columns] "r"(w->columns), [pixel] "r"(w->pixel), [row] "r"(w->row_step), [count] "r"(count), [y] "l"(y),
        [constants] "r"(constants)
      : "q0", "q1", "q2", "q3", "lr", "cc", "memory");
}

#else

static void pool_lanes(const edgec_average_pool2d_params *p, const window *w, int32_t channel, int32_t count, int8_t *y) {
  int8_t result[LANES]; /* stored together, as the assembly does: the output may overlap the input */
  for (int32_t c = 0; c < count; c++) {
    const int8_t *x = w->first + channel + c;
    int32_t acc = -w->rows * w->columns * p->in_zero_point;
    for (int32_t row = 0; row < w->rows; row++) {
      for (int32_t column = 0; column < w->columns; column++) {
        acc += x[row * (w->row_step + w->columns * w->pixel) + column * w->pixel];
      }
    }
    result[c] = edgec_requantize(acc, w->multiplier, p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
  }
  for (int32_t c = 0; c < count; c++) {
    y[c] = result[c];
  }
}

#endif

void edgec_s8_average_pool2d__mve(const void *params, const edgec_operands *operands) {
  const edgec_average_pool2d_params *const p = params;
  const int32_t *const multiplier = operands->constant[0];
  int8_t *y = operands->output[0];
  window w;
  w.pixel = p->channels;
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const edgec_span v = edgec_span_inside(oy * p->stride_h - p->pad_top, p->kernel_h, p->in_h);
    w.rows = v.last - v.first;
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const edgec_span h = edgec_span_inside(ox * p->stride_w - p->pad_left, p->kernel_w, p->in_w);
      w.columns = h.last - h.first;
      w.row_step = (p->in_w - w.columns) * p->channels;
      w.first = operands->input[0] + (v.first * p->in_w + h.first) * p->channels;
      w.multiplier = multiplier[p->multipliers == 1 ? 0 : w.rows * w.columns - 1];
      for (int32_t c = 0; c < p->channels; c += LANES) {
        const int32_t count = p->channels - c < LANES ? p->channels - c : LANES;
        pool_lanes(p, &w, c, count, y);
        y += count;
      }
    }
  }
}

static int check(const void *params, const edgec_sizes *sizes) {
  const edgec_average_pool2d_params *const p = params;
  return edgec_average_pool2d_check(params, sizes) != 0 && edgec_area(p->kernel_h, p->kernel_w) <= (uint32_t)TAPS_MAX;
}

const edgec_kernel edgec_s8_average_pool2d__mve_kernel = {0x0640, 1, edgec_s8_average_pool2d__mve, check};
