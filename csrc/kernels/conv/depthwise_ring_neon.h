// Depthwise 3x3 at stride 1 with the dot product, two output rows at once, each input byte loaded and interleaved once: as
// depthwise_ring.h, for registers of 16 bytes. After depthwise_u8.h.
#ifndef EDGEC_DEPTHWISE_RING_NEON_H
#define EDGEC_DEPTHWISE_RING_NEON_H

namespace {

struct RingRows {
  const uint8_t *r0, *r1, *r2, *r3;
  EDGEC_INLINE Interleaved at(intptr_t x) const {
    return interleave(Simd::load(r0 + x), Simd::load(r1 + x), Simd::load(r2 + x), Simd::load(r3 + x));
  }
};

// One block of 16 outputs in each of two rows; column(k, j) is register j of column k of its input.
template <typename Column>
EDGEC_INLINE void ring_block(const Epilogue &e, const uint8_t *w, const int32_t *bias, const int32_t *M, uint8_t *output, intptr_t row_bytes,
                             int32_t left, const Column &column) {
  V acc[2][4];
  Simd::load_constants(bias, acc[0]);
  Simd::load_constants(bias, acc[1]);
  unroll<12>([&](auto i) EDGEC_LAMBDA {  // column, row, half of the registers
    constexpr int k = decltype(i)::value / 4, row = decltype(i)::value / 2 % 2, j = decltype(i)::value % 2 * 2;
    V weights[2];
    Simd::load_constants<(k * 8 + row * 4 + j) * Simd::bytes>(w, weights);
    Simd::dot(acc[row][j], column(Index<k>(), Index<j>()), weights[0]);
    Simd::dot(acc[row][j + 1], column(Index<k>(), Index<j + 1>()), weights[1]);
  });
  store_rows(e, acc, M, output, row_bytes, left);
}

// S: bytes of a pixel: 8, or 16 for every multiple of 16. What was the next column (block, where S is 8) becomes the current one by
// taking turns, not by moving registers.
template <int S> __attribute__((noinline)) void depthwise_ring(const void *params, uint8_t *const *operands) {
  const edgec_host_depthwise &d = *static_cast<const edgec_host_depthwise *>(params);
  const Epilogue e(d.q);
  const int32_t *const rows = d.row_offset;
  const intptr_t pixel = d.column_offset[1], step = S == 8 ? Simd::bytes : pixel;
  for (int32_t done = 0; done < d.rows;) {
    const int32_t row = done + 2 <= d.rows ? done : d.rows - 2;
    done = row + 2;
    const uint8_t *const input = operands[0] + static_cast<intptr_t>(row) * d.in_row_bytes;
    uint8_t *const output = operands[1] + static_cast<intptr_t>(row) * d.out_row_bytes;
    const RingRows in = {input + rows[0], input + rows[1], input + rows[2], input + rows[3]};
    for (int32_t phase = 0; phase < d.period; phase++) {
      const uint8_t *const w = d.weights + phase * (24 * Simd::bytes);
      const int32_t *const bias = d.bias + phase * 4 * Simd::lanes, *const M = d.multiplier + phase * 8 * Simd::lanes;
      intptr_t at = phase * Simd::bytes;
      const auto finish = [&](const auto &column) EDGEC_LAMBDA {
        ring_block(e, w, bias, M, output + at, d.out_row_bytes, static_cast<int32_t>(d.row_elements - at), column);
        at += step;
        return at < d.row_elements;
      };
      if constexpr (S == 8) {  // a column further is two registers further
        const auto turn = [&](const Interleaved &current, Interleaved &next) EDGEC_LAMBDA {
          next = in.at(at + Simd::bytes);
          return finish([&](auto k, auto j) EDGEC_LAMBDA {
            constexpr int at_register = decltype(j)::value + 2 * decltype(k)::value;
            return at_register < 4 ? current.v[at_register % 4] : next.v[at_register % 4];
          });
        };
        Interleaved a = in.at(at), b;
        while (turn(a, b) && turn(b, a)) {
        }
      } else {
        const auto turn = [&](const Interleaved &t0, const Interleaved &t1, Interleaved &t2) EDGEC_LAMBDA {
          t2 = in.at(at + 2 * pixel);
          return finish([&](auto k, auto j) EDGEC_LAMBDA { return k == 0 ? t0.v[j] : k == 1 ? t1.v[j] : t2.v[j]; });
        };
        Interleaved a = in.at(at), b = in.at(at + pixel), c;
        while (turn(a, b, c) && turn(b, c, a) && turn(c, a, b)) {
        }
      }
    }
  }
}

}  // namespace

#endif
