// lookup by a ladder of byte shuffles. A shuffle gives 0 where its index is negative, so that a table of 16 entries takes part in all
// that lie at or behind it: each holds its difference (xor) from the one before it.
#ifndef EDGEC_LOOKUP_AVX2_H
#define EDGEC_LOOKUP_AVX2_H

namespace {

struct Ladder {
  V step[2][8];  // of the q below 0, of the others

  // As the output wants its bytes: q, or q + 128.
  EDGEC_INLINE explicit Ladder(const edgec_host_lookup &p) {
    const V flip = Simd::set8(p.kind == EDGEC_KIND_U8 ? 0 : 0x80);
    for (int32_t half = 0; half < 2; half++) {
      V before = Simd::zero();
      for (int32_t i = 0; i < 8; i++) {
        const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p.table + 128 * half + 16 * i));
        const V now = Simd::bit_xor(_mm256_broadcastsi128_si256(part), flip);
        step[half][i] = Simd::bit_xor(now, before);
        before = now;
      }
    }
  }

  EDGEC_INLINE V operator()(V q) const {
    V index[2] = {Simd::bit_xor(q, Simd::set8(0x80)), q};
    V found[2] = {_mm256_shuffle_epi8(step[0][0], index[0]), _mm256_shuffle_epi8(step[1][0], index[1])};
    for (int32_t i = 1; i < 8; i++) {
      for (int32_t half = 0; half < 2; half++) {
        index[half] = _mm256_subs_epi8(index[half], Simd::set8(16));  // stays negative
        found[half] = Simd::bit_xor(found[half], _mm256_shuffle_epi8(step[half][i], index[half]));
      }
    }
    return Simd::bit_xor(found[0], found[1]);
  }
};

}  // namespace

#endif
