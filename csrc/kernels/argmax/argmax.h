/* Parameters of argmax: members in the order of `fields` in edgec/ops/argmax.py. */
#ifndef EDGEC_ARGMAX_H
#define EDGEC_ARGMAX_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_argmax_params {
  int32_t outer, depth, inner, last, least;
} edgec_argmax_params;

typedef edgec_argmax_params edgec_argmax_s16_params;

int edgec_argmax_check(const void *params, const edgec_sizes *sizes);
int edgec_argmax_s16_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
