// Convolutions, AVX-512 VNNI.
#include "kernels/simd/simd_avx512.h"
#include "kernels/simd/epilogue_u8.h"
#include "kernels/conv/conv_tile.h"
#include "kernels/conv/store_piece.h"

namespace {

// at_once positions of `pieces` 16-byte pieces each, of which `there` exist.
template <int at_once, int pieces> EDGEC_INLINE V gather(const uint8_t *from, const int32_t *offset, int32_t there) {
  const auto piece = [&](int32_t position, int32_t i) EDGEC_LAMBDA {
    return _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + offset[position < there ? position : there - 1]) + i);
  };
  if constexpr (at_once == 4) {
    return Simd::join(piece(0, 0), piece(1, 0), piece(2, 0), piece(3, 0));
  } else {
    return Simd::join(piece(0, 0), piece(0, 1), piece(1, 0), piece(1, 1));
  }
}

template <int at_once, int pieces, int there> EDGEC_INLINE void scatter(uint8_t *to, const int32_t *offset, V q, int32_t count) {
  if constexpr (at_once == 4) {
    store_piece(to + offset[0], Simd::piece<0>(q), count);
    if constexpr (there > 1) store_piece(to + offset[1], Simd::piece<1>(q), count);
    if constexpr (there > 2) store_piece(to + offset[2], Simd::piece<2>(q), count);
    if constexpr (there > 3) store_piece(to + offset[3], Simd::piece<3>(q), count);
  } else {
    if (__builtin_expect(count >= 32, 1)) {
      _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + offset[0]), Simd::half<0>(q));
      if constexpr (there > 1) _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + offset[1]), Simd::half<1>(q));
    } else {
      store_pieces(to + offset[0], {Simd::piece<0>(q), Simd::piece<1>(q)}, count);
      if constexpr (there > 1) store_pieces(to + offset[1], {Simd::piece<2>(q), Simd::piece<3>(q)}, count);
    }
  }
}

// Eight positions of up to 8 bytes.
EDGEC_INLINE V gather_halves(const uint8_t *from, const int32_t *offset) {
  const auto two = [&](int i) EDGEC_LAMBDA {
    return _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(from + offset[2 * i])),
                              _mm_loadl_epi64(reinterpret_cast<const __m128i *>(from + offset[2 * i + 1])));
  };
  return Simd::join(two(0), two(1), two(2), two(3));
}
EDGEC_INLINE void scatter_halves(uint8_t *to, const int32_t *offset, V q, int32_t count) {
  if (__builtin_expect(count >= 8, 1)) {
    const auto both = [&](int i, __m128i v) EDGEC_LAMBDA {
      _mm_storel_epi64(reinterpret_cast<__m128i *>(to + offset[2 * i]), v);
      _mm_storeh_pd(reinterpret_cast<double *>(to + offset[2 * i + 1]), _mm_castsi128_pd(v));
    };
    both(0, Simd::piece<0>(q));
    both(1, Simd::piece<1>(q));
    both(2, Simd::piece<2>(q));
    both(3, Simd::piece<3>(q));
    return;
  }
  const auto two = [&](int i, __m128i v) EDGEC_LAMBDA {
    store_piece(to + offset[2 * i], v, count);
    store_piece(to + offset[2 * i + 1], _mm_unpackhi_epi64(v, v), count);
  };
  two(0, Simd::piece<0>(q));
  two(1, Simd::piece<1>(q));
  two(2, Simd::piece<2>(q));
  two(3, Simd::piece<3>(q));
}

}  // namespace

#include "kernels/conv/conv_u8.h"
#include "kernels/conv/conv_pairs.h"
#include "kernels/conv/depthwise_u8.h"
#include "kernels/conv/depthwise_ring.h"

extern "C" {

const edgec_host_tile edgec_conv_tiles__avx512vnni[] = {
    {1, 1, 1, &conv<1, 1>}, {2, 1, 1, &conv<2, 1>}, {3, 1, 1, &conv<3, 1>}, {4, 1, 1, &conv<4, 1>}, {6, 1, 1, &conv<6, 1>}, {8, 1, 1, &conv<8, 1>}, 
    {8, 1, 2, &conv_pairs<4>}, {16, 1, 2, &conv_pairs<8>},
    {1, 2, 1, &conv<1, 2>}, {2, 2, 1, &conv<2, 2>}, {3, 2, 1, &conv<3, 2>}, {4, 2, 1, &conv<4, 2>}, {5, 2, 1, &conv<5, 2>}, {6, 2, 1, &conv<6, 2>}, {7, 2, 1, &conv<7, 2>},
    {8, 2, 1, &conv<8, 2>}, {9, 2, 1, &conv<9, 2>},
    {1, 4, 1, &conv<1, 4>}, {2, 4, 1, &conv<2, 4>}, {3, 4, 1, &conv<3, 4>}, {4, 4, 1, &conv<4, 4>}, {5, 4, 1, &conv<5, 4>}, {6, 4, 1, &conv<6, 4>},
    {1, 8, 1, &conv<1, 8>}, {2, 8, 1, &conv<2, 8>},
    {0, 0, 0, nullptr}};
void edgec_depthwise__avx512vnni(const void *params, uint8_t *const *operands) { depthwise<1>(params, operands); }
void edgec_depthwise_pair__avx512vnni(const void *params, uint8_t *const *operands) { depthwise<2>(params, operands); }
void edgec_peak__avx512vnni(int32_t iterations) { dot_only(iterations); }
edgec_host_step edgec_depthwise_ring__avx512vnni(int32_t pixel_bytes, int32_t rows) {
  switch (pixel_bytes) {
    case 8: return rows == 2 ? &depthwise_ring<8> : &depthwise_planes<8>;
    case 16: return rows == 2 ? &depthwise_ring<16> : &depthwise_planes<16>;
    case 24: return rows == 2 ? &depthwise_ring<24> : &depthwise_planes<24>;
    case 32: return rows == 2 ? &depthwise_ring<32> : &depthwise_planes<32>;
    default: return pixel_bytes % 64 != 0 ? nullptr : rows == 2 ? &depthwise_ring<64> : &depthwise_planes<64>;
  }
}
}
