/* table_pool2d, the reference: values from a table, and a function of their sum as a search among where the output changes. */
#include "../fixed.h"
#include "table_pool.h"

void edgec_s8_table_pool2d__ref(const void *params, const edgec_operands *operands);

/* How many of `count` ascending thresholds are <= acc: between 0 and count, whatever they hold. */
static int32_t thresholds_reached(const int32_t *thresholds, int32_t count, int32_t acc) {
  int32_t low = 0;
  int32_t high = count;
  while (low < high) {
    const int32_t middle = (low + high) / 2;
    if (thresholds[middle] <= acc) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void edgec_s8_table_pool2d__ref(const void *params, const edgec_operands *operands) {
  const edgec_table_pool2d_params *const p = params;
  const int32_t *const table = operands->constant[0];
  int8_t *y = operands->output[0];
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const int32_t top = oy * p->stride_h - p->pad_top;
    const int32_t bottom = top + (p->kernel_h - 1) * p->dilation_h;
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const int32_t left = ox * p->stride_w - p->pad_left;
      const int32_t right = left + (p->kernel_w - 1) * p->dilation_w;
      for (int32_t c = 0; c < p->channels; c++) {
        int32_t acc = 0;
        for (int32_t iy = top; iy <= bottom && iy < p->in_h; iy += p->dilation_h) {
          for (int32_t ix = left; ix <= right && ix < p->in_w; ix += p->dilation_w) {
            if (iy >= 0 && ix >= 0) {
              acc = edgec_wrapping_add(acc, table[operands->input[0][(iy * p->in_w + ix) * p->channels + c] + 128]);
            }
          }
        }
        const int32_t reached = thresholds_reached(operands->constant[1], p->levels, acc);
        const int32_t change = (acc & p->odd_flips) != 0 ? -reached : reached;
        *y++ = (int8_t)edgec_clamp(p->base + change, p->clamp_min, p->clamp_max);
      }
    }
  }
}

const edgec_kernel edgec_s8_table_pool2d__ref_kernel = {0x1600, 0, edgec_s8_table_pool2d__ref, edgec_table_pool2d_check};
