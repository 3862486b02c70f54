// From accumulators to stored bytes, for tiers whose element is a byte (needs Simd before it).
#ifndef EDGEC_SIMD_EPILOGUE_U8_H
#define EDGEC_SIMD_EPILOGUE_U8_H

#include "kernels/simd/residual.h"

namespace {

using V = Simd::V;

// What becomes of an accumulator: rounded in 64 bits, in 16 (multipliers are 2M), or summed with a residual.
enum Form { ROUNDED = 0, NARROW = 1, SUMMED = 2 };

// The constants of a requantization in registers; made once a call.
struct Epilogue {
  V round, zero16, low, high, flip, shift_low, shift_high, add_pair, add_offset, add_low, add_high;
  int32_t shift, narrow, add, add_shift;

  EDGEC_INLINE explicit Epilogue(const edgec_host_requantize &q)
      : round(Simd::set64(static_cast<int64_t>(q.zero_point) * (int64_t(1) << 32) + (int64_t(1) << 31))),
        zero16(Simd::set16(2 * q.zero_point)), low(Simd::set8(q.low)), high(Simd::set8(q.high)),
        flip(Simd::set8(q.kind == EDGEC_KIND_U8 ? 0x80 : 0)), shift_low(Simd::set32(-(INT32_MAX >> q.shift) - 1)),
        shift_high(Simd::set32(INT32_MAX >> q.shift)),
        add_pair(Simd::set32(residual_pair(q))), add_offset(Simd::set32(residual_offset(q, 128))),
        add_low(Simd::set8(q.add_low)), add_high(Simd::set8(q.add_high)), shift(q.shift + (q.add == EDGEC_RESIDUAL_SUMMED)),
        narrow(q.narrow), add(q.add), add_shift(q.add_shift) {}

  // Multiplies a tile of accumulators in place: NV registers of channels, all the MR positions before the next load of multipliers.
  // Afterwards lanes hold floor(acc * M / 2^32) of the stored M: the result, or twice the result and one bit more (narrow and summed).
  template <int form, int MR, int NV> EDGEC_INLINE void scale(V (&acc)[MR][NV], const int32_t *multiplier) const {
    if constexpr (form == SUMMED) {  // never saturates
      unroll<MR * NV>([&](auto i) EDGEC_LAMBDA { acc[i / NV][i % NV] = Simd::shift_left32(acc[i / NV][i % NV], shift); });
    } else if (__builtin_expect(shift != 0, 0)) {
      unroll<MR * NV>([&](auto i) EDGEC_LAMBDA {
        V &a = acc[i / NV][i % NV];
        a = Simd::shift_left32(Simd::min32(Simd::max32(a, shift_low), shift_high), shift);
      });
    }
    unroll<NV>([&](auto n) EDGEC_LAMBDA {
      const V even = Simd::load(multiplier + n * (2 * Simd::lanes)), odd = Simd::load(multiplier + n * (2 * Simd::lanes) + Simd::lanes);
      unroll<MR>([&](auto m) EDGEC_LAMBDA {
        V high = Simd::mul_even(Simd::odd_to_even(acc[m][n]), odd), low = Simd::mul_even(acc[m][n], even);
        if constexpr (form == ROUNDED) {
          high = Simd::add64(high, round);
          low = Simd::add64(low, round);
        }
        acc[m][n] = Simd::high_halves(low, high);
      });
    });
  }

  // Four scaled accumulators to one register of clamped int8 q: byte 16 l + 4 j + i is element i of lane l of accumulator j.
  template <int form> EDGEC_INLINE V pack(V a0, V a1, V a2, V a3) const {
    V words0 = Simd::pack32(a0, a1), words1 = Simd::pack32(a2, a3);
    if constexpr (form == NARROW) {
      words0 = Simd::halve16(Simd::adds16(words0, zero16));
      words1 = Simd::halve16(Simd::adds16(words1, zero16));
    }
    return Simd::min8(Simd::max8(Simd::pack16(words0, words1), low), high);
  }

  // clamp((own * Ma + other * Mb + C) >> n) of int8 own and u8 other, bytewise.
  EDGEC_INLINE V with_residual(V own, V other) const {
    const V none = Simd::zero();
    const V mine = Simd::bit_xor(own, Simd::set8(0x80));
    const V own_low = Simd::low8(mine, none), own_high = Simd::high8(mine, none);
    const V other_low = Simd::low8(other, none), other_high = Simd::high8(other, none);
    const V s0 = sum(Simd::low16(own_low, other_low)), s1 = sum(Simd::high16(own_low, other_low));
    const V s2 = sum(Simd::low16(own_high, other_high)), s3 = sum(Simd::high16(own_high, other_high));
    return Simd::min8(Simd::max8(Simd::pack16(Simd::pack32(s0, s1), Simd::pack32(s2, s3)), add_low), add_high);
  }
  EDGEC_INLINE V sum(V pair) const { return Simd::shift_right32(Simd::add32(Simd::madd16(pair, add_pair), add_offset), add_shift); }

  // The same of four summed accumulators and the u8 residual beside them.
  EDGEC_INLINE V pack_sums(V a0, V a1, V a2, V a3, V other) const {
    const V none = Simd::zero();
    const V low = Simd::low8(other, none), high = Simd::high8(other, none), low7 = Simd::shift_left16(low), high7 = Simd::shift_left16(high);
    const V words0 = Simd::pack32(summed(a0, Simd::low16(low, low7)), summed(a1, Simd::high16(low, low7)));
    const V words1 = Simd::pack32(summed(a2, Simd::low16(high, high7)), summed(a3, Simd::high16(high, high7)));
    return Simd::min8(Simd::max8(Simd::pack16(words0, words1), this->low), this->high);
  }
  EDGEC_INLINE V summed(V a, V pair) const { return Simd::shift_right_sum(Simd::add32(Simd::add32(a, add_offset), Simd::madd16(pair, add_pair))); }

  EDGEC_INLINE V stored(V q) const { return Simd::bit_xor(q, flip); }
};

}  // namespace

#endif
