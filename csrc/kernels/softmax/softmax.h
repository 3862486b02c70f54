/* Parameters of softmax: members in the order of `fields` in edgec/ops/softmax.py. */
#ifndef EDGEC_SOFTMAX_H
#define EDGEC_SOFTMAX_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_softmax_params {
  int32_t rows, depth, factor, fraction, out_zero_point;
} edgec_softmax_params;

typedef struct edgec_softmax_s16_params {
  int32_t rows, depth, multiplier, shift, depth_bits, factor, fraction, out_zero_point, in_bits;
} edgec_softmax_s16_params;

int edgec_softmax_check(const void *params, const edgec_sizes *sizes);
int edgec_softmax_s16_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
