// Operators over the artifact's own bytes, avx512vnni.
#include "kernels/simd/simd_avx512.h"
#include "kernels/plain/plain_rows.h"

EDGEC_PLAIN_KERNELS(avx512vnni)
