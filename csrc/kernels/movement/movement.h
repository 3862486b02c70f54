/* Parameters of the operators that move bytes: members in the order of `fields` in edgec/ops/movement.py. */
#ifndef EDGEC_MOVEMENT_H
#define EDGEC_MOVEMENT_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_strided_copy_params {
  int32_t size_0, size_1, size_2, size_3, size_4, size_5;
  int32_t stride_0, stride_1, stride_2, stride_3, stride_4, stride_5;
  int32_t offset;
} edgec_strided_copy_params;

typedef struct edgec_concat_params {
  int32_t outer, inner_a, inner_b;
} edgec_concat_params;

typedef struct edgec_pad_params {
  int32_t size_0, size_1, size_2, size_3;
  int32_t before_0, before_1, before_2, before_3;
  int32_t after_0, after_1, after_2, after_3;
  int32_t mode, value;
} edgec_pad_params;

typedef struct edgec_gather_params {
  int32_t outer, size, count, inner;
} edgec_gather_params;

typedef struct edgec_constant_params {
  int32_t count;
} edgec_constant_params;

int edgec_strided_copy_check(const void *params, const edgec_sizes *sizes);
int edgec_concat_check(const void *params, const edgec_sizes *sizes);
int edgec_pad_check(const void *params, const edgec_sizes *sizes);
int edgec_gather_check(const void *params, const edgec_sizes *sizes);
int edgec_constant_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
