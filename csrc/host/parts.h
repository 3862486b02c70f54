// Steps in parts that several threads take: what is worth it, and where a step may be cut.
#ifndef EDGEC_HOST_PARTS_H
#define EDGEC_HOST_PARTS_H

#include "host/plan.h"
#include "host/tier.h"

namespace edgec {

// The cost model of threads, in cycles (of some 3 GHz; a step's own are from its MACs and bytes: Step::cycles).
constexpr double dispatch_cycles = 4000;     // a job with the workers awake, and the waiting for the last part
constexpr double least_part_cycles = 6000;   // 2 µs: below that a part costs more to hand over than it gains
constexpr double least_gain_cycles = 200000; // some 65 µs: what a run must gain before a thread is started or woken for it

// Fills plan.sections for so many threads, and leaves it empty where a run would not gain least_gain_cycles.
void make_sections(Plan &plan, int threads);

// A conv step (params: edgec_host_conv) may be cut between tiles of positions, or between blocks of channels where its weights
// are more than what it reads and writes. A step over rows of equal distance may be cut between rows.
void cut_conv(Step &step, const edgec_host_tile &tile, int32_t block_channels, size_t block_bytes, int32_t out_element, int32_t residual_element);
template <typename P> void cut_rows(Step &step, const P &params, int32_t at_once, const ptrdiff_t (&row_bytes)[max_operands]) {
  static_assert(offsetof(P, rows) == 0, "rows comes first");
  step.cut.rows = params.rows;
  step.cut.rows_at_once = at_once;
  step.cut.params_bytes = sizeof params;
  for (int i = 0; i < max_operands; i++) {
    step.cut.row_bytes[i] = row_bytes[i];
  }
}

}  // namespace edgec

#endif
