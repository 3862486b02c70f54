// Operators with activations of 16 bits, avx512vnni.
#include "kernels/simd/simd_avx512.h"
#include "kernels/plain/plain_rows.h"
#include "kernels/wide/wide_rows.h"

EDGEC_WIDE_KERNELS(avx512vnni)
