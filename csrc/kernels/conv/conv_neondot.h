// What the tiers with the dot product extension share.
#ifndef EDGEC_CONV_NEONDOT_H
#define EDGEC_CONV_NEONDOT_H

#include "kernels/simd/simd_neon.h"
#include "kernels/simd/epilogue_s8.h"
#include "kernels/conv/conv_tile_neon.h"
#include "kernels/conv/conv_u8.h"
#include "kernels/conv/depthwise_u8.h"
#include "kernels/conv/depthwise_ring.h"

#define TILE(MR, NV) {MR, NV, 1, &conv<MR, NV>, EDGEC_ORDER_DWORDS}

namespace {

EDGEC_INLINE edgec_host_step ring_of(int32_t pixel_bytes, int32_t rows) {
  if (pixel_bytes % Simd::bytes == 0) {
    return rows == 2 ? &depthwise_ring<16> : &depthwise_planes<16>;
  }
  return pixel_bytes != 8 ? nullptr : rows == 2 ? &depthwise_ring<8> : &depthwise_planes<8>;
}

}  // namespace

#endif
