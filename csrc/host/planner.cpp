#include "host/planner.h"

namespace edgec {

Plan plan_tier(const Model &model, const edgec_host_tier &, bool tracing) { return plan_reference(model, tracing); }

}  // namespace edgec
