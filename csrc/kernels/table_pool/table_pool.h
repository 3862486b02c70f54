/* Parameters of table_pool2d: members in the order of `fields` in edgec/ops/table_pool.py. */
#ifndef EDGEC_TABLE_POOL_H
#define EDGEC_TABLE_POOL_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_table_pool2d_params {
  int32_t in_h, in_w, channels, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int32_t dilation_h, dilation_w, base, levels, odd_flips, clamp_min, clamp_max;
} edgec_table_pool2d_params;

int edgec_table_pool2d_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
