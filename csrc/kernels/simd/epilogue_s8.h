// From accumulators to stored bytes, for tiers whose element is int8 q (needs Simd before it): the interface of epilogue_u8.h.
#ifndef EDGEC_SIMD_EPILOGUE_S8_H
#define EDGEC_SIMD_EPILOGUE_S8_H

namespace {

using V = Simd::V;

// What becomes of an accumulator: rounded (there is one form), or summed with a residual.
enum Form { ROUNDED = 0, NARROW = 1, SUMMED = 2 };

// The constants of a requantization in registers; made once a call.
struct Epilogue {
  V zero16, low, high, shift_low, shift_high, shift_by, add_offset, add_by, add_low, add_high, sum_by;
  int16x4_t add_multipliers;
  int32_t shift, add;
  static constexpr int32_t narrow = 1;  // there is one form

  EDGEC_INLINE explicit Epilogue(const edgec_host_requantize &q)
      : zero16(Simd::set16(q.zero_point)), low(Simd::set8(q.low)), high(Simd::set8(q.high)), shift_low(Simd::set32(-(INT32_MAX >> q.shift) - 1)),
        shift_high(Simd::set32(INT32_MAX >> q.shift)), shift_by(Simd::set32(q.shift)), add_offset(Simd::set32(q.add_offset)),
        add_by(Simd::set32(-q.add_shift)), add_low(Simd::set8(q.add_low)), add_high(Simd::set8(q.add_high)),
        sum_by(Simd::set32(q.add_other)),
        add_multipliers(vset_lane_s16(static_cast<int16_t>(q.add_other), vdup_n_s16(static_cast<int16_t>(q.add_own)), 1)), shift(q.shift), add(q.add) {}

  // Multiplies a tile of accumulators in place: afterwards lanes hold (acc * M + 2^31) >> 32. SQRDMULH doubles, and M is even:
  // what is stored is M / 2. It saturates only where both factors are INT32_MIN, and M / 2 is not negative.
  template <int form, int MR, int NV> EDGEC_INLINE void scale(V (&acc)[MR][NV], const int32_t *multiplier) const {
    if constexpr (form == SUMMED) {  // never saturates
      unroll<MR * NV>([&](auto i) EDGEC_LAMBDA { acc[i / NV][i % NV] = vshlq_s32(acc[i / NV][i % NV], shift_by); });
    } else if (__builtin_expect(shift != 0, 0)) {
      unroll<MR * NV>([&](auto i) EDGEC_LAMBDA {
        V &a = acc[i / NV][i % NV];
        a = vshlq_s32(vminq_s32(vmaxq_s32(a, shift_low), shift_high), shift_by);
      });
    }
    constexpr int together = NV < 2 ? NV : 2;
    unroll<NV / together>([&](auto g) EDGEC_LAMBDA {
      V half[together];
      Simd::load_constants<decltype(g)::value * together * Simd::bytes>(multiplier, half);
      unroll<MR * together>([&](auto i) EDGEC_LAMBDA {
        V &a = acc[i / together][g * together + i % together];
        a = vqrdmulhq_s32(a, half[i % together]);
      });
    });
  }

  // Four scaled accumulators to one register of clamped int8 q, in order. Saturating on the way changes nothing: |zero_point| ≤ 128.
  template <int form> EDGEC_INLINE V pack(V a0, V a1, V a2, V a3) const {
    const int16x8_t words0 = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a0), a1), Simd::h(zero16));
    const int16x8_t words1 = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a2), a3), Simd::h(zero16));
    return Simd::min8(Simd::max8(Simd::v(vqmovn_high_s16(vqmovn_s16(words0), words1)), low), high);
  }

  // clamp((own * Ma + other * Mb + C) >> n) of int8 own and other, bytewise.
  EDGEC_INLINE V with_residual(V own, V other) const {
    const int16x8_t own_low = vmovl_s8(vget_low_s8(Simd::b(own))), own_high = vmovl_high_s8(Simd::b(own));
    const int16x8_t other_low = vmovl_s8(vget_low_s8(Simd::b(other))), other_high = vmovl_high_s8(Simd::b(other));
    const V s0 = sum(vget_low_s16(own_low), vget_low_s16(other_low)), s1 = sum_high(own_low, other_low);
    const V s2 = sum(vget_low_s16(own_high), vget_low_s16(other_high)), s3 = sum_high(own_high, other_high);
    const int16x8_t words0 = vqmovn_high_s32(vqmovn_s32(s0), s1), words1 = vqmovn_high_s32(vqmovn_s32(s2), s3);
    return Simd::min8(Simd::max8(Simd::v(vqmovn_high_s16(vqmovn_s16(words0), words1)), add_low), add_high);
  }
  EDGEC_INLINE V sum(int16x4_t own, int16x4_t other) const {
    return vshlq_s32(vmlal_lane_s16(vmlal_lane_s16(add_offset, own, add_multipliers, 0), other, add_multipliers, 1), add_by);
  }
  EDGEC_INLINE V sum_high(int16x8_t own, int16x8_t other) const {
    return vshlq_s32(vmlal_high_lane_s16(vmlal_high_lane_s16(add_offset, own, add_multipliers, 0), other, add_multipliers, 1), add_by);
  }

  // As pack(), of four summed accumulators and the int8 residual beside them.
  EDGEC_INLINE V pack_sums(V a0, V a1, V a2, V a3, V other) const {
    const int16x8_t other_low = vmovl_s8(vget_low_s8(Simd::b(other))), other_high = vmovl_high_s8(Simd::b(other));
    const int16x8_t words0 = vqshrn_high_n_s32(vqshrn_n_s32(summed(a0, vmovl_s16(vget_low_s16(other_low))), 12), summed(a1, vmovl_high_s16(other_low)), 12);
    const int16x8_t words1 = vqshrn_high_n_s32(vqshrn_n_s32(summed(a2, vmovl_s16(vget_low_s16(other_high))), 12), summed(a3, vmovl_high_s16(other_high)), 12);
    return Simd::min8(Simd::max8(Simd::v(vqmovn_high_s16(vqmovn_s16(words0), words1)), low), high);
  }
  EDGEC_INLINE V summed(V a, int32x4_t other) const { return vmlaq_s32(vaddq_s32(a, add_offset), other, sum_by); }

  EDGEC_INLINE V stored(V q) const { return q; }
};

}  // namespace

#endif
