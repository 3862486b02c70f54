// Loops unrolled by the type system: GCC 12 leaves pragma-unrolled register tiles in memory.
#ifndef EDGEC_SIMD_UNROLL_H
#define EDGEC_SIMD_UNROLL_H

#define EDGEC_INLINE __attribute__((always_inline)) inline
#define EDGEC_LAMBDA __attribute__((always_inline))

namespace {

template <int I> struct Index {
  static constexpr int value = I;
  constexpr operator int() const { return I; }
};

template <int I, int N, typename F> EDGEC_INLINE void unroll_from(const F &f) {
  if constexpr (I < N) {
    f(Index<I>());
    unroll_from<I + 1, N>(f);
  }
}

// f(Index<0>()), … f(Index<N - 1>())
template <int N, typename F> EDGEC_INLINE void unroll(const F &f) { unroll_from<0, N>(f); }

}  // namespace

#endif
