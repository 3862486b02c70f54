// From accumulators to stored bytes, for tiers whose element is a byte (needs Simd before it).
#ifndef EDGEC_SIMD_EPILOGUE_U8_H
#define EDGEC_SIMD_EPILOGUE_U8_H

namespace {

using V = Simd::V;

// The constants of a requantization in registers; made once a call.
struct Epilogue {
  V round, zero16, low, high, flip, shift_low, shift_high, add_pair, add_offset, add_low, add_high;
  int32_t shift, narrow, add, add_shift;

  EDGEC_INLINE explicit Epilogue(const edgec_host_requantize &q)
      : round(Simd::set64(static_cast<int64_t>(q.zero_point) * (int64_t(1) << 32) + (int64_t(1) << 31))),
        zero16(Simd::set16(2 * q.zero_point)), low(Simd::set8(q.low)), high(Simd::set8(q.high)),
        flip(Simd::set8(q.kind == EDGEC_KIND_U8 ? 0x80 : 0)), shift_low(Simd::set32(-(INT32_MAX >> q.shift) - 1)),
        shift_high(Simd::set32(INT32_MAX >> q.shift)),
        add_pair(Simd::set32(static_cast<int32_t>((static_cast<uint32_t>(q.add_other) << 16) | (static_cast<uint32_t>(q.add_own) & 0xffffu)))),
        add_offset(Simd::set32(static_cast<int32_t>(static_cast<uint32_t>(q.add_offset) - 128u * static_cast<uint32_t>(q.add_own) -
                                                    128u * static_cast<uint32_t>(q.add_other)))),
        add_low(Simd::set8(q.add_low)), add_high(Simd::set8(q.add_high)), shift(q.shift), narrow(q.narrow), add(q.add), add_shift(q.add_shift) {}

  // Two times lanes products, high halves: floor(acc * M / 2^32), M as stored.
  EDGEC_INLINE static V scaled(V acc, const int32_t *multiplier) {
    const V even = Simd::mul_even(acc, Simd::load(multiplier));
    const V odd = Simd::mul_even(Simd::odd_to_even(acc), Simd::load(multiplier + Simd::lanes));
    return Simd::high_halves(even, odd);
  }
  EDGEC_INLINE V rounded(V acc, const int32_t *multiplier) const {
    const V even = Simd::add64(Simd::mul_even(acc, Simd::load(multiplier)), round);
    const V odd = Simd::add64(Simd::mul_even(Simd::odd_to_even(acc), Simd::load(multiplier + Simd::lanes)), round);
    return Simd::high_halves(even, odd);
  }
  EDGEC_INLINE V shifted(V acc) const { return Simd::shift_left32(Simd::min32(Simd::max32(acc, shift_low), shift_high), shift); }

  // Four accumulators to one register of int8 q: byte 16 l + 4 j + i is element i of lane l of accumulator j.
  // multipliers of accumulator j: m[j].
  EDGEC_INLINE V requantize(V a0, V a1, V a2, V a3, const int32_t *m0, const int32_t *m1, const int32_t *m2, const int32_t *m3) const {
    if (__builtin_expect(shift != 0, 0)) {
      a0 = shifted(a0);
      a1 = shifted(a1);
      a2 = shifted(a2);
      a3 = shifted(a3);
    }
    V words0, words1;
    if (__builtin_expect(narrow != 0, 1)) {
      words0 = Simd::pack32(scaled(a0, m0), scaled(a1, m1));
      words1 = Simd::pack32(scaled(a2, m2), scaled(a3, m3));
      words0 = Simd::halve16(Simd::adds16(words0, zero16));
      words1 = Simd::halve16(Simd::adds16(words1, zero16));
    } else {
      words0 = Simd::pack32(rounded(a0, m0), rounded(a1, m1));
      words1 = Simd::pack32(rounded(a2, m2), rounded(a3, m3));
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

  EDGEC_INLINE V stored(V q) const { return Simd::bit_xor(q, flip); }
};

}  // namespace

#endif
