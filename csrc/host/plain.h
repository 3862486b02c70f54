// Operators on the artifact's own bytes that have something faster than the reference kernel: chosen when a plan is made.
#ifndef EDGEC_HOST_PLAIN_H
#define EDGEC_HOST_PLAIN_H

#include "host/plan.h"
#include "host/tier.h"

namespace edgec {

struct PlainStep {
  StepFunction run = nullptr;  // operands as run_reference; nullptr: there is nothing faster
  const void *params = nullptr;
  double cycles = 0;
  size_t scratch = 0;  // bytes, operand 3
};

// By the tier's vectors (csrc/kernels/plain), or by moving bytes in runs (host/movement.cpp).
PlainStep plain_step(Plan &plan, const edgec_host_tier &tier, const Record &record);

// conv2d_s16, average_pool2d_s16, add_s16, rescale_s16. nullptr in `run` for other records, and what the kernels do not run.
PlainStep wide_step(Plan &plan, const edgec_host_tier &tier, const Record &record);

// strided_copy, transpose, pad with a constant, gather. nullptr in `run` for other records.
PlainStep movement_step(Plan &plan, const edgec_host_tier &tier, const Record &record);

}  // namespace edgec

#endif
