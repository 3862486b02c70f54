/* Convolution, the reference: what a Cortex-M0 runs and what every other kernel is compared with.
 *
 * Pixel by pixel, each two output channels written once their windows are read: the order that edgec/ops/conv.py `distance`
 * counts on.
 */
#include "../dot.h"
#include "conv.h"

void edgec_s8_conv2d__ref(const void *params, const edgec_operands *operands);
void edgec_s8_conv2d_add__ref(const void *params, const edgec_operands *operands);
void edgec_s8_depthwise_conv2d__ref(const void *params, const edgec_operands *operands);
void edgec_s8w4_conv2d__ref(const void *params, const edgec_operands *operands);
void edgec_s8w4_depthwise_conv2d__ref(const void *params, const edgec_operands *operands);

/* Taps [first, last) of a window at `origin` whose input index lies inside [0, size). */
typedef struct taps {
  int32_t first, last;
} taps;

static taps taps_inside(int32_t origin, int32_t dilation, int32_t kernel, int32_t size) {
  taps t = {0, kernel};
  while (t.first < kernel && origin + t.first * dilation < 0) {
    t.first++;
  }
  while (t.last > t.first && origin + (t.last - 1) * dilation >= size) {
    t.last--;
  }
  return t;
}

/* Output `at` from its accumulator; sum: null where no residual is added. The residual is read just before its place may be written. */
EDGEC_COPIED int8_t finished(const edgec_conv2d_params *p, const edgec_conv2d_add_params *sum, const edgec_operands *operands,
                             int32_t acc, int32_t multiplier, int32_t at) {
  if (sum == NULL) {
    return edgec_requantize(acc, multiplier, p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
  }
  const int32_t addend = edgec_mac(sum->residual_offset, operands->input[1][at], sum->residual_multiplier);
  return edgec_requantize_sum(acc, multiplier, p->shift, addend, p->clamp_min, p->clamp_max);
}

#define FORM(name) name##_of_bytes
#define BIAS int32_t
#define WEIGHTS const int8_t *
#define START(row, index) ((const int8_t *)(row) + (index))
#define FORWARD(w, count) ((w) += (count))
#define NEXT_ROW(w, bytes) ((w) += (bytes))
#define END_ROW(w, bytes) ((void)0)
#define ROW_BYTES(count) (count)
#define WEIGHT(w, bytes, index) (w)[(bytes) + (index)]
EDGEC_COPIED edgec_pair dot_of_bytes(const int8_t *x, const int8_t *w, int32_t second, int32_t count, edgec_pair acc) {
  return edgec_dot(x, w, w + second, count, acc);
}
#include "conv_form_ref.h"
#undef FORM
#undef BIAS
#undef WEIGHTS
#undef START
#undef FORWARD
#undef NEXT_ROW
#undef END_ROW
#undef ROW_BYTES
#undef WEIGHT

/* Weights of 4 bits, unpacked as they are used. */
typedef struct nibbles {
  const int8_t *row;
  int32_t index;
} nibbles;

static nibbles nibbles_at(const int8_t *row, int32_t index) {
  const nibbles n = {row, index};
  return n;
}

#define FORM(name) name##_of_nibbles
#define BIAS int16_t
#define WEIGHTS nibbles
#define START(row, index) nibbles_at((row), (index))
#define FORWARD(w, count) ((w).index += (count))
#define NEXT_ROW(w, bytes) ((w).row += (bytes))
#define END_ROW(w, bytes) ((w) = nibbles_at((w).row + (bytes), 0))
#define ROW_BYTES(count) (((count) + 1) / 2)
#define WEIGHT(w, bytes, at) edgec_nibble((w).row + (bytes), (w).index + (at))
EDGEC_COPIED edgec_pair dot_of_nibbles(const int8_t *x, nibbles w, int32_t second, int32_t count, edgec_pair acc) {
  return edgec_dot_nibbles(x, w.row, w.row + second, w.index, count, acc);
}
#include "conv_form_ref.h"

void edgec_s8_conv2d__ref(const void *params, const edgec_operands *operands) { convolve_of_bytes(params, NULL, operands); }

void edgec_s8_conv2d_add__ref(const void *params, const edgec_operands *operands) {
  const edgec_conv2d_add_params *const sum = params;
  convolve_of_bytes(edgec_conv2d_of(sum), sum, operands);
}

void edgec_s8w4_conv2d__ref(const void *params, const edgec_operands *operands) { convolve_of_nibbles(params, NULL, operands); }

void edgec_s8_depthwise_conv2d__ref(const void *params, const edgec_operands *operands) { convolve_depthwise_of_bytes(params, operands); }

void edgec_s8w4_depthwise_conv2d__ref(const void *params, const edgec_operands *operands) {
  convolve_depthwise_of_nibbles(params, operands);
}

const edgec_kernel edgec_s8_conv2d__ref_kernel = {0x0100, 1, edgec_s8_conv2d__ref, edgec_conv2d_check};
const edgec_kernel edgec_s8_conv2d_add__ref_kernel = {0x1800, 1, edgec_s8_conv2d_add__ref, edgec_conv2d_add_check};
const edgec_kernel edgec_s8_depthwise_conv2d__ref_kernel = {0x0200, 1, edgec_s8_depthwise_conv2d__ref,
                                                             edgec_depthwise_conv2d_check};
const edgec_kernel edgec_s8w4_conv2d__ref_kernel = {0x0180, 1, edgec_s8w4_conv2d__ref, edgec_conv2d_nibbles_check};
const edgec_kernel edgec_s8w4_depthwise_conv2d__ref_kernel = {0x0280, 1, edgec_s8w4_depthwise_conv2d__ref,
                                                              edgec_depthwise_conv2d_nibbles_check};
