// Part of a 16-byte piece to memory, touching no byte more.
#ifndef EDGEC_CONV_STORE_PIECE_H
#define EDGEC_CONV_STORE_PIECE_H

namespace {

// `count` bytes (at most 16) of a 16-byte piece.
EDGEC_INLINE void store_piece(uint8_t *to, __m128i v, int32_t count) {
  if (__builtin_expect(count >= 16, 1)) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(to), v);
    return;
  }
  if (count & 8) {
    _mm_storel_epi64(reinterpret_cast<__m128i *>(to), v);
    v = _mm_srli_si128(v, 8);
    to += 8;
  }
  if (count & 4) {
    const int32_t dword = _mm_cvtsi128_si32(v);
    __builtin_memcpy(to, &dword, 4);
    v = _mm_srli_si128(v, 4);
    to += 4;
  }
  uint32_t rest = static_cast<uint32_t>(_mm_cvtsi128_si32(v));
  if (count & 2) {
    const uint16_t word = static_cast<uint16_t>(rest);
    __builtin_memcpy(to, &word, 2);
    rest >>= 16;
    to += 2;
  }
  if (count & 1) {
    *to = static_cast<uint8_t>(rest);
  }
}

// Bytes of NR pieces of 16 for one position.
template <int NR> EDGEC_INLINE void store_pieces(uint8_t *to, const __m128i (&v)[NR], int32_t count) {
  unroll<NR>([&](auto i) EDGEC_LAMBDA {
    if (count > 16 * i) {
      store_piece(to + 16 * i, v[i], count - 16 * i);
    }
  });
}

}  // namespace

#endif
