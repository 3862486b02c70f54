/* conv_transpose2d, the reference: each output pixel gathers the input pixels whose window reaches it. */
#include "../fixed.h"
#include "conv_transpose.h"

void edgec_s8_conv_transpose2d__ref(const void *params, const edgec_operands *operands);

/* Input index that tap k brings to output o, or -1. */
static int32_t source(int32_t o, int32_t k, int32_t pad, int32_t dilation, int32_t stride, int32_t size) {
  const int32_t at = o + pad - k * dilation;
  return at >= 0 && at % stride == 0 && at / stride < size ? at / stride : -1;
}

void edgec_s8_conv_transpose2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_conv_transpose2d_params *const p = params;
  const int32_t *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t depth = p->in_c / p->groups;
  const int32_t out_per_group = p->out_c / p->groups;
  int8_t *y = operands->output[0];
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const int8_t *w = operands->constant[0];
      for (int32_t oc = 0; oc < p->out_c; oc++) {
        const int8_t *const x = operands->input[0] + (oc / out_per_group) * depth;
        int32_t acc = bias[oc];
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
          const int32_t iy = source(oy, ky, p->pad_top, p->dilation_h, p->stride_h, p->in_h);
          for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            const int32_t ix = source(ox, kx, p->pad_left, p->dilation_w, p->stride_w, p->in_w);
            if (iy >= 0 && ix >= 0) {
              const int8_t *const pixel = x + (iy * p->in_w + ix) * p->in_c;
              for (int32_t c = 0; c < depth; c++) {
                acc = edgec_mac(acc, pixel[c] - p->in_zero_point, w[c]);
              }
            }
            w += depth;
          }
        }
        *y++ = edgec_requantize(acc, multiplier[oc], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
      }
    }
  }
}

const edgec_kernel edgec_s8_conv_transpose2d__ref_kernel = {0x1400, 0, edgec_s8_conv_transpose2d__ref,
                                                             edgec_conv_transpose2d_check};
