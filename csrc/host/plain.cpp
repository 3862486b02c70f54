#include "host/plain.h"

#include "host/plain_tier.h"
#include "kernels/argmax/argmax.h"
#include "kernels/table_pool/table_pool.h"

namespace edgec {

namespace {

// Not along a few bytes, nor with few neighbours.
bool gains_argmax(const Record &record) {
  const auto &p = record.as<edgec_argmax_params>();
  return p.inner == 1 ? p.depth >= 32 : p.inner >= 8;
}

}  // namespace

PlainStep plain_step(Plan &plan, const edgec_host_tier &tier, const Record &record) {
  edgec_host_step run = nullptr;
  switch (record.opcode) {
    case op_mul: run = tier.plain->mul; break;
    case op_minimum: run = tier.plain->minimum; break;
    case op_maximum: run = tier.plain->maximum; break;
    case op_add_wide: run = tier.plain->add_wide; break;
    case op_resize: run = tier.plain->resize; break;
    case op_softmax: run = tier.plain->softmax; break;
    case op_div: run = tier.plain->div; break;
    case op_argmax: run = gains_argmax(record) ? tier.plain->argmax : nullptr; break;
    case op_table_pool2d: run = record.as<edgec_table_pool2d_params>().channels >= tier.lanes / 2 ? tier.plain->table_pool : nullptr; break;
    default: break;
  }
  if (run == nullptr) {
    const PlainStep wide = wide_step(plan, tier, record);
    return wide.run != nullptr ? wide : movement_step(plan, tier, record);
  }
  const edgec_host_plain_step step = {record.params, {record.constant[0], record.constant[1]}};
  return {run, plan.keep(step), 50.0 + record.output.bytes, 0};
}

}  // namespace edgec
