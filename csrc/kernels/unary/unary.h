/* Parameters of lookup: members in the order of `fields` in edgec/ops/unary.py. */
#ifndef EDGEC_UNARY_H
#define EDGEC_UNARY_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_lookup_params {
  int32_t count;
} edgec_lookup_params;

int edgec_lookup_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
