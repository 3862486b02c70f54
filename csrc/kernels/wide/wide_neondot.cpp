// Operators with activations of 16 bits, neondot.
#include "kernels/simd/simd_neon.h"
#include "kernels/plain/plain_rows.h"
#include "kernels/wide/wide_rows.h"

EDGEC_WIDE_KERNELS(neondot)
