// Plans a recovered graph for a tier: layouts of the activations, fusion, packing of the weights.
#ifndef EDGEC_HOST_PLANNER_H
#define EDGEC_HOST_PLANNER_H

#include "host/plan.h"
#include "host/tier.h"

namespace edgec {

// tracing: nothing is fused and every record's output is also written in canonical form.
Plan plan_tier(const Model &model, const edgec_host_tier &tier, bool tracing);

}  // namespace edgec

#endif
