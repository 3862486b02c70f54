// add, lookup and changes of element, AVX2 with int16 activations.
#include "kernels/simd/simd_avx2.h"
#include "kernels/simd/row_end.h"
#include "kernels/simd/epilogue_s16.h"
#include "kernels/elementwise/lookup_avx2.h"
#include "kernels/elementwise/pixels.h"

namespace {

// The first N of 16 bytes, N a power of two.
template <int N> EDGEC_INLINE __m128i load_first(const uint8_t *p) {
  if constexpr (N == 16) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
  } else {
    typename PieceOf<N>::T piece;
    __builtin_memcpy(&piece, p, N);
    return _mm_cvtsi64_si128(static_cast<int64_t>(piece));
  }
}
template <int N> EDGEC_INLINE void store_first(uint8_t *p, __m128i v) {
  if constexpr (N == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), v);
  } else {
    const auto piece = static_cast<typename PieceOf<N>::T>(_mm_cvtsi128_si64(v));
    __builtin_memcpy(p, &piece, N);
  }
}

// N of at most 16, as FlippedBytes.
template <int N> struct WidenedBytes {
  static constexpr int from_bytes = 1, to_bytes = 2;
  EDGEC_INLINE explicit WidenedBytes(int32_t) {}
  EDGEC_INLINE void operator()(uint8_t *to, const uint8_t *from) const {
    if constexpr (N == 16) {
      Simd::store(to, _mm256_cvtepi8_epi16(load_first<N>(from)));
    } else {
      store_first<2 * N>(to, _mm_cvtepi8_epi16(load_first<N>(from)));
    }
  }
};
template <int N> struct NarrowedWords {
  static constexpr int from_bytes = 2, to_bytes = 1;
  EDGEC_INLINE explicit NarrowedWords(int32_t) {}
  EDGEC_INLINE void operator()(uint8_t *to, const uint8_t *from) const {
    if constexpr (N == 16) {
      const V words = Simd::load(from);
      store_first<N>(to, _mm_packs_epi16(Simd::piece<0>(words), Simd::piece<1>(words)));
    } else {
      const __m128i words = load_first<2 * N>(from);
      store_first<N>(to, _mm_packs_epi16(words, words));
    }
  }
};

}  // namespace

extern "C" {

void edgec_add__avx2(const void *params, uint8_t *const *operands) {
  const edgec_host_add &p = *static_cast<const edgec_host_add *>(params);
  const Epilogue e(p.q);
  const int32_t out_element = e.kind == EDGEC_KIND_S16 ? 2 : 1;
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const a = operands[0] + static_cast<intptr_t>(row) * p.a_row_bytes;
    const uint8_t *const b = operands[1] + static_cast<intptr_t>(row) * p.b_row_bytes;
    uint8_t *const y = operands[2] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += 16) {
      const int32_t left = p.row_elements - at;
      store_elements(y + at * out_element, e.with_residual(load_up_to(a + 2 * at, 2 * left), load_up_to(b + 2 * at, 2 * left)), left, e.kind);
    }
  }
}

void edgec_lookup__avx2(const void *params, uint8_t *const *operands) {
  const edgec_host_lookup &p = *static_cast<const edgec_host_lookup *>(params);
  const Ladder ladder(p);
  const V low_byte = Simd::set16(0xff);  // padding elements hold anything
  const int32_t out_element = p.kind == EDGEC_KIND_S16 ? 2 : 1;
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const x = operands[0] + static_cast<intptr_t>(row) * p.in_row_bytes;
    uint8_t *const y = operands[1] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += 32) {
      const int32_t count = p.row_elements - at;
      const V first = _mm256_and_si256(load_up_to(x + 2 * at, 2 * count), low_byte);
      const V second = count > 16 ? _mm256_and_si256(load_up_to(x + 2 * at + 32, 2 * count - 32), low_byte) : first;
      const V q = ladder(_mm256_packus_epi16(first, second));
      store_elements(y + out_element * at, _mm256_srai_epi16(Simd::low8(q, q), 8), count, p.kind);
      if (count > 16) {
        store_elements(y + out_element * (at + 16), _mm256_srai_epi16(Simd::high8(q, q), 8), count - 16, p.kind);
      }
    }
  }
}

void edgec_pixels__avx2(const void *params, uint8_t *const *operands) {
  edgec_host_pixels p = *static_cast<const edgec_host_pixels *>(params);
  if (p.from_kind == p.to_kind) {
    p.channels *= p.to_kind == EDGEC_KIND_S16 ? 2 : 1;
    move_pixels<FlippedBytes, Simd::bytes>(p, operands, 0);
  } else if (p.to_kind == EDGEC_KIND_S16) {
    move_pixels<WidenedBytes, 16>(p, operands, 0);
  } else {
    move_pixels<NarrowedWords, 16>(p, operands, 0);
  }
}
}
