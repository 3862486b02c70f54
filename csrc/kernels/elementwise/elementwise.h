/* Parameters of add and add_wide: members in the order of `fields` in edgec/ops/elementwise.py. */
#ifndef EDGEC_ELEMENTWISE_H
#define EDGEC_ELEMENTWISE_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_add_params {
  int32_t count, multiplier_a, multiplier_b, offset, shift, clamp_min, clamp_max;
} edgec_add_params;

int edgec_add_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
