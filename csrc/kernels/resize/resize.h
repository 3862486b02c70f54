/* Parameters of resize: members in the order of `fields` in edgec/ops/resize.py. */
#ifndef EDGEC_RESIZE_H
#define EDGEC_RESIZE_H

#include "../../runtime/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgec_resize_params {
  int32_t in_h, in_w, channels, out_h, out_w;
} edgec_resize_params;

int edgec_resize_check(const void *params, const edgec_sizes *sizes);

#ifdef __cplusplus
}
#endif

#endif
