// Depthwise 3x3 at stride 1, two output rows at once, each input byte loaded and interleaved once. After depthwise_u8.h.
//
// Dword 16 l + 4 j + i of a block lies in lane l of register j: a column further is S bytes further in the flat row, that is
// S / 4 registers, counted through the four of a block and on into the next lane.
#ifndef EDGEC_DEPTHWISE_RING_H
#define EDGEC_DEPTHWISE_RING_H

namespace {

// Register j of what is `shift` bytes further than `current`, 0 ≤ shift ≤ 64; `next` is the block after it.
template <int shift, int j> EDGEC_INLINE V further(const Interleaved &current, const Interleaved &next) {
  constexpr int q = j + shift / 4, lanes = q / 4;
  if constexpr (lanes == 0) {
    return current.v[q % 4];
  } else if constexpr (lanes == 4) {
    return next.v[q % 4];
  } else {
    return _mm512_alignr_epi64(next.v[q % 4], current.v[q % 4], 2 * lanes);
  }
}

struct RingRows {
  const uint8_t *r0, *r1, *r2, *r3;
  EDGEC_INLINE Interleaved at(intptr_t x) const {
    return interleave(Simd::load(r0 + x), Simd::load(r1 + x), Simd::load(r2 + x), Simd::load(r3 + x));
  }
};

// One block of 64 outputs in each of two rows; column k of its input is t0, t1, t2.
struct RingBlock {
  V acc[2][4];
  EDGEC_INLINE explicit RingBlock(const int32_t *bias) {
    unroll<4>([&](auto j) EDGEC_LAMBDA { acc[0][j] = acc[1][j] = Simd::load(bias + j * Simd::lanes); });
  }
  template <int k, int j> EDGEC_INLINE void add(V t, const uint8_t *w) {
    Simd::dot(acc[0][j], t, Simd::load(w + (k * 8 + j) * Simd::bytes));
    Simd::dot(acc[1][j], t, Simd::load(w + (k * 8 + 4 + j) * Simd::bytes));
  }
  EDGEC_INLINE void finish(const Epilogue &e, const int32_t *M, uint8_t *output, intptr_t row_bytes, int32_t left) {
    store_rows(e, acc, M, output, row_bytes, left);
  }
};

// S: bytes of a pixel; 64 stands for every multiple of 64.
template <int S> __attribute__((noinline)) void depthwise_ring(const void *params, uint8_t *const *operands) {
  const edgec_host_depthwise &d = *static_cast<const edgec_host_depthwise *>(params);
  const Epilogue e(d.q);
  const int32_t *const rows = d.row_offset;
  const intptr_t pixel = d.column_offset[1];
  for (int32_t done = 0; done < d.rows;) {
    const int32_t row = done + 2 <= d.rows ? done : d.rows - 2;
    done = row + 2;
    const uint8_t *const input = operands[0] + static_cast<intptr_t>(row) * d.in_row_bytes;
    uint8_t *const output = operands[1] + static_cast<intptr_t>(row) * d.out_row_bytes;
    const RingRows in = {input + rows[0], input + rows[1], input + rows[2], input + rows[3]};
    if constexpr (S == 64) {
      for (int32_t block = 0; block < d.period; block++) {
        const uint8_t *const w = d.weights + block * (24 * Simd::bytes);
        const int32_t *const bias = d.bias + block * 4 * Simd::lanes, *const M = d.multiplier + block * 8 * Simd::lanes;
        intptr_t at = block * Simd::bytes;
        Interleaved t0 = in.at(at), t1 = in.at(at + pixel);
        for (; at < d.row_elements; at += pixel) {
          const Interleaved t2 = in.at(at + 2 * pixel);
          RingBlock b(bias);
          unroll<4>([&](auto j) EDGEC_LAMBDA {
            b.template add<0, decltype(j)::value>(t0.v[j], w);
            b.template add<1, decltype(j)::value>(t1.v[j], w);
            b.template add<2, decltype(j)::value>(t2.v[j], w);
          });
          b.finish(e, M, output + at, d.out_row_bytes, static_cast<int32_t>(d.row_elements - at));
          t0 = t1;
          t1 = t2;
        }
      }
    } else {
      int32_t phase = 0;
      Interleaved current = in.at(0);
      for (int32_t at = 0; at < d.row_elements; at += Simd::bytes) {
        const uint8_t *const w = d.weights + phase * (24 * Simd::bytes);
        const Interleaved next = in.at(at + Simd::bytes);
        RingBlock b(d.bias + phase * 4 * Simd::lanes);
        unroll<4>([&](auto j) EDGEC_LAMBDA {
          constexpr int J = decltype(j)::value;
          b.template add<0, J>(current.v[J], w);
          b.template add<1, J>(further<S, J>(current, next), w);
          b.template add<2, J>(further<2 * S, J>(current, next), w);
        });
        b.finish(e, d.multiplier + phase * 8 * Simd::lanes, output + at, d.out_row_bytes, d.row_elements - at);
        current = next;
        phase = phase + 1 == d.period ? 0 : phase + 1;
      }
    }
  }
}

// One output row at stride 2 on split columns: the first and the last column are neighbours in one plane, the middle one lies in
// the other. S as above.
template <int S> __attribute__((noinline)) void depthwise_planes(const void *params, uint8_t *const *operands) {
  const edgec_host_depthwise &d = *static_cast<const edgec_host_depthwise *>(params);
  const Epilogue e(d.q);
  const int32_t *const rows = d.row_offset;
  const intptr_t middle = d.column_offset[1], pixel = d.column_offset[2];
  for (int32_t row = 0; row < d.rows; row++) {
    const uint8_t *const input = operands[0] + static_cast<intptr_t>(row) * d.in_row_bytes;
    uint8_t *const output = operands[1] + static_cast<intptr_t>(row) * d.out_row_bytes;
    const RingRows in = {input + rows[0], input + rows[1], input + rows[2], input + rows[3]};
    const auto block = [&](const Interleaved &t0, const Interleaved &t1, const auto &t2, intptr_t at, int32_t phase) EDGEC_LAMBDA {
      const uint8_t *const w = d.weights + phase * (12 * Simd::bytes);
      const int32_t *const bias = d.bias + phase * 4 * Simd::lanes;
      V acc[1][4];
      unroll<4>([&](auto j) EDGEC_LAMBDA {
        acc[0][j] = Simd::load(bias + j * Simd::lanes);
        Simd::dot(acc[0][j], t0.v[j], Simd::load(w + j * Simd::bytes));
        Simd::dot(acc[0][j], t1.v[j], Simd::load(w + (4 + j) * Simd::bytes));
        Simd::dot(acc[0][j], t2(j), Simd::load(w + (8 + j) * Simd::bytes));
      });
      store_rows(e, acc, d.multiplier + phase * 8 * Simd::lanes, output + at, 0, static_cast<int32_t>(d.row_elements - at));
    };
    if constexpr (S == 64) {
      for (int32_t phase = 0; phase < d.period; phase++) {
        intptr_t at = phase * Simd::bytes;
        Interleaved t0 = in.at(at);
        for (; at < d.row_elements; at += pixel) {
          const Interleaved t2 = in.at(at + pixel);
          block(t0, in.at(at + middle), [&](auto j) EDGEC_LAMBDA { return t2.v[j]; }, at, phase);
          t0 = t2;
        }
      }
    } else {
      int32_t phase = 0;
      Interleaved current = in.at(0);
      for (int32_t at = 0; at < d.row_elements; at += Simd::bytes) {
        const Interleaved next = in.at(at + Simd::bytes);
        block(current, in.at(at + middle), [&](auto j) EDGEC_LAMBDA { return further<S, decltype(j)::value>(current, next); }, at, phase);
        current = next;
        phase = phase + 1 == d.period ? 0 : phase + 1;
      }
    }
  }
}

}  // namespace

#endif
