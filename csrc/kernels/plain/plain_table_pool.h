// table_pool2d over channels in lanes: entries of the table by gathering, and the search among the thresholds in all lanes at once.
#ifndef EDGEC_PLAIN_TABLE_POOL_H
#define EDGEC_PLAIN_TABLE_POOL_H

#include "kernels/plain/plain_vectors.h"
#include "kernels/table_pool/table_pool.h"

namespace {

constexpr int32_t thresholds_at_most = 256;

// How many of the ascending thresholds are at most acc; those behind the last are INT32_MAX, and not counted.
EDGEC_PLAIN PlainWords thresholds_reached(const int32_t *thresholds, int32_t count, PlainWords acc) {
  PlainWords reached = {};
  for (int32_t step = thresholds_at_most / 2; step > 0; step /= 2) {
    const PlainWords found = plain_gather(thresholds, reached + (step - 1));
    reached += (found <= acc) & step;  // a true lane is −1
  }
  return plain_clamp(reached, 0, count);
}

EDGEC_PLAIN void plain_table_pool(const void *params, uint8_t *const *operands) {
  const edgec_host_plain_step &plain = *static_cast<const edgec_host_plain_step *>(params);
  const edgec_table_pool2d_params &p = *static_cast<const edgec_table_pool2d_params *>(plain.params);
  const int32_t *const table = static_cast<const int32_t *>(plain.constant[0]);
  const int8_t *const x = reinterpret_cast<const int8_t *>(operands[0]);
  int8_t *y = reinterpret_cast<int8_t *>(operands[2]);
  int32_t thresholds[thresholds_at_most];
  for (int32_t i = 0; i < thresholds_at_most; i++) {
    thresholds[i] = i < p.levels ? static_cast<const int32_t *>(plain.constant[1])[i] : INT32_MAX;
  }
  for (int32_t oy = 0; oy < p.out_h; oy++) {
    const int32_t top = oy * p.stride_h - p.pad_top, bottom = top + (p.kernel_h - 1) * p.dilation_h;
    for (int32_t ox = 0; ox < p.out_w; ox++, y += p.channels) {
      const int32_t left = ox * p.stride_w - p.pad_left, right = left + (p.kernel_w - 1) * p.dilation_w;
      const auto pooled = [&](int32_t c, int32_t count) __attribute__((always_inline)) {
        PlainUnsigned sum = {};
        for (int32_t iy = top; iy <= bottom && iy < p.in_h; iy += p.dilation_h) {
          for (int32_t ix = left; ix <= right && ix < p.in_w; ix += p.dilation_w) {
            if (iy >= 0 && ix >= 0) {
              const int8_t *const from = x + (iy * p.in_w + ix) * p.channels + c;
              const PlainWords q = count < plain_lanes ? plain_load(from, count) : plain_load(from);
              sum += reinterpret_cast<PlainUnsigned>(plain_gather(table, q + 128));
            }
          }
        }
        const PlainWords acc = reinterpret_cast<PlainWords>(sum);
        const PlainWords reached = thresholds_reached(thresholds, p.levels, acc), flips = (acc & p.odd_flips) != 0;
        return plain_clamp(((reached ^ flips) - flips) + p.base, p.clamp_min, p.clamp_max);
      };
      plain_pieces(p.channels, [&](int32_t c) __attribute__((always_inline)) { plain_store(y + c, pooled(c, plain_lanes)); },
                   [&](int32_t count) __attribute__((always_inline)) { plain_store(y, pooled(0, count), count); });
    }
  }
}

}  // namespace

#endif
