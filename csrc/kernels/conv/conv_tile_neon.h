// multiply() of conv_tile.h for AArch64: 16 bytes of K a position at a time. Needs Simd before it.
#ifndef EDGEC_CONV_TILE_NEON_H
#define EDGEC_CONV_TILE_NEON_H

namespace {

// The bias in every accumulator of a tile.
template <int MR, int NV> EDGEC_INLINE void start(const int32_t *bias, V (&acc)[MR][NV]) {
  unroll<NV>([&](auto n) EDGEC_LAMBDA {
    const V b = Simd::load(bias + n * Simd::lanes);
    unroll<MR>([&](auto m) EDGEC_LAMBDA { acc[m][n] = b; });
  });
}

// Walks K: step(x, Index<i>(), w) for dword i of 16 bytes x of each position; 1 to 3 dwords may be left over at the end of a segment,
// whose 16 bytes reach beyond it.
template <int MR, typename Step>
EDGEC_INLINE void walk(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *w, int32_t dword_bytes,
                       const Step &step) {
  const uint8_t *position[MR];
  unroll<MR>([&](auto m) EDGEC_LAMBDA { position[m] = input + in_offset[m]; });
  for (int32_t s = 0; s < c.segments; s++) {
    intptr_t at = c.segment_offset[s];
    const uint8_t *const end = w + c.segment_dwords * dword_bytes;
    const uint8_t *const whole = end - c.segment_dwords % 4 * dword_bytes;
    for (; w != whole; w += 4 * dword_bytes) {
      V x[MR];
      unroll<MR>([&](auto m) EDGEC_LAMBDA { x[m] = Simd::load(position[m] + at); });
      unroll<4>([&](auto i) EDGEC_LAMBDA { step(x, i, w + i * dword_bytes); });
      at += 16;
    }
    if (w != end) {
      V x[MR];
      unroll<MR>([&](auto m) EDGEC_LAMBDA { x[m] = Simd::load(position[m] + at); });
      unroll<3>([&](auto i) EDGEC_LAMBDA {
        if (w != end) {
          step(x, i, w);
          w += dword_bytes;
        }
      });
    }
  }
}

#ifdef __ARM_FEATURE_DOTPROD

template <int MR, int NV> EDGEC_INLINE void multiply(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *w,
                                                     const int32_t *bias, V (&acc)[MR][NV]) {
  start(bias, acc);
  walk<MR>(c, input, in_offset, w, NV * Simd::bytes, [&](const V(&x)[MR], auto i, const uint8_t *at) EDGEC_LAMBDA {
    unroll<NV>([&](auto n) EDGEC_LAMBDA {
      const V weights = Simd::load(at + n * Simd::bytes);
      unroll<MR>([&](auto m) EDGEC_LAMBDA { Simd::dot_lane<decltype(i)::value>(acc[m][n], weights, x[m]); });
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
  walk<MR>(c, input, in_offset, w, NV * Simd::bytes, [&](const V(&x)[MR], auto i, const uint8_t *at) EDGEC_LAMBDA {
    int8x16_t weights[NV];
    unroll<NV>([&](auto n) EDGEC_LAMBDA { weights[n] = Simd::b(Simd::load(at + n * Simd::bytes)); });
    unroll<MR>([&](auto m) EDGEC_LAMBDA {
      const int8x16_t first = Simd::b(Simd::v(vdupq_laneq_s16(Simd::h(x[m]), 2 * decltype(i)::value)));
      const int8x16_t last = Simd::b(Simd::v(vdupq_laneq_s16(Simd::h(x[m]), 2 * decltype(i)::value + 1)));
      unroll<NV>([&](auto n) EDGEC_LAMBDA {
        const int16x8_t products = vmull_s8(vget_low_s8(weights[n]), vget_low_s8(first));
        if constexpr (least) {
          acc[m][n] = vpadalq_s16(vpadalq_s16(acc[m][n], products), vmull_high_s8(weights[n], last));
        } else {
          acc[m][n] = vpadalq_s16(acc[m][n], vmlal_high_s8(products, weights[n], last));
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
