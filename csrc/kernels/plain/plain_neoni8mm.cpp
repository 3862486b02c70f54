// Operators over the artifact's own bytes, neoni8mm.
#include "kernels/simd/simd_neon.h"
#include "kernels/plain/plain_rows.h"

EDGEC_PLAIN_KERNELS(neoni8mm)
