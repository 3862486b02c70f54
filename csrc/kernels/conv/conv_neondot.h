// What the tiers with the dot product extension share.
#ifndef EDGEC_CONV_NEONDOT_H
#define EDGEC_CONV_NEONDOT_H

#include "kernels/simd/simd_neon.h"
#include "kernels/simd/epilogue_s8.h"
#include "kernels/conv/conv_tile_neon.h"
#include "kernels/conv/conv_u8.h"
#include "kernels/conv/depthwise_u8.h"
#include "kernels/conv/depthwise_ring_neon.h"
#include "kernels/conv/depthwise_taps_neon.h"

#define TILE(MR, NV) {MR, NV, 1, &conv<MR, NV>, EDGEC_ORDER_DWORDS}

namespace {

// At stride 2 tap by tap is faster: two interleaved columns make one row of outputs.
EDGEC_INLINE edgec_host_step ring_of(int32_t pixel_bytes, int32_t rows) {
  if (rows != 2) {
    return nullptr;
  }
  return pixel_bytes == 8 ? &depthwise_ring<8> : pixel_bytes % Simd::bytes == 0 ? &depthwise_ring<16> : nullptr;
}

}  // namespace

#endif
