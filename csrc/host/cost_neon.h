// What a tile of an AArch64 tier costs, in instructions: counted from the kernels' loops (csrc/kernels/conv/conv_tile_neon.h).
#ifndef EDGEC_HOST_COST_NEON_H
#define EDGEC_HOST_COST_NEON_H

#include "host/tier.h"

namespace edgec {

// All tiles of `positions` positions, each K of `dwords` dwords; the last tile overlaps the one before it.
inline double neon_tile_cost(const edgec_host_tile &tile, int positions, int dwords) {
  const double rows = tile.rows, registers = tile.registers, accumulators = rows * registers;
  const double tiles = (positions + tile.rows - 1) / tile.rows;
  const double weights = registers / 2;  // a dword: two registers a load
  double dword = 0, after = 0;
  switch (tile.order) {
    case EDGEC_ORDER_OCTETS:
      dword = accumulators / 2 + weights + rows / 2;  // a load and half of two zips every 16 bytes of a position
      after = 1.5 * accumulators;  // from two by two to positions, and the bias of both
      break;
    case EDGEC_ORDER_PAIRS:
      dword = 3 * accumulators + weights + 2.25 * rows;
      break;
    default:
      dword = accumulators + weights + rows / 4;
      break;
  }
  return tiles * (dwords * (dword + 1) + after + 4 * accumulators + 4 * rows + 3 * registers + 20);
}

}  // namespace edgec

#endif
