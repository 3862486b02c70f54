// Pixels from one layout to another. Exactly the bytes named are read and written: either side may be a caller's buffer, or a
// pixel's share of wider pixels. A pixel goes in pieces of the largest power of two that it holds, the last over the one before it.
#ifndef EDGEC_PIXELS_H
#define EDGEC_PIXELS_H

namespace {

template <int N> struct PieceOf;
template <> struct PieceOf<1> { using T = uint8_t; };
template <> struct PieceOf<2> { using T = uint16_t; };
template <> struct PieceOf<4> { using T = uint32_t; };
template <> struct PieceOf<8> { using T = uint64_t; };
template <> struct PieceOf<16> { using T = uint8_t __attribute__((vector_size(16))); };
template <> struct PieceOf<32> { using T = uint8_t __attribute__((vector_size(32))); };
template <> struct PieceOf<64> { using T = uint8_t __attribute__((vector_size(64))); };

// N bytes, each with the same bits flipped.
template <int N> struct FlippedBytes {
  static constexpr int from_bytes = 1, to_bytes = 1;
  using T = typename PieceOf<N>::T;
  T flip;
  EDGEC_INLINE explicit FlippedBytes(int32_t bits) {
    if constexpr (N <= 8) {
      flip = static_cast<T>(UINT64_C(0x0101010101010101) * static_cast<uint64_t>(bits));
    } else {
      flip = T{} + static_cast<uint8_t>(bits);
    }
  }
  EDGEC_INLINE void operator()(uint8_t *to, const uint8_t *from) const {
    T piece;
    __builtin_memcpy(&piece, from, N);
    piece = static_cast<T>(piece ^ flip);
    __builtin_memcpy(to, &piece, N);
  }
};

// piece(to, from) for every pixel.
template <typename F> EDGEC_INLINE void each_pixel(const edgec_host_pixels &p, uint8_t *const *operands, const F &piece) {
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *from = operands[0] + static_cast<intptr_t>(row) * p.from_row_bytes;
    uint8_t *to = operands[1] + static_cast<intptr_t>(row) * p.to_row_bytes;
#pragma GCC unroll 4
    for (int32_t pixel = 0; pixel < p.pixels; pixel++) {
      piece(to, from);
      from += p.from_pixel_bytes;
      to += p.to_pixel_bytes;
    }
  }
}

template <int N, typename Move> EDGEC_INLINE void walk_pixels(const edgec_host_pixels &p, uint8_t *const *operands, const Move &move) {
  const int32_t last = p.channels - N, from_last = last * Move::from_bytes, to_last = last * Move::to_bytes;
  if (last == 0) {
    each_pixel(p, operands, move);
    return;
  }
  if (last <= N) {
    each_pixel(p, operands, [=](uint8_t *to, const uint8_t *from) EDGEC_LAMBDA {
      move(to, from);
      move(to + to_last, from + from_last);
    });
    return;
  }
  each_pixel(p, operands, [=](uint8_t *to, const uint8_t *from) EDGEC_LAMBDA {
    for (int32_t at = 0; at < last; at += N) {
      move(to + at * Move::to_bytes, from + at * Move::from_bytes);
    }
    move(to + to_last, from + from_last);
  });
}

template <template <int> class Move, int N> EDGEC_INLINE void move_pixels_of(const edgec_host_pixels &p, uint8_t *const *operands, int32_t bits) {
  if constexpr (N > 1) {
    if (p.channels < N) {
      move_pixels_of<Move, N / 2>(p, operands, bits);
      return;
    }
  }
  walk_pixels<N>(p, operands, Move<N>(bits));
}

// What lies in one run on both sides is one pixel.
template <template <int> class Move, int N> EDGEC_INLINE void move_pixels(edgec_host_pixels p, uint8_t *const *operands, int32_t bits) {
  const int32_t from = Move<N>::from_bytes, to = Move<N>::to_bytes;
  if (p.from_pixel_bytes == p.channels * from && p.to_pixel_bytes == p.channels * to) {
    p.channels *= p.pixels;
    p.pixels = 1;
    if (p.from_row_bytes == p.channels * from && p.to_row_bytes == p.channels * to) {
      p.channels *= p.rows;
      p.rows = 1;
    }
  }
  move_pixels_of<Move, N>(p, operands, bits);
}

// Between kinds of one byte.
EDGEC_INLINE void move_bytes(const void *params, uint8_t *const *operands) {
  const edgec_host_pixels &p = *static_cast<const edgec_host_pixels *>(params);
  move_pixels<FlippedBytes, Simd::bytes>(p, operands, (p.from_kind == EDGEC_KIND_U8) != (p.to_kind == EDGEC_KIND_U8) ? 0x80 : 0);
}

}  // namespace

#endif
