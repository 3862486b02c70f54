/* Depthwise convolution of any window: four channels at a time straight from the input, weights in canonical
 * order, in which four channels of a tap lie side by side. Weights of 4 bits are widened to that in scratch, once a run; else there is no
 * scratch. Included by conv_dsp.c alone. */
#ifndef EDGEC_DEPTHWISE_ANY_DSP_H
#define EDGEC_DEPTHWISE_ANY_DSP_H

#include "../dsp.h"
#include "../nibbles.h"
#include "conv.h"

/* All whole fours of channels of a window that lies inside the input; one member a word. Steps are in bytes. A window one tap
 * wide has its height as the inner taps. */
typedef struct inside_window {
  const int8_t *x, *w; /* first tap */
  int8_t *y;
  const int8_t *y_end;
  const int32_t *bias, *multiplier;
  int32_t zero_point;
  int32_t inner, inner_step, outer, outer_step; /* outer_step: from behind the last inner tap to the next row of taps */
  int32_t channels, shift;
} inside_window;

#if EDGEC_DSP

void edgec_dsp_depthwise_any(const inside_window *i);
/* Frame: x 0, w 4, y 8, y_end 12, bias 16, multiplier 20, zero_point 24, inner 28, inner_step 32, outer 36, outer_step 40,
 * channels 44, shift 48. Accumulators r6-r9. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_depthwise_any)
        "push {r4-r11, lr}\n"
        "sub sp, sp, #52\n"
        "ldmia r0!, {r1-r7}\n"
        "stmia.w sp, {r1-r7}\n"
        "add r12, sp, #28\n"
        "ldmia.w r0, {r1-r6}\n"
        "stmia.w r12, {r1-r6}\n"
        "mov r4, r2\n"
        "ldr r5, [sp, #44]\n"
        "1:\n"
        "ldrd r0, r1, [sp]\n"
        "add r2, r0, #4\n"
        "add r3, r1, #4\n"
        "strd r2, r3, [sp]\n"
        "ldr r2, [sp, #16]\n"
        "ldr r3, [sp, #36]\n"
        "ldmia r2!, {r6, r7}\n"
        "ldmia.w r2!, {r8, r9}\n"
        "str r2, [sp, #16]\n"
        "ldr r2, [sp, #28]\n"
        "2:\n"
        "ldr r10, [r0]\n"
        "ldr r12, [r1]\n"
        "add r0, r0, r4\n"
        "add r1, r1, r5\n"
        "sxtb16 r11, r10, ror #8\n"
        "sxtb16 lr, r12, ror #8\n"
        "sxtb16 r10, r10\n"
        "sxtb16 r12, r12\n"
        "smlabb r6, r10, r12, r6\n"
        "smlabb r7, r11, lr, r7\n"
        "smlatt r8, r10, r12, r8\n"
        "smlatt r9, r11, lr, r9\n"
        "subs r2, r2, #1\n"
        "bne 2b\n"
        "subs r3, r3, #1\n"
        "ittt ne\n"
        "ldrne r10, [sp, #40]\n"
        "ldrne r2, [sp, #28]\n"
        "addne r0, r0, r10\n"
        "bne 2b\n"
        "ldr r2, [sp, #48]\n"
        "cbnz r2, 4f\n"
        "3:\n"
        "ldrd r0, r1, [sp, #20]\n"
        "ldmia.w r0!, {r2, r3, r10, r11}\n"
        "str r0, [sp, #20]\n"
        "smmlar r6, r6, r2, r1\n"
        "smmlar r7, r7, r3, r1\n"
        "smmlar r8, r8, r10, r1\n"
        "smmlar r9, r9, r11, r1\n"
        "ldrd r2, r3, [sp, #8]\n"
        "ssat r6, #8, r6\n"
        "ssat r7, #8, r7\n"
        "ssat r8, #8, r8\n"
        "ssat r9, #8, r9\n"
        "strb r6, [r2], #1\n"
        "strb r7, [r2], #1\n"
        "strb r8, [r2], #1\n"
        "strb r9, [r2], #1\n"
        "str r2, [sp, #8]\n"
        "cmp r2, r3\n"
        "bne 1b\n"
        "add sp, sp, #52\n"
        "pop {r4-r11, pc}\n"
        "4:\n"
        "qadd r6, r6, r6\n"
        "qadd r7, r7, r7\n"
        "qadd r8, r8, r8\n"
        "qadd r9, r9, r9\n"
        "subs r2, r2, #1\n"
        "bne 4b\n"
        "b 3b\n" EDGEC_DSP_END(edgec_dsp_depthwise_any));

#else

static void edgec_dsp_depthwise_any(const inside_window *i) {
  const int32_t count = (int32_t)(i->y_end - i->y);
  for (int32_t c = 0; c < count; c++) {
    int32_t acc = i->bias[c];
    const int8_t *w = i->w + c;
    for (int32_t tap = 0; tap < i->inner * i->outer; tap++) {
      const int32_t row = tap / i->inner;
      const int8_t *const x = i->x + c + tap * i->inner_step + row * i->outer_step;
      acc = edgec_mac(acc, *x, *w);
      w += i->channels;
    }
    i->y[c] = (int8_t)edgec_ssat8(edgec_smmlar(edgec_scale_up(acc, i->shift), i->multiplier[c], i->zero_point));
  }
}

#endif

/* One channel of a window that may leave the input; y, x: of its first tap. */
static int32_t sum_of_channel(const edgec_depthwise_conv2d_params *p, const int8_t *input, const int8_t *w, int32_t y, int32_t x) {
  int32_t acc = 0;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t iy = y + ky * p->dilation_h;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int32_t ix = x + kx * p->dilation_w;
      const int inside = iy >= 0 && iy < p->in_h && ix >= 0 && ix < p->in_w;
      acc = edgec_mac(acc, inside ? input[(iy * p->in_w + ix) * p->in_c] : p->in_zero_point, *w);
      w += p->out_c;
    }
  }
  return acc;
}

/* Rows of `channels` 4-bit weights, each beginning at a byte, as bytes without gaps. */
static void widen_taps(int8_t *to, const int8_t *from, int32_t taps, int32_t channels) {
  for (int32_t tap = 0; tap < taps; tap++) {
    for (int32_t c = 0; c < channels; c += 2) {
      const int8_t byte = *from++;
      *to++ = (int8_t)edgec_low_nibble(byte);
      if (c + 1 < channels) {
        *to++ = (int8_t)edgec_high_nibble(byte);
      }
    }
  }
}

static void widen_biases(int32_t *to, const int16_t *from, int32_t channels) {
  for (int32_t c = 0; c < channels; c++) {
    to[c] = from[c];
  }
}

static void depthwise_any(const edgec_depthwise_conv2d_params *p, const edgec_operands *o, const int8_t *weights,
                          const int32_t *bias) {
  const int32_t down = p->dilation_h * p->in_w * p->in_c;
  const int32_t across = p->dilation_w * p->in_c;
  const int tall = p->kernel_w == 1;
  inside_window window = {NULL, weights, NULL, NULL, bias, o->constant[2], p->out_zero_point,
                          tall ? p->kernel_h : p->kernel_w, tall ? down : across, tall ? 1 : p->kernel_h,
                          tall ? 0 : down - p->kernel_w * across, p->out_c, p->shift};
  int8_t *y = o->output[0];
  for (int32_t position = 0; position < p->out_h * p->out_w; position++) {
    const int32_t row = position / p->out_w * p->stride_h - p->pad_top;
    const int32_t col = position % p->out_w * p->stride_w - p->pad_left;
    const int inside = row >= 0 && row + (p->kernel_h - 1) * p->dilation_h < p->in_h && col >= 0 &&
                       col + (p->kernel_w - 1) * p->dilation_w < p->in_w;
    int32_t c = 0;
    if (inside && p->out_c >= 4) {
      c = p->out_c & ~3;
      window.x = o->input[0] + (row * p->in_w + col) * p->in_c;
      window.y = y;
      window.y_end = y + c;
      edgec_dsp_depthwise_any(&window);
    }
    for (; c < p->out_c; c++) {
      const int32_t sum = edgec_wrapping_add(sum_of_channel(p, o->input[0] + c, weights + c, row, col), window.bias[c]);
      y[c] = (int8_t)edgec_ssat8(edgec_smmlar(edgec_scale_up(sum, p->shift), window.multiplier[c], p->out_zero_point));
    }
    y += p->out_c;
  }
  edgec_clamp_bytes(o->output[0], p->out_h * p->out_w * p->out_c, p->clamp_min, p->clamp_max);
}

#endif
