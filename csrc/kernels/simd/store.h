// The last store of a row. After Simd.
#ifndef EDGEC_SIMD_STORE_H
#define EDGEC_SIMD_STORE_H

namespace {

// v, or the first `left` bytes of it where these are fewer.
EDGEC_INLINE void store_up_to(uint8_t *to, Simd::V v, int32_t left) {
  if (__builtin_expect(left >= Simd::bytes, 1)) {
    Simd::store(to, v);
  } else {
    Simd::store_head(to, v, left);
  }
}

}  // namespace

#endif
