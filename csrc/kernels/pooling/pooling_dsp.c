/* Average pooling with the DSP extension: four channels at a time in two registers of int16 sums, for windows of at most 256
 * taps. Pixel by pixel, each four channels written once their window is read, as the reference does. */
#include "../dsp.h"
#include "pooling.h"

void edgec_s8_average_pool2d__dsp(const void *params, const edgec_operands *operands);

enum { MAX_TAPS = 256 };

void edgec_s8_average_pool2d__dsp(const void *params, const edgec_operands *operands) {
  const edgec_average_pool2d_params *const p = params;
  const int32_t *const multiplier = operands->constant[0];
  const int32_t channels = p->channels;
  int8_t *y = operands->output[0];
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const edgec_span v = edgec_span_inside(oy * p->stride_h - p->pad_top, p->kernel_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const edgec_span h = edgec_span_inside(ox * p->stride_w - p->pad_left, p->kernel_w, p->in_w);
      const int32_t taps = (v.last - v.first) * (h.last - h.first);
      const int32_t m = multiplier[p->multipliers == 1 ? 0 : taps - 1];
      for (int32_t c = 0; c < channels; c += 4) {
        uint32_t even = 0;
        uint32_t odd = 0;
        const int32_t count = channels - c < 4 ? channels - c : 4;
        for (int32_t iy = v.first; iy < v.last; iy++) {
          const int8_t *x = operands->input[0] + (iy * p->in_w + h.first) * channels + c;
          const int8_t *const end = x + (h.last - h.first) * channels;
          if (count == 4) {
            for (; x != end; x += channels) {
              const uint32_t word = edgec_load_word(x);
              even = edgec_sxtab16(even, word);
              odd = edgec_sxtab16_high(odd, word);
            }
          } else {
            for (; x != end; x += channels) {
              uint32_t word = 0;
              memcpy(&word, x, (size_t)count);
              even = edgec_sxtab16(even, word);
              odd = edgec_sxtab16_high(odd, word);
            }
          }
        }
        for (int32_t i = 0; i < count; i++) {
          const uint32_t sums = i % 2 != 0 ? odd : even;
          const int32_t acc = (int16_t)(uint16_t)(i < 2 ? sums : sums >> 16) - taps * p->in_zero_point;
          *y++ = edgec_requantize(acc, m, p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        }
      }
    }
  }
}

static int check_average_pool2d(const void *params, const edgec_sizes *s) {
  const edgec_average_pool2d_params *const p = params;
  return edgec_average_pool2d_check(params, s) && p->kernel_h * p->kernel_w <= MAX_TAPS;
}

const edgec_kernel edgec_s8_average_pool2d__dsp_kernel = {0x0610, 1, edgec_s8_average_pool2d__dsp, check_average_pool2d};
