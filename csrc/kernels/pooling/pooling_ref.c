/* Pooling, the reference: pixel by pixel, each channel written once its window is read. */
#include "../fixed.h"
#include "pooling.h"

void edgec_s8_average_pool2d__ref(const void *params, const edgec_operands *operands);
void edgec_s8_max_pool2d__ref(const void *params, const edgec_operands *operands);

void edgec_s8_average_pool2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_average_pool2d_params *const p = params;
  const int32_t *const multiplier = operands->constant[0];
  int8_t *y = operands->output[0];
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const edgec_span v = edgec_span_inside(oy * p->stride_h - p->pad_top, p->kernel_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const edgec_span h = edgec_span_inside(ox * p->stride_w - p->pad_left, p->kernel_w, p->in_w);
      const int32_t taps = (v.last - v.first) * (h.last - h.first);
      const int32_t m = multiplier[p->multipliers == 1 ? 0 : taps - 1];
      for (int32_t c = 0; c < p->channels; c++) {
        int32_t acc = -taps * p->in_zero_point;
        for (int32_t iy = v.first; iy < v.last; iy++) {
          const int8_t *x = operands->input[0] + (iy * p->in_w + h.first) * p->channels + c;
          for (int32_t ix = h.first; ix < h.last; ix++) {
            acc += *x;
            x += p->channels;
          }
        }
        *y++ = edgec_requantize(acc, m, p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
      }
    }
  }
}

void edgec_s8_max_pool2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_max_pool2d_params *const p = params;
  int8_t *y = operands->output[0];
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const edgec_span v = edgec_span_inside(oy * p->stride_h - p->pad_top, p->kernel_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const edgec_span h = edgec_span_inside(ox * p->stride_w - p->pad_left, p->kernel_w, p->in_w);
      for (int32_t c = 0; c < p->channels; c++) {
        int32_t top = INT8_MIN;
        for (int32_t iy = v.first; iy < v.last; iy++) {
          const int8_t *x = operands->input[0] + (iy * p->in_w + h.first) * p->channels + c;
          for (int32_t ix = h.first; ix < h.last; ix++) {
            top = *x > top ? *x : top;
            x += p->channels;
          }
        }
        *y++ = (int8_t)edgec_clamp(top, p->clamp_min, p->clamp_max);
      }
    }
  }
}

const edgec_kernel edgec_s8_average_pool2d__ref_kernel = {0x0600, 1, edgec_s8_average_pool2d__ref, edgec_average_pool2d_check};
const edgec_kernel edgec_s8_max_pool2d__ref_kernel = {0x0700, 1, edgec_s8_max_pool2d__ref, edgec_max_pool2d_check};
