// max_pool2d, AArch64 with the dot product extension. (average_pool2d runs as a depthwise convolution by ones.)
#include "kernels/simd/simd_neon.h"
#include "kernels/pooling/max_pool_u8.h"

extern "C" void edgec_max_pool__neondot(const void *params, uint8_t *const *operands) { max_pool_rows(params, operands); }
