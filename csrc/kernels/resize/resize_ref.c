/* resize, the reference: two rows, two columns, weights of 11 bits an axis. Nearest is weight 0. */
#include "../fixed.h"
#include "resize.h"

void edgec_s8_resize__ref(const void *params, const edgec_operands *operands);

/* Tables of a valid program hold nothing else; the clamps keep an altered one inside the input. */
static int32_t index_of(const int32_t *entry, int32_t which, int32_t size) {
  return edgec_clamp(entry[which], 0, size - 1);
}

void edgec_s8_resize__ref(const void *params, const edgec_operands *operands) {
  const edgec_resize_params *const p = params;
  const int32_t *const rows = operands->constant[0];
  const int32_t *const cols = operands->constant[1];
  const int32_t one = 2048;
  int8_t *y = operands->output[0];
  for (int32_t i = 0; i < p->out_h; i++) {
    const int32_t *const row = rows + 3 * i;
    const int8_t *const top = operands->input[0] + index_of(row, 0, p->in_h) * p->in_w * p->channels;
    const int8_t *const bottom = operands->input[0] + index_of(row, 1, p->in_h) * p->in_w * p->channels;
    const int32_t v = edgec_clamp(row[2], 0, one);
    for (int32_t j = 0; j < p->out_w; j++) {
      const int32_t *const col = cols + 3 * j;
      const int32_t a = index_of(col, 0, p->in_w) * p->channels;
      const int32_t b = index_of(col, 1, p->in_w) * p->channels;
      const int32_t h = edgec_clamp(col[2], 0, one);
      for (int32_t c = 0; c < p->channels; c++) {
        const int32_t upper = top[a + c] * (one - h) + top[b + c] * h;
        const int32_t lower = bottom[a + c] * (one - h) + bottom[b + c] * h;
        *y++ = (int8_t)((upper * (one - v) + lower * v + (1 << 21)) >> 22);
      }
    }
  }
}

const edgec_kernel edgec_s8_resize__ref_kernel = {0x1300, 0, edgec_s8_resize__ref, edgec_resize_check};
