// Plans a recovered graph for a tier: layouts of the activations, fusion, packing of the weights.
#ifndef EDGEC_HOST_PLANNER_H
#define EDGEC_HOST_PLANNER_H

#include "host/plan.h"
#include "host/tier.h"

namespace edgec {

// Up to so many bytes every value has a place of its own, and borders are written once. With threads far more: bytes that are
// written again by another core have to come from its cache first, which costs more than it gains to use them again.
constexpr size_t resident_bytes = 640 * 1024, resident_bytes_for_threads = 64 * 1024 * 1024;

// tracing: nothing is fused and every record's output is also written in canonical form.
// samples: how many a run takes, one after the other at every port; each step does all of them before the next begins.
Plan plan_tier(const Model &model, const edgec_host_tier &tier, bool tracing, int samples, size_t resident);

}  // namespace edgec

#endif
