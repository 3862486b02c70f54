// Convolutions, AVX-VNNI: the kernels of the AVX-512 VNNI tier on 32-byte registers.
#include "kernels/simd/simd_avx2.h"
#include "kernels/simd/epilogue_u8.h"
#include "kernels/conv/conv_tile.h"
#include "kernels/conv/store_piece.h"

namespace {

// at_once positions of a register of bytes: four of 8 bytes or two of 16, of which `there` exist.
template <int at_once, int pieces> EDGEC_INLINE V gather(const uint8_t *from, const int32_t *offset, int32_t there) {
  const auto at = [&](int32_t position) EDGEC_LAMBDA { return from + offset[position < there ? position : there - 1]; };
  if constexpr (at_once == 4) {
    const auto two = [&](int32_t i) EDGEC_LAMBDA {
      return _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(at(i))), _mm_loadl_epi64(reinterpret_cast<const __m128i *>(at(i + 1))));
    };
    return Simd::join(two(0), two(2));
  } else {
    return Simd::join(_mm_loadu_si128(reinterpret_cast<const __m128i *>(at(0))), _mm_loadu_si128(reinterpret_cast<const __m128i *>(at(1))));
  }
}

template <int at_once, int pieces, int there> EDGEC_INLINE void scatter(uint8_t *to, const int32_t *offset, V q, int32_t count) {
  if constexpr (at_once == 4) {
    const int32_t each = count < 8 ? count : 8;
    const __m128i low = Simd::piece<0>(q), high = Simd::piece<1>(q);
    store_piece(to + offset[0], low, each);
    if constexpr (there > 1) store_piece(to + offset[1], _mm_unpackhi_epi64(low, low), each);
    if constexpr (there > 2) store_piece(to + offset[2], high, each);
    if constexpr (there > 3) store_piece(to + offset[3], _mm_unpackhi_epi64(high, high), each);
  } else {
    store_piece(to + offset[0], Simd::piece<0>(q), count);
    if constexpr (there > 1) store_piece(to + offset[1], Simd::piece<1>(q), count);
  }
}

}  // namespace

#include "kernels/conv/conv_u8.h"
#include "kernels/conv/depthwise_u8.h"

extern "C" {

const edgec_host_tile edgec_conv_tiles__avxvnni[] = {
    {1, 1, 1, &conv<1, 1>}, {2, 1, 1, &conv<2, 1>}, {4, 1, 1, &conv<4, 1>}, {8, 1, 1, &conv<8, 1>},
    {1, 2, 1, &conv<1, 2>}, {2, 2, 1, &conv<2, 2>}, {3, 2, 1, &conv<3, 2>}, {4, 2, 1, &conv<4, 2>}, {5, 2, 1, &conv<5, 2>}, {6, 2, 1, &conv<6, 2>},
    {1, 4, 1, &conv<1, 4>}, {2, 4, 1, &conv<2, 4>}, {1, 8, 1, &conv<1, 8>},
    {0, 0, 0, nullptr}};
void edgec_depthwise__avxvnni(const void *params, uint8_t *const *operands) { depthwise<1>(params, operands); }
void edgec_depthwise_pair__avxvnni(const void *params, uint8_t *const *operands) { depthwise<2>(params, operands); }
void edgec_peak__avxvnni(int32_t iterations) { dot_only(iterations); }
edgec_host_step edgec_depthwise_ring__avxvnni(int32_t, int32_t) { return nullptr; }
}
