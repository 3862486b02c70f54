// Weights, biases and multipliers in the order a tier's kernels read them; done once, when an artifact is opened.
#ifndef EDGEC_HOST_PACKING_H
#define EDGEC_HOST_PACKING_H

#include <functional>
#include <vector>

#include "host/plan.h"
#include "host/tier.h"

namespace edgec {

// A matrix of weights as its operator has it: element k of channel c, 0 where a dword is filled up.
using WeightAt = std::function<int(int channel, int segment, int element)>;

struct PackedConstants {
  const uint8_t *weights;
  const int32_t *bias, *multiplier;
};

// Channel of register n, lane `lane` in a block of NV registers.
int channel_of(const edgec_host_tier &tier, int registers, int n, int lane);

// True where every multiplier may be stored doubled.
bool is_narrow(const int32_t *multiplier, int count);

// For edgec_host_conv: channels [first, first + blocks·NV·lanes), of which those beyond `count` are zero.
// In a tile of halves the channels of the lower half of the lanes are repeated in the upper.
PackedConstants pack_conv(Plan &plan, const edgec_host_tier &tier, const edgec_host_tile &tile, int first, int count, int segments, int dwords,
                          const WeightAt &weight, const int32_t *bias, const int32_t *multiplier, bool narrow);

// For edgec_host_depthwise. weight(channel, tap row, column): 0 outside the window; rows are single taps where by_taps. Row r of
// `rows_at_once` sees the taps shifted by r.
// bias(channel), multiplier(channel) for channel < pitch.
PackedConstants pack_depthwise(Plan &plan, const edgec_host_tier &tier, int pitch, int channels, int rows_at_once, int groups, int columns,
                               bool by_taps, const WeightAt &weight, const std::function<int32_t(int)> &bias,
                               const std::function<int32_t(int)> &multiplier, bool narrow);

}  // namespace edgec

#endif
