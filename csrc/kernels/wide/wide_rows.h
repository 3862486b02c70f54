// Operators with activations of 16 bits on a host tier, over the artifact's own bytes: tiles of positions by registers of channels, products
// of int16 by int16 weights in 32-bit lanes. csrc/host/wide.cpp packs the weights. Needs the tier's Simd and plain_rows.h before it.
#ifndef EDGEC_WIDE_ROWS_H
#define EDGEC_WIDE_ROWS_H

#include "kernels/wide/wide.h"

namespace {

using PlainHalves = int16_t __attribute__((vector_size(2 * plain_lanes)));

EDGEC_PLAIN PlainWords wide_load(const uint8_t *p, int32_t bits) {
  if (bits == 8) {
    return plain_load(reinterpret_cast<const int8_t *>(p));
  }
  PlainHalves halves;
  __builtin_memcpy(&halves, p, sizeof halves);
  return __builtin_convertvector(halves, PlainWords);
}

EDGEC_PLAIN void wide_store(uint8_t *p, PlainWords words, int32_t bits) {
  if (bits == 8) {
    plain_store(reinterpret_cast<int8_t *>(p), words);
    return;
  }
  const PlainHalves halves = __builtin_convertvector(words, PlainHalves);
  __builtin_memcpy(p, &halves, sizeof halves);
}

// `count` lanes, at most all.
EDGEC_PLAIN PlainWords wide_load_head(const uint8_t *p, int32_t bits, int32_t count) {
  if (count >= plain_lanes) {
    return wide_load(p, bits);
  }
  uint8_t whole[2 * plain_lanes] = {0};
  __builtin_memcpy(whole, p, static_cast<unsigned long>(count * bits / 8));
  return wide_load(whole, bits);
}

EDGEC_PLAIN void wide_store_head(uint8_t *p, PlainWords words, int32_t bits, int32_t count) {
  if (count >= plain_lanes) {
    wide_store(p, words, bits);
    return;
  }
  uint8_t whole[2 * plain_lanes];
  wide_store(whole, words, bits);
  __builtin_memcpy(p, whole, static_cast<unsigned long>(count * bits / 8));
}

template <typename P> EDGEC_PLAIN PlainScale wide_scale(const P &p, int32_t multiplier) {
  const int32_t high = INT32_MAX >> p.shift;
  return {multiplier, p.shift, -high - 1, high, p.out_zero_point, p.clamp_min, p.clamp_max};
}

// Two taps of a position, in one dword, by the same of `lanes` channels.
EDGEC_PLAIN void wide_dot(Simd::V &acc, const uint8_t *x, Simd::V w) {
#if defined(__x86_64__)
#if defined(__AVX512VNNI__)
  __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(Simd::broadcast(x)), "v"(w));
#else
  Simd::V products;
  __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(products) : "x"(Simd::broadcast(x)), "x"(w));
#endif
#else
  int32_t pair;
  __builtin_memcpy(&pair, x, sizeof pair);
  const int16x4_t taps = vreinterpret_s16_s32(vdup_n_s32(pair));
  acc = vmlal_lane_s16(acc, vget_low_s16(Simd::h(w)), taps, 0);
  acc = vmlal_lane_s16(acc, vget_high_s16(Simd::h(w)), taps, 1);
#endif
}

#if defined(__x86_64__)
constexpr int wide_pairs = 1;
#else
constexpr int wide_pairs = 0;
#endif
constexpr int wide_positions = plain_lanes == 16 ? 8 : 4;

// All channels of a block of `n` registers, at positions whose bytes begin at x. y: of its first channel at each position.
template <int n> EDGEC_PLAIN void wide_tile(const edgec_host_wide_conv &c, const uint8_t *const *x, uint8_t *const *y, int32_t block) {
  const edgec_conv2d_s16_params &p = *static_cast<const edgec_conv2d_s16_params *>(c.params);
  const int32_t first = block * n * plain_lanes;
  Simd::V acc[wide_positions][n];
  unroll<n>([&](auto r) EDGEC_LAMBDA {
    const Simd::V bias = Simd::load(c.bias + first + r * plain_lanes);
    unroll<wide_positions>([&](auto m) EDGEC_LAMBDA { acc[m][r] = bias; });
  });
  const int16_t *w = c.weights + static_cast<long>(block) * c.segments * c.dwords * 2 * n * plain_lanes;
  for (int32_t s = 0; s < c.segments; s++) {
    const long from = c.segment_offset[s], to = from + 4l * c.dwords;
    for (long at = from; at != to; at += 4) {
      Simd::V weights[n];
      unroll<n>([&](auto r) EDGEC_LAMBDA { weights[r] = Simd::load(w + r * 2 * plain_lanes); });
      w += n * 2 * plain_lanes;
      unroll<wide_positions>([&](auto m) EDGEC_LAMBDA {
        unroll<n>([&](auto r) EDGEC_LAMBDA { wide_dot(acc[m][r], x[m] + at, weights[r]); });
      });
    }
  }
  const PlainScale scale = wide_scale(p, 0);
  unroll<n>([&](auto r) EDGEC_LAMBDA {
    const int32_t channel = first + r * plain_lanes;
    if (channel < p.out_c) {
      const PlainWords multiplier = reinterpret_cast<PlainWords>(Simd::load(c.multiplier + channel));
      unroll<wide_positions>([&](auto m) EDGEC_LAMBDA {
        const PlainWords value = plain_requantize(reinterpret_cast<PlainWords>(acc[m][r]), multiplier, scale);
        wide_store_head(y[m] + channel * p.out_bits / 8, value, p.out_bits, p.out_c - channel);
      });
    }
  });
}

// The input as int16 with its padding around it; where that is how it lies, itself.
EDGEC_PLAIN const uint8_t *wide_image(const edgec_host_wide_conv &c, const uint8_t *input, uint8_t *scratch) {
  const edgec_conv2d_s16_params &p = *static_cast<const edgec_conv2d_s16_params *>(c.params);
  if (c.direct) {
    return input;
  }
  int16_t *to = reinterpret_cast<int16_t *>(scratch);
  const int16_t padding = static_cast<int16_t>(p.in_zero_point);
  const int32_t row = c.columns * p.in_c, left = p.pad_left * p.in_c, inside = p.in_w * p.in_c;
  for (int32_t y = -p.pad_top; y < c.rows - p.pad_top; y++) {
    const bool is_inside = y >= 0 && y < p.in_h;
    for (int32_t i = 0; i < (is_inside ? left : row); i++) {
      to[i] = padding;
    }
    if (is_inside) {
      if (p.in_bits == 16) {
        __builtin_memcpy(to + left, input, 2ul * static_cast<unsigned long>(inside));
      } else {
        const int8_t *const from = reinterpret_cast<const int8_t *>(input);
        for (int32_t i = 0; i < inside; i++) {
          to[left + i] = from[i];
        }
      }
      input += inside * p.in_bits / 8;
      for (int32_t i = left + inside; i < row; i++) {
        to[i] = padding;
      }
    }
    to += row;
  }
  return scratch;
}

// Tiles of positions; the last one begins where it ends with the last position, or has that position more than once.
template <typename F> EDGEC_PLAIN void wide_tiles(const edgec_host_wide_conv &c, const uint8_t *image, uint8_t *output, const F &tile) {
  const edgec_conv2d_s16_params &p = *static_cast<const edgec_conv2d_s16_params *>(c.params);
  const int32_t positions = p.out_h * p.out_w, pixel = p.out_c * p.out_bits / 8;
  for (int32_t done = 0; done < positions; done += wide_positions) {
    const int32_t at = positions - done >= wide_positions ? done : positions >= wide_positions ? positions - wide_positions : 0;
    const uint8_t *x[wide_positions];
    uint8_t *y[wide_positions];
    for (int32_t i = 0; i < wide_positions; i++) {
      const int32_t position = at + i < positions ? at + i : positions - 1;
      x[i] = image + c.in_offset[position];
      y[i] = output + static_cast<long>(position) * pixel;
    }
    tile(x, y);
  }
}

EDGEC_PLAIN void wide_conv(const void *params, uint8_t *const *operands) {
  const edgec_host_wide_conv &c = *static_cast<const edgec_host_wide_conv *>(params);
  const uint8_t *const image = wide_image(c, operands[0], operands[3]);
  wide_tiles(c, image, operands[2], [&](const uint8_t *const *x, uint8_t *const *y) EDGEC_LAMBDA {
    for (int32_t block = 0; block < c.blocks; block++) {
      if (c.registers == 1) {
        wide_tile<1>(c, x, y, block);
      } else {
        wide_tile<edgec_wide_registers>(c, x, y, block);
      }
    }
  });
}

// x * w of one tap: weights are int16, so that on x86 their products are those of the lower halves.
EDGEC_PLAIN PlainWords wide_product(PlainWords x, PlainWords w) {
#if defined(__x86_64__)
  return reinterpret_cast<PlainWords>(Simd::madd16(reinterpret_cast<Simd::V>(x), reinterpret_cast<Simd::V>(w)));
#else
  return x * w;
#endif
}

// Weights: of each block of channels, for each tap a dword a lane, on x86 with upper half 0.
EDGEC_PLAIN void wide_depthwise(const void *params, uint8_t *const *operands) {
  const edgec_host_wide_conv &c = *static_cast<const edgec_host_wide_conv *>(params);
  const edgec_conv2d_s16_params &p = *static_cast<const edgec_conv2d_s16_params *>(c.params);
  const PlainScale scale = wide_scale(p, 0);
  const uint8_t *const image = wide_image(c, operands[0], operands[3]);
  wide_tiles(c, image, operands[2], [&](const uint8_t *const *x, uint8_t *const *y) EDGEC_LAMBDA {
    const int16_t *w = c.weights;
    for (int32_t channel = 0; channel < p.out_c; channel += plain_lanes) {
      PlainWords acc[wide_positions];
      const PlainWords bias = reinterpret_cast<PlainWords>(Simd::load(c.bias + channel));
      unroll<wide_positions>([&](auto m) EDGEC_LAMBDA { acc[m] = bias; });
      for (int32_t s = 0; s < c.segments; s++) {
        const PlainWords weights = reinterpret_cast<PlainWords>(Simd::load(w));
        w += 2 * plain_lanes;
        const long at = c.segment_offset[s] + 2l * channel;
        unroll<wide_positions>([&](auto m) EDGEC_LAMBDA { acc[m] += wide_product(wide_load(x[m] + at, 16), weights); });
      }
      const PlainWords multiplier = reinterpret_cast<PlainWords>(Simd::load(c.multiplier + channel));
      unroll<wide_positions>([&](auto m) EDGEC_LAMBDA {
        wide_store_head(y[m] + channel * p.out_bits / 8, plain_requantize(acc[m], multiplier, scale), p.out_bits, p.out_c - channel);
      });
    }
  });
}

EDGEC_PLAIN void wide_average_pool(const void *params, uint8_t *const *operands) {
  const edgec_host_plain_step &step = *static_cast<const edgec_host_plain_step *>(params);
  const edgec_average_pool2d_s16_params &p = *static_cast<const edgec_average_pool2d_s16_params *>(step.params);
  const int32_t *const multiplier = static_cast<const int32_t *>(step.constant[0]);
  const int32_t pixel = p.channels * p.in_bits / 8;
  uint8_t *y = operands[2];
  for (int32_t oy = 0; oy < p.out_h; oy++) {
    const int32_t top = oy * p.stride_h - p.pad_top, y0 = top < 0 ? 0 : top, y1 = top + p.kernel_h < p.in_h ? top + p.kernel_h : p.in_h;
    for (int32_t ox = 0; ox < p.out_w; ox++) {
      const int32_t left = ox * p.stride_w - p.pad_left, x0 = left < 0 ? 0 : left, x1 = left + p.kernel_w < p.in_w ? left + p.kernel_w : p.in_w;
      const int32_t taps = (y1 - y0) * (x1 - x0);
      const PlainScale scale = wide_scale(p, multiplier[p.multipliers == 1 ? 0 : taps - 1]);
      for (int32_t c = 0; c < p.channels; c += plain_lanes) {
        const int32_t count = p.channels - c < plain_lanes ? p.channels - c : plain_lanes;
        const PlainWords none = {};
        PlainWords sum = none - taps * p.in_zero_point;
        for (int32_t iy = y0; iy < y1; iy++) {
          const uint8_t *x = operands[0] + (iy * p.in_w + x0) * static_cast<long>(pixel) + c * p.in_bits / 8;
          for (int32_t ix = x0; ix < x1; ix++, x += pixel) {
            sum += wide_load_head(x, p.in_bits, count);
          }
        }
        wide_store_head(y, plain_requantize(sum, scale), p.out_bits, count);
        y += count * p.out_bits / 8;
      }
    }
  }
}

// a * ma + b * mb + c in two parts that 32 bits hold: factors' lower 15 bits, then the rest. csrc/host/wide.cpp asks whether they do.
EDGEC_PLAIN void wide_add(const void *params, uint8_t *const *operands) {
  const edgec_add_s16_params &p = *static_cast<const edgec_add_s16_params *>(static_cast<const edgec_host_plain_step *>(params)->params);
  const int32_t mask = (1 << 15) - 1;
  const int32_t ma = p.multiplier_a & mask, mb = p.multiplier_b & mask, c = p.offset_low & mask, shift = p.shift - 15;
  const uint64_t offset = static_cast<uint64_t>(static_cast<uint32_t>(p.offset_high)) << 32 | static_cast<uint32_t>(p.offset_low);
  const int32_t ha = p.multiplier_a >> 15, hb = p.multiplier_b >> 15, hc = static_cast<int32_t>(static_cast<uint32_t>(offset >> 15));
  for (int32_t i = 0; i < p.count; i += plain_lanes) {
    const int32_t count = p.count - i;
    using Wrapping = uint32_t __attribute__((vector_size(4 * plain_lanes)));
    const PlainWords a = wide_load_head(operands[0] + i * p.a_bits / 8, p.a_bits, count), b = wide_load_head(operands[1] + i * p.b_bits / 8, p.b_bits, count);
    const PlainWords low = (a * ma + b * mb + c) >> 15;
    const Wrapping sum = reinterpret_cast<Wrapping>(low) + reinterpret_cast<Wrapping>(a) * static_cast<uint32_t>(ha) +
                         reinterpret_cast<Wrapping>(b) * static_cast<uint32_t>(hb) + static_cast<uint32_t>(hc);
    const PlainWords value = plain_clamp(reinterpret_cast<PlainWords>(sum) >> shift, p.clamp_min, p.clamp_max);
    wide_store_head(operands[2] + i * p.out_bits / 8, value, p.out_bits, count);
  }
}

EDGEC_PLAIN void wide_rescale(const void *params, uint8_t *const *operands) {
  const edgec_rescale_s16_params &p = *static_cast<const edgec_rescale_s16_params *>(static_cast<const edgec_host_plain_step *>(params)->params);
  const PlainScale scale = wide_scale(p, p.multiplier);
  for (int32_t i = 0; i < p.count; i += plain_lanes) {
    const PlainWords x = wide_load_head(operands[0] + i * p.in_bits / 8, p.in_bits, p.count - i) - p.in_zero_point;
    wide_store_head(operands[2] + i * p.out_bits / 8, plain_requantize(x, scale), p.out_bits, p.count - i);
  }
}

}  // namespace

// Of a tier: conv2d_s16, as depthwise too, average_pool2d_s16, add_s16, rescale_s16.
#define EDGEC_WIDE_KERNELS(tier)                                                                                  \
  namespace {                                                                                                     \
  void run_conv(const void *params, uint8_t *const *operands) { wide_conv(params, operands); }                    \
  void run_depthwise(const void *params, uint8_t *const *operands) { wide_depthwise(params, operands); }          \
  void run_average_pool(const void *params, uint8_t *const *operands) { wide_average_pool(params, operands); }    \
  void run_add(const void *params, uint8_t *const *operands) { wide_add(params, operands); }                      \
  void run_rescale(const void *params, uint8_t *const *operands) { wide_rescale(params, operands); }              \
  }                                                                                                               \
  extern "C" const edgec_host_wide edgec_wide__##tier = {plain_lanes, wide_pairs, &run_conv, &run_depthwise, &run_average_pool, &run_add, &run_rescale};

#endif
