// The last piece of a row. After Simd.
#ifndef EDGEC_SIMD_ROW_END_H
#define EDGEC_SIMD_ROW_END_H

namespace {

// The bytes at p, or the first `left` of them where these are fewer: what lies behind may be another thread's part, which writes where it
// reads.
EDGEC_INLINE Simd::V load_up_to(const uint8_t *p, int32_t left) {
  return __builtin_expect(left >= Simd::bytes, 1) ? Simd::load(p) : Simd::load_head(p, left);
}

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
