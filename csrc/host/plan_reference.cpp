#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "host/plan.h"

namespace edgec {

namespace {

struct Copy {
  size_t bytes;
};

void run_copy(const void *params, uint8_t *const *operands) {
  std::memcpy(operands[1], operands[0], static_cast<const Copy *>(params)->bytes);
}

Step copy_step(Plan &plan, Operand from, Operand to, size_t bytes, const char *name) {
  Step step;
  step.run = &run_copy;
  step.params = plan.keep(Copy{bytes});
  step.operands[0] = from;
  step.operands[1] = to;
  step.name = name;
  return step;
}

}  // namespace

uint8_t *Plan::keep_bytes(size_t bytes) {
  const size_t rounded = (bytes + 127) / 64 * 64;
  auto *const p = static_cast<uint8_t *>(std::aligned_alloc(64, rounded));
  if (p == nullptr) {
    throw std::bad_alloc();
  }
  std::memset(p, 0, rounded);
  storage.push_back(std::shared_ptr<void>(p, &std::free));
  return p;
}

void fill(uint8_t *base, const Fill &what) {
  if (what.element == 1) {
    std::memset(base + what.offset, what.value, what.count);
    return;
  }
  std::fill_n(reinterpret_cast<int16_t *>(base + what.offset), what.count, static_cast<int16_t>(what.value));
}

void run_reference(const void *params, uint8_t *const *operands) {
  const auto *const step = static_cast<const ReferenceStep *>(params);
  edgec_operands o = step->constants;
  o.input[0] = reinterpret_cast<const int8_t *>(operands[0]);
  o.input[1] = reinterpret_cast<const int8_t *>(operands[1]);
  o.output[0] = reinterpret_cast<int8_t *>(operands[2]);
  o.scratch = operands[3];
  step->record->kernel->run(step->record->params, &o);
}

double reference_cycles(const Record &record) {
  return 50.0 + static_cast<double>(macs_of(record)) + 2.0 * (record.input[0].bytes + record.output.bytes);
}

Plan plan_reference(const Model &model, bool tracing) {
  Plan plan;
  plan.arena_bytes = model.arena_bytes;
  uint32_t space = 1;
  for (const Port &port : model.inputs) {
    plan.steps.push_back(copy_step(plan, {space++, 0}, {0, port.place.offset}, port.place.bytes, "input"));
  }
  for (size_t i = 0; i < model.records.size(); i++) {
    const Record &r = model.records[i];
    ReferenceStep reference{&r, {}};
    for (int k = 0; k < r.constant_count; k++) {
      reference.constants.constant[k] = r.constant[k];
    }
    Step step;
    step.run = &run_reference;
    step.params = plan.keep(reference);
    for (int k = 0; k < r.input_count; k++) {
      step.operands[k] = {0, r.input[k].offset};
    }
    step.operands[2] = {0, r.output.offset};
    step.operands[3] = {0, r.scratch.offset};
    step.record = static_cast<int>(i);
    step.name = name_of(r) + " ref";
    step.cycles = reference_cycles(r);
    plan.steps.push_back(step);
    if (tracing) {  // a later operator may overwrite it: keep a copy behind the arena
      const size_t at = (plan.arena_bytes + 63) / 64 * 64;
      plan.arena_bytes = at + r.output.bytes;
      plan.steps.push_back(copy_step(plan, {0, r.output.offset}, {0, at}, r.output.bytes, "trace"));
      plan.traced.push_back({static_cast<int>(i), {0, at}, r.output.bytes});
    }
  }
  for (const Port &port : model.outputs) {
    plan.steps.push_back(copy_step(plan, {0, port.place.offset}, {space++, 0}, port.place.bytes, "output"));
  }
  return plan;
}

}  // namespace edgec
