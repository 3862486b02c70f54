/* Every kernel this library was built with. EDGEC_KERNELS_INC may name another list of EDGEC_KERNEL lines. */
#include "kernel.h"

#ifndef EDGEC_KERNELS_INC
#define EDGEC_KERNELS_INC "../kernels/kernels.inc"
#endif

#define EDGEC_KERNEL(id, opcode, packing, isa, symbol, family) extern const edgec_kernel symbol##_kernel;
#include EDGEC_KERNELS_INC
#undef EDGEC_KERNEL

const edgec_kernel *const edgec_kernels_all[] = {
#define EDGEC_KERNEL(id, opcode, packing, isa, symbol, family) &symbol##_kernel,
#include EDGEC_KERNELS_INC
#undef EDGEC_KERNEL
    NULL};
