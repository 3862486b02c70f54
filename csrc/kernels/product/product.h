/* Parameters of mul, div, minimum and maximum: members in the order of `fields` in edgec/ops/product.py and division.py. */
#ifndef EDGEC_PRODUCT_H
#define EDGEC_PRODUCT_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_mul_params {
  int32_t size_0, size_1, size_2, size_3;
  int32_t stride_a_0, stride_a_1, stride_a_2, stride_a_3;
  int32_t stride_b_0, stride_b_1, stride_b_2, stride_b_3;
  int32_t zero_point_a, zero_point_b, multiplier, out_zero_point, clamp_min, clamp_max, shift;
} edgec_mul_params;

typedef struct edgec_div_params {
  int32_t size_0, size_1, size_2, size_3;
  int32_t stride_a_0, stride_a_1, stride_a_2, stride_a_3;
  int32_t stride_b_0, stride_b_1, stride_b_2, stride_b_3;
  int32_t zero_point_a, out_zero_point, clamp_min, clamp_max, shift;
} edgec_div_params;

typedef struct edgec_minimum_params {
  int32_t count;
} edgec_minimum_params;

typedef edgec_minimum_params edgec_maximum_params;

int edgec_mul_check(const void *params, const edgec_sizes *sizes);
int edgec_div_check(const void *params, const edgec_sizes *sizes);
int edgec_minimum_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
