// max_pool2d, AVX-VNNI. (average_pool2d runs as a depthwise convolution by ones.)
#include "kernels/simd/simd_avx2.h"
#include "kernels/pooling/max_pool_u8.h"

extern "C" void edgec_max_pool__avxvnni(const void *params, uint8_t *const *operands) { max_pool_rows(params, operands); }
