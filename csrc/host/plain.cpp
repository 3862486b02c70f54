#include "host/plain.h"

#include <cstring>

#include "host/plain_tier.h"
#include "kernels/argmax/argmax.h"
#include "kernels/table_pool/table_pool.h"

namespace edgec {

namespace {

const edgec_host_plain *kernels_of(const char *tier) {
  const struct {
    const char *name;
    const edgec_host_plain *kernels;
  } all[] = {
#ifdef EDGEC_TIER_avx2
      {"avx2", &edgec_plain__avx2},
#endif
#ifdef EDGEC_TIER_avxvnni
      {"avxvnni", &edgec_plain__avxvnni},
#endif
#ifdef EDGEC_TIER_avx512vnni
      {"avx512vnni", &edgec_plain__avx512vnni},
#endif
#ifdef EDGEC_TIER_neon
      {"neon", &edgec_plain__neon},
#endif
#ifdef EDGEC_TIER_neondot
      {"neondot", &edgec_plain__neondot},
#endif
#ifdef EDGEC_TIER_neoni8mm
      {"neoni8mm", &edgec_plain__neoni8mm},
#endif
      {"", nullptr}};
  for (const auto &entry : all) {
    if (std::strcmp(entry.name, tier) == 0) {
      return entry.kernels;
    }
  }
  return nullptr;
}

// Not along a few bytes, nor with few neighbours.
bool gains_argmax(const Record &record) {
  const auto &p = record.as<edgec_argmax_params>();
  return p.inner == 1 ? p.depth >= 32 : p.inner >= 8;
}

}  // namespace

PlainStep plain_step(Plan &plan, const edgec_host_tier &tier, const Record &record) {
  const edgec_host_plain *const kernels = kernels_of(tier.name);
  edgec_host_step run = nullptr;
  if (kernels != nullptr) {
    switch (record.opcode) {
      case op_mul: run = kernels->mul; break;
      case op_minimum: run = kernels->minimum; break;
      case op_maximum: run = kernels->maximum; break;
      case op_add_wide: run = kernels->add_wide; break;
      case op_resize: run = kernels->resize; break;
      case op_softmax: run = kernels->softmax; break;
      case op_div: run = kernels->div; break;
      case op_argmax: run = gains_argmax(record) ? kernels->argmax : nullptr; break;
      case op_table_pool2d: run = record.as<edgec_table_pool2d_params>().channels >= tier.lanes / 2 ? kernels->table_pool : nullptr; break;
      default: break;
    }
  }
  if (run == nullptr) {
    const PlainStep wide = wide_step(plan, tier, record);
    return wide.run != nullptr ? wide : movement_step(plan, tier, record);
  }
  const edgec_host_plain_step step = {record.params, {record.constant[0], record.constant[1]}};
  return {run, plan.keep(step), 50.0 + record.output.bytes, 0};
}

}  // namespace edgec
