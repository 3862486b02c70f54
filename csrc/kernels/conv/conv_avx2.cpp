// Convolutions, AVX2: int16 activations, vpmaddwd (always exact).
#include "kernels/simd/simd_avx2.h"
#include "kernels/simd/epilogue_s16.h"
#include "kernels/conv/conv_tile.h"

namespace {

template <int MR, int NV>
EDGEC_INLINE void finish(const edgec_host_conv &c, const Epilogue &e, const V (&acc)[MR][NV], const int32_t *multiplier, int32_t count,
                         uint8_t *output, const int32_t *out_offset, const uint8_t *residual, const int32_t *residual_offset) {
  constexpr int step = 2 * Simd::lanes;
  if constexpr (NV >= 2) {
    unroll<MR>([&](auto m) EDGEC_LAMBDA {
      unroll<NV / 2>([&](auto b) EDGEC_LAMBDA {
        const int32_t *const M = multiplier + 2 * b * step;
        const uint8_t *const other = residual + residual_offset[m] + b * Simd::bytes;
        V q;
        if (__builtin_expect(c.q.add == EDGEC_RESIDUAL_SUMMED, 0)) {
          q = e.requantize_sums(acc[m][2 * b], acc[m][2 * b + 1], M, M + step, Simd::load(other));
        } else {
          q = e.requantize(acc[m][2 * b], acc[m][2 * b + 1], M, M + step);
          if (__builtin_expect(c.q.add != 0, 0)) {
            q = e.with_residual(q, Simd::load(other));
          }
        }
        const int32_t left = count - 16 * b;
        if (left > 0) {
          store_elements(output + out_offset[m] + 16 * b * (e.kind == EDGEC_KIND_S16 ? 2 : 1), q, left, e.kind);
        }
      });
    });
  } else {
    unroll<(MR + 1) / 2>([&](auto g) EDGEC_LAMBDA {
      constexpr int a = 2 * decltype(g)::value, b = a + 1 < MR ? a + 1 : a;
      const auto by_position = [](V v) EDGEC_LAMBDA { return _mm256_permute4x64_epi64(v, 0xd8); };  // and back
      const auto other = [&]() EDGEC_LAMBDA {
        return Simd::join(_mm_loadu_si128(reinterpret_cast<const __m128i *>(residual + residual_offset[a])),
                          _mm_loadu_si128(reinterpret_cast<const __m128i *>(residual + residual_offset[b])));
      };
      V q;
      if (__builtin_expect(c.q.add == EDGEC_RESIDUAL_SUMMED, 0)) {
        q = by_position(e.requantize_sums(acc[a][0], acc[b][0], multiplier, multiplier, by_position(other())));
      } else {
        q = by_position(e.requantize(acc[a][0], acc[b][0], multiplier, multiplier));
        if (__builtin_expect(c.q.add != 0, 0)) {
          q = e.with_residual(q, other());
        }
      }
      const int32_t there = count < 8 ? count : 8;
      store_half(output + out_offset[a], Simd::piece<0>(q), there, e.kind);
      if constexpr (b != a) {
        store_half(output + out_offset[b], Simd::piece<1>(q), there, e.kind);
      }
    });
  }
}

template <int MR, int NV> __attribute__((noinline)) void conv(const void *params, uint8_t *const *operands) {
  const edgec_host_conv &c = *static_cast<const edgec_host_conv *>(params);
  const Epilogue e(c.q);
  const int32_t k_bytes = c.segments * c.segment_dwords * (NV * Simd::bytes);
  const int32_t out_element = e.kind == EDGEC_KIND_S16 ? 2 : 1;
  for (int32_t block = 0; block < c.channel_blocks; block++) {
    const int32_t first_channel = block * NV * Simd::lanes;
    const uint8_t *const weights = c.weights + static_cast<intptr_t>(block) * k_bytes;
    uint8_t *const output = operands[1] + first_channel * out_element;
    const uint8_t *const residual = operands[2] + first_channel * Simd::element;
    for (int32_t done = 0; done < c.positions;) {
      const int32_t p = done + MR <= c.positions ? done : c.positions - MR;  // the last tile overlaps the one before it
      V acc[MR][NV];
      multiply<MR, NV>(c, operands[0], c.in_offset + p, weights, c.bias + first_channel, acc);
      finish<MR, NV>(c, e, acc, c.multiplier + 2 * first_channel, c.channels - first_channel, output, c.out_offset + p, residual,
                     c.residual_offset + p);
      done = p + MR;
    }
  }
}

// NR output rows from the same input rows; two vertical taps a dword.
template <int NR> __attribute__((noinline)) void depthwise(const void *params, uint8_t *const *operands) {
  const edgec_host_depthwise &d = *static_cast<const edgec_host_depthwise *>(params);
  const Epilogue e(d.q);
  constexpr int step = 2 * Simd::lanes;
  const int32_t taps = d.groups * d.columns, out_element = e.kind == EDGEC_KIND_S16 ? 2 : 1;
  for (int32_t done = 0; done < d.rows;) {
    const int32_t row = done + NR <= d.rows ? done : d.rows - NR;
    done = row + NR;
    const uint8_t *const input = operands[0] + static_cast<intptr_t>(row) * d.in_row_bytes;
    uint8_t *const output = operands[1] + static_cast<intptr_t>(row) * d.out_row_bytes;
    int32_t phase = 0;
    for (int32_t at = 0; at < d.row_elements; at += 16) {
      const uint8_t *w = d.weights + static_cast<intptr_t>(phase) * taps * (NR * 2 * Simd::bytes);
      const int32_t *const bias = d.bias + phase * 2 * Simd::lanes;
      const int32_t *const M = d.multiplier + phase * 2 * step;
      V acc[NR][2];
      unroll<2>([&](auto j) EDGEC_LAMBDA { unroll<NR>([&](auto r) EDGEC_LAMBDA { acc[r][j] = Simd::load(bias + j * Simd::lanes); }); });
      const int32_t *rows = d.row_offset;
      for (int32_t g = 0; g < d.groups; g++, rows += 2) {
        const uint8_t *const r0 = input + rows[0] + 2 * at, *const r1 = input + rows[1] + 2 * at;
        for (int32_t k = 0; k < d.columns; k++) {
          const V a = Simd::load(r0 + d.column_offset[k]), b = Simd::load(r1 + d.column_offset[k]);
          const V low = Simd::low16(a, b), high = Simd::high16(a, b);
          unroll<NR>([&](auto r) EDGEC_LAMBDA {
            Simd::dot(acc[r][0], low, Simd::load(w + 2 * r * Simd::bytes));
            Simd::dot(acc[r][1], high, Simd::load(w + (2 * r + 1) * Simd::bytes));
          });
          w += NR * 2 * Simd::bytes;
        }
      }
      unroll<NR>([&](auto r) EDGEC_LAMBDA {
        const V q = e.requantize(acc[r][0], acc[r][1], M, M + step);
        store_elements(output + r * static_cast<intptr_t>(d.out_row_bytes) + at * out_element, q, d.row_elements - at, e.kind);
      });
      phase = phase + 1 == d.period ? 0 : phase + 1;
    }
  }
}

}  // namespace

extern "C" {

const edgec_host_tile edgec_conv_tiles__avx2[] = {
    {1, 1, 1, &conv<1, 1>}, {2, 1, 1, &conv<2, 1>}, {3, 1, 1, &conv<3, 1>}, {4, 1, 1, &conv<4, 1>}, {6, 1, 1, &conv<6, 1>}, {8, 1, 1, &conv<8, 1>},
    {1, 2, 1, &conv<1, 2>}, {2, 2, 1, &conv<2, 2>}, {3, 2, 1, &conv<3, 2>}, {4, 2, 1, &conv<4, 2>}, {5, 2, 1, &conv<5, 2>}, {6, 2, 1, &conv<6, 2>},
    {1, 4, 1, &conv<1, 4>}, {2, 4, 1, &conv<2, 4>}, {1, 8, 1, &conv<1, 8>},
    {0, 0, 0, nullptr}};
void edgec_depthwise__avx2(const void *params, uint8_t *const *operands) { depthwise<1>(params, operands); }
void edgec_depthwise_pair__avx2(const void *params, uint8_t *const *operands) { depthwise<2>(params, operands); }
void edgec_peak__avx2(int32_t iterations) { dot_only(iterations); }
edgec_host_step edgec_depthwise_ring__avx2(int32_t, int32_t) { return nullptr; }
}
