// Operators with activations of 16 bits, neoni8mm.
#include "kernels/simd/simd_neon.h"
#include "kernels/plain/plain_rows.h"
#include "kernels/wide/wide_rows.h"

EDGEC_WIDE_KERNELS(neoni8mm)
