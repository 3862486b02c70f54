/* Parameters of transpose: members in the order of `fields` in edgec/ops/layout.py. */
#ifndef EDGEC_LAYOUT_H
#define EDGEC_LAYOUT_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_transpose_params {
  int32_t size_0, size_1, size_2, size_3, stride_0, stride_1, stride_2, stride_3;
} edgec_transpose_params;

int edgec_transpose_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
