// The constants of a residual for tiers that multiply pairs of int16 (vpmaddwd).
#ifndef EDGEC_SIMD_RESIDUAL_H
#define EDGEC_SIMD_RESIDUAL_H

namespace {

// Added: (own, other) times (Ma, Mb). Summed: (q, 128 q) times the low 7 bits and the rest of 2R, since a sum has one fractional bit
// more than docs/SPEC.md gives it: floor(acc * 2M / 2^32) is twice the rounded product, and less than its next even number.
EDGEC_INLINE int32_t residual_pair(const edgec_host_requantize &q) {
  const int32_t twice = 2 * q.add_other;
  const uint32_t first = static_cast<uint32_t>(q.add == EDGEC_RESIDUAL_SUMMED ? twice & 127 : q.add_own);
  const uint32_t second = static_cast<uint32_t>(q.add == EDGEC_RESIDUAL_SUMMED ? twice >> 7 : q.add_other);
  return static_cast<int32_t>(second << 16 | (first & 0xffffu));
}

// For operands that are `flip` more than q.
EDGEC_INLINE int32_t residual_offset(const edgec_host_requantize &q, uint32_t flip) {
  const uint32_t offset = static_cast<uint32_t>(q.add_offset), other = flip * static_cast<uint32_t>(q.add_other);
  return static_cast<int32_t>(q.add == EDGEC_RESIDUAL_SUMMED ? 2 * (offset - other) + 1 : offset - flip * static_cast<uint32_t>(q.add_own) - other);
}

}  // namespace

#endif
