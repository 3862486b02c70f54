// max_pool2d, AVX-512. (average_pool2d runs as a depthwise convolution by ones.)
#include "kernels/simd/simd_avx512.h"
#include "kernels/pooling/max_pool_u8.h"

extern "C" void edgec_max_pool__avx512vnni(const void *params, uint8_t *const *operands) { max_pool_rows(params, operands); }
