#include "host/packing.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace edgec {

namespace {

uint32_t dword_of(const edgec_host_tier &tier, const int *taps) {
  uint32_t dword = 0;
  for (int i = 0; i < tier.group; i++) {
    dword |= tier.group == 4 ? static_cast<uint32_t>(static_cast<uint8_t>(taps[i])) << (8 * i)
                             : static_cast<uint32_t>(static_cast<uint16_t>(taps[i])) << (16 * i);
  }
  return dword;
}

void store_dword(uint8_t *&to, uint32_t dword) {
  std::memcpy(to, &dword, 4);
  to += 4;
}

// Bytes of the other operand are q + 128 where the tier's element is a byte: 128·Σw belongs into the bias. Wraps as the kernels do.
int32_t corrected(const edgec_host_tier &tier, int32_t bias, int64_t weight_sum) {
  return tier.kind == EDGEC_KIND_U8 ? static_cast<int32_t>(static_cast<uint32_t>(bias) - static_cast<uint32_t>(128 * weight_sum)) : bias;
}

// What a tier's epilogue multiplies by: SQRDMULH doubles, M is even.
int32_t stored_multiplier(const edgec_host_tier &tier, int32_t multiplier, bool narrow) {
  return tier.kind == EDGEC_KIND_Q8 ? multiplier / 2 : narrow ? 2 * multiplier : multiplier;
}

// Of register n of a block. M of the lanes, then those of the odd lanes in the even ones; M alone where SQRDMULH takes all lanes.
void store_multipliers(const edgec_host_tier &tier, int32_t *block, int n, const std::vector<int32_t> &lanes) {
  const size_t count = lanes.size();
  if (tier.kind == EDGEC_KIND_Q8) {
    std::copy(lanes.begin(), lanes.end(), block + static_cast<size_t>(n) * count);
    return;
  }
  int32_t *const to = block + 2 * static_cast<size_t>(n) * count;
  for (size_t i = 0; i < count; i++) {
    to[i] = lanes[i];
    to[count + i] = i % 2 == 0 ? lanes[i + 1] : 0;
  }
}

// Tap i of a lane of register n at dword d of K: its channel in the block, and its element of K.
struct Tap {
  int channel, element;
};
Tap tap_at(const edgec_host_tier &tier, const edgec_host_tile &tile, int d, int n, int lane, int i) {
  if (tile.order == EDGEC_ORDER_OCTETS) {
    const int pair = d % 2 * tile.registers + n;  // of channels: both dwords take twice as many registers of two
    return {2 * pair + lane / 2, (d - d % 2 + lane % 2) * tier.group + i};
  }
  if (tile.order == EDGEC_ORDER_PAIRS) {
    const int byte = lane * tier.group + i;
    return {n * tier.lanes + byte % 8 / 2, d * tier.group + byte / 8 * 2 + byte % 2};
  }
  return {channel_of(tier, tile.registers, n, tile.halves == 2 ? lane % (tier.lanes / 2) : lane), d * tier.group + i};
}

}  // namespace

int channel_of(const edgec_host_tier &tier, int registers, int n, int lane) {
  const int together = registers < tier.group ? registers : tier.group;
  return n / together * together * tier.lanes + lane / 4 * 4 * together + n % together * 4 + lane % 4;
}

bool is_narrow(const int32_t *multiplier, int count) {
  for (int i = 0; i < count; i++) {
    if (multiplier[i] < 0 || multiplier[i] >= 1 << 30) {
      return false;
    }
  }
  return true;
}

PackedConstants pack_conv(Plan &plan, const edgec_host_tier &tier, const edgec_host_tile &tile, int first, int count, int segments, int dwords,
                          const WeightAt &weight, const int32_t *bias, const int32_t *multiplier, bool narrow) {
  const int registers = tile.registers;
  const bool halves = tile.halves == 2;
  const int block_channels = registers * tier.lanes;
  const int blocks = (count + block_channels - 1) / block_channels;
  const size_t channels = static_cast<size_t>(blocks * block_channels);
  uint8_t *const weights = plan.keep_bytes(channels * static_cast<size_t>(segments * dwords * 4));
  int32_t *const biases = reinterpret_cast<int32_t *>(plan.keep_bytes(channels * 4));
  int32_t *const multipliers = reinterpret_cast<int32_t *>(plan.keep_bytes(channels * 8));
  uint8_t *to = weights;
  for (int block = 0; block < blocks; block++) {
    std::vector<int64_t> sums(static_cast<size_t>(block_channels), 0);
    for (int s = 0; s < segments; s++) {
      for (int d = 0; d < dwords; d++) {
        for (int n = 0; n < registers; n++) {
          for (int lane = 0; lane < tier.lanes; lane++) {
            int taps[4] = {0, 0, 0, 0};
            for (int i = 0; i < tier.group; i++) {
              const Tap at = tap_at(tier, tile, d, n, lane, i);
              const int c = block * block_channels + at.channel;
              taps[i] = c < count ? weight(first + c, s, at.element) : 0;
              sums[static_cast<size_t>(at.channel)] += taps[i];
            }
            store_dword(to, dword_of(tier, taps));
          }
        }
      }
    }
    for (int n = 0; n < registers; n++) {
      std::vector<int32_t> lanes(static_cast<size_t>(tier.lanes), 0);
      const size_t at = static_cast<size_t>((block * registers + n) * tier.lanes);
      for (int lane = 0; lane < tier.lanes; lane++) {
        const int within = channel_of(tier, registers, n, halves ? lane % (tier.lanes / 2) : lane);
        const int c = block * block_channels + within;
        if (c < count) {
          const int64_t sum = halves ? sums[static_cast<size_t>(within)] / 2 : sums[static_cast<size_t>(within)];
          biases[at + static_cast<size_t>(lane)] = corrected(tier, bias[first + c], sum);
          lanes[static_cast<size_t>(lane)] = stored_multiplier(tier, multiplier[first + c], narrow);
        }
      }
      store_multipliers(tier, multipliers + 2 * block * block_channels, n, lanes);
    }
  }
  return {weights, biases, multipliers};
}

PackedConstants pack_depthwise(Plan &plan, const edgec_host_tier &tier, int pitch, int channels, int rows_at_once, int groups, int columns,
                               bool by_taps, const WeightAt &weight, const std::function<int32_t(int)> &bias,
                               const std::function<int32_t(int)> &multiplier, bool narrow) {
  const int registers = tier.group;  // accumulators of a block: one register of stored elements
  const int block = registers * tier.lanes;
  const int period = pitch / std::gcd(pitch, block);
  const size_t lanes_total = static_cast<size_t>(period * block);
  uint8_t *const weights = plan.keep_bytes(lanes_total * static_cast<size_t>(groups * columns * rows_at_once * 4));
  int32_t *const biases = reinterpret_cast<int32_t *>(plan.keep_bytes(lanes_total * 4));
  int32_t *const multipliers = reinterpret_cast<int32_t *>(plan.keep_bytes(lanes_total * 8));
  uint8_t *to = weights;
  for (int p = 0; p < period; p++) {
    const auto channel = [&](int j, int lane) { return (p * block + channel_of(tier, registers, j, lane)) % pitch; };
    for (int tap = 0; by_taps && tap < groups; tap++) {
      for (int i = 0; i < block; i++) {
        const int c = (p * block + i) % pitch;
        *to++ = static_cast<uint8_t>(c < channels ? weight(c, tap, 0) : 0);
      }
    }
    for (int g = 0; !by_taps && g < groups; g++) {
      for (int k = 0; k < columns; k++) {
        for (int r = 0; r < rows_at_once; r++) {
          for (int j = 0; j < registers; j++) {
            for (int lane = 0; lane < tier.lanes; lane++) {
              const int c = channel(j, lane);
              int taps[4] = {0, 0, 0, 0};
              for (int i = 0; i < tier.group && c < channels; i++) {
                taps[i] = weight(c, g * tier.group + i - r, k);
              }
              store_dword(to, dword_of(tier, taps));
            }
          }
        }
      }
    }
    for (int j = 0; j < registers; j++) {
      std::vector<int32_t> lanes(static_cast<size_t>(tier.lanes), 0);
      const size_t at = static_cast<size_t>((p * registers + j) * tier.lanes);
      for (int lane = 0; lane < tier.lanes; lane++) {
        const int c = channel(j, lane);
        if (c >= channels) {
          continue;
        }
        int64_t sum = 0;
        for (int y = 0; tier.kind == EDGEC_KIND_U8 && y < groups * tier.group; y++) {
          for (int k = 0; k < columns; k++) {
            sum += weight(c, y, k);
          }
        }
        biases[at + static_cast<size_t>(lane)] = corrected(tier, bias(c), sum);
        lanes[static_cast<size_t>(lane)] = stored_multiplier(tier, multiplier(c), narrow);
      }
      store_multipliers(tier, multipliers + 2 * p * block, j, lanes);
    }
  }
  return {weights, biases, multipliers};
}

}  // namespace edgec
