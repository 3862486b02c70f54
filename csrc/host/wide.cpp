// Operators with activations of 16 bits: packs what the tiers' kernels (csrc/kernels/wide/wide_rows.h) read. They run on the
// artifact's own bytes, with the input widened and padded in scratch.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "host/plain.h"
#include "host/plain_tier.h"
#include "kernels/wide/wide.h"

namespace edgec {

namespace {

template <typename T> T *zeroes(Plan &plan, size_t count) { return reinterpret_cast<T *>(plan.keep_bytes(count * sizeof(T))); }

// Where the windows of `p` begin in its image, and where their segments of taps lie.
void place_windows(Plan &plan, const edgec_conv2d_s16_params &p, edgec_host_wide_conv &c, int segment_pixels) {
  auto *const in_offset = zeroes<int32_t>(plan, static_cast<size_t>(p.out_h) * p.out_w);
  for (int y = 0; y < p.out_h; y++) {
    for (int x = 0; x < p.out_w; x++) {
      in_offset[y * p.out_w + x] = 2 * (y * p.stride_h * c.columns + x * p.stride_w) * p.in_c;
    }
  }
  const int across = p.kernel_w / segment_pixels;
  c.segments = p.kernel_h * across;
  auto *const segment = zeroes<int32_t>(plan, static_cast<size_t>(c.segments));
  for (int s = 0; s < c.segments; s++) {
    segment[s] = 2 * (s / across * p.dilation_h * c.columns + s % across * p.dilation_w) * p.in_c;
  }
  c.in_offset = in_offset;
  c.segment_offset = segment;
}

PlainStep conv_step(Plan &plan, const edgec_host_wide &kernels, const Record &record) {
  const auto &p = record.as<edgec_conv2d_s16_params>();
  const bool depthwise = p.groups == p.in_c && p.in_c == p.out_c && p.groups > 1;
  if (p.narrow != 0 || (p.groups != 1 && !depthwise)) {
    return {};
  }
  edgec_host_wide_conv c{};
  c.params = record.params;
  c.columns = std::max((p.out_w - 1) * p.stride_w + (p.kernel_w - 1) * p.dilation_w + 1, p.pad_left + p.in_w);
  c.rows = std::max((p.out_h - 1) * p.stride_h + (p.kernel_h - 1) * p.dilation_h + 1, p.pad_top + p.in_h);
  const int whole = p.dilation_w == 1 && !depthwise ? p.kernel_w : 1;
  place_windows(plan, p, c, whole);
  const int run = depthwise ? 1 : whole * p.in_c;
  const auto lanes = static_cast<int>(kernels.lanes);
  c.dwords = (run + 1) / 2;
  c.registers = depthwise || p.out_c <= lanes ? 1 : edgec_wide_registers;
  const int block = c.registers * lanes;
  c.blocks = (p.out_c + block - 1) / block;
  c.direct = p.in_bits == 16 && !depthwise && run % 2 == 0 && c.columns == p.in_w && c.rows == p.in_h;
  const size_t channels = static_cast<size_t>(c.blocks) * block;
  auto *const bias = zeroes<int32_t>(plan, channels), *const multiplier = zeroes<int32_t>(plan, channels);
  std::memcpy(bias, record.constant[1], 4 * static_cast<size_t>(p.out_c));
  std::memcpy(multiplier, record.constant[2], 4 * static_cast<size_t>(p.out_c));
  auto *const weights = zeroes<int16_t>(plan, channels * c.segments * c.dwords * 2);
  const auto *const from = static_cast<const int8_t *>(record.constant[0]);
  for (int oc = 0; oc < p.out_c; oc++) {
    for (int s = 0; s < c.segments; s++) {
      for (int k = 0; k < run; k++) {
        const int w = from[(static_cast<size_t>(oc) * c.segments + s) * run + k];
        const size_t dword = (static_cast<size_t>(oc / block) * c.segments + s) * c.dwords + k / 2;
        int16_t *const registers = weights + (dword * c.registers + oc % block / lanes) * 2 * lanes;
        if (depthwise && !kernels.pairs) {
          const int32_t word = w;  // a whole lane
          std::memcpy(registers + 2 * (oc % lanes), &word, sizeof word);
        } else {
          registers[kernels.pairs ? 2 * (oc % lanes) + k % 2 : k % 2 * lanes + oc % lanes] = static_cast<int16_t>(w);
        }
      }
    }
  }
  c.bias = bias;
  c.multiplier = multiplier;
  c.weights = weights;
  const double macs = static_cast<double>(p.out_h) * p.out_w * p.out_c * c.segments * run;
  PlainStep step{depthwise ? kernels.depthwise : kernels.conv, plan.keep(c), 50.0 + 3.0 * macs / (2 * lanes), 0};
  step.scratch = c.direct ? 0 : 2 * (static_cast<size_t>(c.rows) * c.columns * p.in_c + 2 * lanes);
  return step;
}

// Whether 32 bits hold the sum without its lower 15 bits.
bool splits(const edgec_add_s16_params &p) {
  const int64_t a = std::llabs(static_cast<long long>(p.multiplier_a)) << (p.a_bits - 1), b = std::llabs(static_cast<long long>(p.multiplier_b)) << (p.b_bits - 1);
  const int64_t c = (std::llabs(static_cast<long long>(p.offset_high)) + 1) * (int64_t{1} << 32);
  return p.shift >= 15 && a + b + c < (int64_t{1} << 46) - (1 << 15);
}

}  // namespace

PlainStep wide_step(Plan &plan, const edgec_host_tier &tier, const Record &record) {
  edgec_host_step run = nullptr;
  switch (record.opcode) {
    case op_conv2d_s16: return conv_step(plan, *tier.wide, record);
    case op_average_pool2d_s16: run = tier.wide->average_pool; break;
    case op_add_s16: run = splits(record.as<edgec_add_s16_params>()) ? tier.wide->add : nullptr; break;
    case op_rescale_s16: run = tier.wide->rescale; break;
    default: break;
  }
  if (run == nullptr) {
    return {};
  }
  const edgec_host_plain_step step = {record.params, {record.constant[0], record.constant[1]}};
  return {run, plan.keep(step), 50.0 + record.output.bytes, 0};
}

}  // namespace edgec
