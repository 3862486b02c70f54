/* Parameters of dense: members in the order of `fields` in edgec/ops/dense.py. */
#ifndef EDGEC_DENSE_H
#define EDGEC_DENSE_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_dense_params {
  int32_t rows, in_features, out_features, in_zero_point, out_zero_point, clamp_min, clamp_max, shift;
  int32_t weight_bits; /* 8 or 4 */
} edgec_dense_params;

/* Constants in canonical order, weights of 8 bits; or of 4, two a byte, each output feature beginning at a byte,
 * and biases of int16. */
int edgec_dense_check(const void *params, const edgec_sizes *sizes);
int edgec_dense_nibbles_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
