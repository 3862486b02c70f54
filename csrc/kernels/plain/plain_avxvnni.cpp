// Operators over the artifact's own bytes, avxvnni.
#include "kernels/simd/simd_avx2.h"
#include "kernels/plain/plain_rows.h"

EDGEC_PLAIN_KERNELS(avxvnni)
