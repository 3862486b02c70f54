// multiply() of conv_tile.h for AArch64: 16 bytes of K a position at a time. Needs Simd before it.
#ifndef EDGEC_CONV_TILE_NEON_H
#define EDGEC_CONV_TILE_NEON_H

namespace {

// The bias in every accumulator of a tile.
template <int MR, int NV> EDGEC_INLINE void start(const int32_t *bias, V (&acc)[MR][NV]) {
  Simd::load_constants(bias, acc[0]);
  unroll<(MR - 1) * NV>([&](auto i) EDGEC_LAMBDA { acc[1 + i / NV][i % NV] = acc[0][i % NV]; });
}

// From how many positions on load_kept() is the shorter loop: below, and without sdot, GCC 12 adds an instruction for its addresses.
#ifdef __ARM_FEATURE_DOTPROD
constexpr int kept_loads = 3;
#else
constexpr int kept_loads = INT32_MAX;
#endif

// Walks K, `dword_bytes` of weights a dword: step(x, Index<i>(), w) for dword i of 16 bytes x of each position and of the weights w.
// 1 to 3 dwords may be left over at the end of a segment, whose 16 bytes reach beyond it.
template <int MR, int dword_bytes, typename Step>
EDGEC_INLINE void walk(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *w, const Step &step) {
  const uint8_t *position[MR];
  unroll<MR>([&](auto m) EDGEC_LAMBDA { position[m] = input + in_offset[m]; });
  const int32_t rest = c.segment_dwords % 4;
  for (int32_t s = 0; s < c.segments; s++) {
    intptr_t at = c.segment_offset[s];
    const auto load = [&](V(&x)[MR]) EDGEC_LAMBDA {
      unroll<MR>([&](auto m) EDGEC_LAMBDA {
        if constexpr (MR >= kept_loads) {
          x[m] = Simd::load_kept(position[m] + at);
        } else {
          x[m] = Simd::load(position[m] + at);
          Simd::keep(x[m]);
        }
      });
    };
    for (const uint8_t *const whole = w + (c.segment_dwords - rest) * dword_bytes; w != whole; w += 4 * dword_bytes) {
      V x[MR];
      load(x);
      unroll<4>([&](auto i) EDGEC_LAMBDA { step(x, i, w); });
      at += 16;
    }
    if (rest != 0) {
      V x[MR];
      load(x);
      unroll<3>([&](auto i) EDGEC_LAMBDA {
        if (rest > i) {
          step(x, i, w);
        }
      });
      w += rest * dword_bytes;
    }
  }
}

#ifdef __ARM_FEATURE_DOTPROD

template <int MR, int NV> EDGEC_INLINE void multiply(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *w,
                                                     const int32_t *bias, V (&acc)[MR][NV]) {
  start(bias, acc);
  walk<MR, NV * Simd::bytes>(c, input, in_offset, w, [&](const V(&x)[MR], auto i, const uint8_t *at) EDGEC_LAMBDA {
    constexpr int together = NV < 2 ? NV : 2;
    unroll<NV / together>([&](auto g) EDGEC_LAMBDA {
      V weights[together];
      Simd::load_constants<(decltype(i)::value * NV + decltype(g)::value * together) * Simd::bytes>(at, weights);
      unroll<together>([&](auto j) EDGEC_LAMBDA {
        unroll<MR>([&](auto m) EDGEC_LAMBDA { Simd::dot_lane<decltype(i)::value>(acc[m][g * together + j], weights[j], x[m]); });
      });
    });
  });
}

#else

// Two products a lane of int16, then both halves of each dword to int32: exact, as 2 · 128 · 127 fits int16. Where a weight is −128,
// one product at a time.
template <int MR, int NV, bool least>
EDGEC_INLINE void multiply_pairs_of_taps(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *w,
                                         const int32_t *bias, V (&acc)[MR][NV]) {
  start(bias, acc);
  walk<MR, NV * Simd::bytes>(c, input, in_offset, w, [&](const V(&x)[MR], auto i, const uint8_t *at) EDGEC_LAMBDA {
    V weights[NV];
    Simd::load_constants<decltype(i)::value * NV * Simd::bytes>(at, weights);
    unroll<MR>([&](auto m) EDGEC_LAMBDA {
      const int8x16_t first = Simd::b(Simd::v(vdupq_laneq_s16(Simd::h(x[m]), 2 * decltype(i)::value)));
      const int8x16_t last = Simd::b(Simd::v(vdupq_laneq_s16(Simd::h(x[m]), 2 * decltype(i)::value + 1)));
      unroll<NV>([&](auto n) EDGEC_LAMBDA {
        const int16x8_t products = vmull_s8(vget_low_s8(Simd::b(weights[n])), vget_low_s8(first));
        if constexpr (least) {
          Simd::add_pairs(acc[m][n], products);
          Simd::add_pairs(acc[m][n], vmull_high_s8(Simd::b(weights[n]), last));
        } else {
          Simd::add_pairs(acc[m][n], vmlal_high_s8(products, Simd::b(weights[n]), last));
        }
      });
    });
  });
}

template <int MR, int NV> EDGEC_INLINE void multiply(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *w,
                                                     const int32_t *bias, V (&acc)[MR][NV]) {
  if (__builtin_expect(c.least != 0, 0)) {
    multiply_pairs_of_taps<MR, NV, true>(c, input, in_offset, w, bias, acc);
  } else {
    multiply_pairs_of_taps<MR, NV, false>(c, input, in_offset, w, bias, acc);
  }
}

#endif

// at_once positions of 16 / at_once bytes each, of which `there` exist.
template <int at_once, int pieces> EDGEC_INLINE V gather(const uint8_t *from, const int32_t *offset, int32_t there) {
  const auto at = [&](int32_t position) EDGEC_LAMBDA { return from + offset[position < there ? position : there - 1]; };
  if constexpr (at_once == 4) {
    V q = Simd::zero();
    unroll<4>([&](auto i) EDGEC_LAMBDA {
      int32_t dword;
      __builtin_memcpy(&dword, at(i), 4);
      q = vsetq_lane_s32(dword, q, i);
    });
    return q;
  } else {
    return Simd::v(vcombine_s8(vld1_s8(reinterpret_cast<const int8_t *>(at(0))), vld1_s8(reinterpret_cast<const int8_t *>(at(1)))));
  }
}

using Dword [[gnu::aligned(1), gnu::may_alias]] = int32_t;
using Qword [[gnu::aligned(1), gnu::may_alias]] = int64_t;

template <int at_once, int pieces, int there> EDGEC_INLINE void scatter(uint8_t *to, const int32_t *offset, V q, int32_t count) {
  unroll<there>([&](auto i) EDGEC_LAMBDA {
    constexpr int each = 16 / at_once;
    if (__builtin_expect(count >= each, 1)) {
      if constexpr (at_once == 4) {
        *reinterpret_cast<Dword *>(to + offset[i]) = vgetq_lane_s32(q, i);
      } else {
        *reinterpret_cast<Qword *>(to + offset[i]) = vgetq_lane_s64(Simd::d(q), i);
      }
    } else {
      V piece = q;
      if constexpr (i * each != 0) {
        piece = Simd::v(vextq_s8(Simd::b(q), Simd::b(q), i * each));
      }
      Simd::store_head(to + offset[i], piece, count);
    }
  });
}

}  // namespace

#endif
