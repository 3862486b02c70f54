// softmax over int8 rows: table entries one by one, and everything after the row's sum in vectors. docs/SPEC.md 1.8.
#ifndef EDGEC_PLAIN_SOFTMAX_H
#define EDGEC_PLAIN_SOFTMAX_H

#include "kernels/plain/plain_vectors.h"
#include "kernels/softmax/softmax.h"

namespace {

// What a row's entries are multiplied by and shifted by, from their sum.
struct SoftmaxRow {
  uint32_t scale, shift;
};
EDGEC_PLAIN SoftmaxRow softmax_row(uint32_t sum, const edgec_softmax_params &p) {
  const uint32_t bits = 32u - static_cast<uint32_t>(__builtin_clz(sum | 1u));
  const uint32_t k = bits > 16 ? bits - 16 : 0;
  const uint32_t rounded = k == 0 ? sum : (sum + (1u << (k - 1))) >> k;
  const uint32_t reciprocal = 0x80000000u / (rounded == 0 ? 1u : rounded);
  return {reciprocal * static_cast<uint32_t>(p.factor), 31u + k + static_cast<uint32_t>(p.fraction)};
}

// The greatest of a row; the sum of entries of the table, of at most so many, which go to `held`.
constexpr int32_t held_at_most = 1024;
EDGEC_PLAIN int32_t softmax_top(const int8_t *x, int32_t depth) {
  if (depth < plain_lanes) {
    int32_t top = x[0];
    for (int32_t i = 1; i < depth; i++) {
      top = x[i] > top ? x[i] : top;
      plain_keep(top);
    }
    return top;
  }
  int8_t top = x[0];
  for (int32_t i = 1; i < depth; i++) {
    top = x[i] > top ? x[i] : top;
  }
  return top;
}
EDGEC_PLAIN uint32_t softmax_entries(const int8_t *x, int32_t count, int32_t top, const uint32_t *table, uint32_t *held) {
  uint8_t index[held_at_most];
  uint32_t sum = 0;
  if (count >= plain_lanes) {
    for (int32_t i = 0; i < count; i++) {
      index[i] = static_cast<uint8_t>(top - x[i]);
    }
#pragma GCC unroll 8
    for (int32_t i = 0; i < count; i++) {
      uint32_t entry = table[index[i]];
      plain_keep(entry);
      held[i] = entry;
      sum += entry;
    }
    return sum;
  }
  for (int32_t i = 0; i < count; i++) {
    uint32_t entry = table[static_cast<uint8_t>(top - x[i])];
    plain_keep(entry);
    held[i] = entry;
    sum += entry;
  }
  return sum;
}

EDGEC_PLAIN void softmax_outputs(const uint32_t *held, int32_t count, const SoftmaxRow &row, int32_t zero_point, int8_t *y) {
  const uint64_t half = UINT64_C(1) << (row.shift - 1);
  int32_t i = 0;
#if defined(__x86_64__)
  const Simd::V scale = Simd::set32(static_cast<int32_t>(row.scale)), round = Simd::set64(static_cast<int64_t>(half));
  for (; i + plain_lanes <= count; i += plain_lanes) {
    const Simd::V entries = Simd::load(held + i);
    const Simd::V even = Simd::shift_right64(Simd::add64(Simd::mul_even_unsigned(entries, scale), round), row.shift);
    const Simd::V odd = Simd::shift_right64(Simd::add64(Simd::mul_even_unsigned(Simd::odd_to_even(entries), scale), round), row.shift);
    const PlainWords q = reinterpret_cast<PlainWords>(Simd::low_halves(even, odd)) & 0x1ffff;
    plain_store(y + i, plain_clamp(q + zero_point, -128, 127));
  }
#endif
  for (; i < count; i++) {
    uint64_t product = static_cast<uint64_t>(held[i]) * row.scale + half;
    plain_keep(product);
    y[i] = static_cast<int8_t>(plain_clamp(zero_point + static_cast<int32_t>((product >> row.shift) & 0x1ffff), -128, 127));
  }
}

// A row longer than what is held: its entries are read twice.
EDGEC_PLAIN void softmax_long_row(const int8_t *x, int8_t *y, const edgec_softmax_params &p, const uint32_t *table, uint32_t *held) {
  const int32_t top = softmax_top(x, p.depth);
  uint32_t sum = 0;
  for (int32_t i = 0; i < p.depth; i += held_at_most) {
    sum += softmax_entries(x + i, plain_least(p.depth - i, held_at_most), top, table, held);
  }
  const SoftmaxRow row = softmax_row(sum, p);
  for (int32_t i = 0; i < p.depth; i += held_at_most) {
    const int32_t count = plain_least(p.depth - i, held_at_most);
    softmax_entries(x + i, count, top, table, held);
    softmax_outputs(held, count, row, p.out_zero_point, y + i);
  }
}

// Several rows step by step, so that nothing waits for one row's division.
EDGEC_PLAIN void plain_softmax(const void *params, uint8_t *const *operands) {
  const edgec_host_plain_step &step = *static_cast<const edgec_host_plain_step *>(params);
  const edgec_softmax_params &p = *static_cast<const edgec_softmax_params *>(step.params);
  const uint32_t *const table = static_cast<const uint32_t *>(step.constant[0]);
  const int8_t *x = reinterpret_cast<const int8_t *>(operands[0]);
  int8_t *y = reinterpret_cast<int8_t *>(operands[2]);
  constexpr int32_t rows_at_most = 64;
  uint32_t held[held_at_most], sum[rows_at_most];
  SoftmaxRow row[rows_at_most];
  const int32_t at_once = plain_least(held_at_most / p.depth, rows_at_most);
  for (int32_t first = 0; first < p.rows; first += at_once > 0 ? at_once : 1) {
    if (at_once == 0) {
      softmax_long_row(x + first * p.depth, y + first * p.depth, p, table, held);
      continue;
    }
    const int32_t rows = plain_least(p.rows - first, at_once);
    for (int32_t n = 0; n < rows; n++) {
      const int8_t *const from = x + (first + n) * p.depth;
      sum[n] = softmax_entries(from, p.depth, softmax_top(from, p.depth), table, held + n * p.depth);
    }
    for (int32_t n = 0; n < rows; n++) {
      row[n] = softmax_row(sum[n], p);
    }
    for (int32_t n = 0; n < rows; n++) {
      softmax_outputs(held + n * p.depth, p.depth, row[n], p.out_zero_point, y + (first + n) * p.depth);
    }
  }
}

}  // namespace

#endif
