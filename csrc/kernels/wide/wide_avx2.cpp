// Operators with activations of 16 bits, avx2.
#include "kernels/simd/simd_avx2.h"
#include "kernels/plain/plain_rows.h"
#include "kernels/wide/wide_rows.h"

EDGEC_WIDE_KERNELS(avx2)
