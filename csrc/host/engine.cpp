#include "host/engine.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "host/error.h"
#include "host/planner.h"
#include "host/tiers.h"

namespace edgec {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

double peak_macs_per_second(const std::string &tier) {
  const edgec_host_tier *const kernels = tier_kernels(choose_tier(tier));
  if (kernels == nullptr) {
    return 0.0;
  }
  constexpr int32_t iterations = 20000;
  double best = 1.0;
  for (int i = 0; i < 40; i++) {
    const double start = now();
    kernels->peak(iterations);
    best = std::min(best, now() - start);
  }
  return 12.0 * iterations * kernels->lanes * kernels->group / best;
}

Context::Context(const Plan &plan, size_t ports) : bases(1 + ports, nullptr), memory_(nullptr, &std::free) {
  const size_t bytes = (plan.arena_bytes + 2 * arena_slack + arena_alignment - 1) / arena_alignment * arena_alignment;
  memory_.reset(static_cast<uint8_t *>(std::aligned_alloc(arena_alignment, bytes)));
  if (!memory_) {
    throw std::bad_alloc();
  }
  std::memset(memory_.get(), 0, bytes);
  bases[0] = memory_.get() + arena_slack;
  for (const Fill &border : plan.fills) {
    fill(bases[0], border);
  }
}

void Context::run(const Plan &plan) const {
  for (const Step &step : plan.steps) {
    uint8_t *operands[max_operands];
    for (int i = 0; i < max_operands; i++) {
      operands[i] = bases[step.operands[i].space] + step.operands[i].offset;
    }
    step.run(step.params, operands);
  }
}

Engine::Engine(const void *artifact, size_t bytes, const std::string &tier)
    : model_(artifact, bytes), tier_(choose_tier(tier)), plan_(make_plan(false)) {
  release(new Context(plan_, ports()));
}

Engine::~Engine() { delete spare_.load(); }

Plan Engine::make_plan(bool tracing) const {
  const edgec_host_tier *const kernels = tier_kernels(tier_);
  if (kernels == nullptr || !model_.is_graph) {
    return plan_reference(model_, tracing);
  }
  return plan_tier(model_, *kernels, tracing);
}

Context *Engine::acquire() {
  Context *context = spare_.exchange(nullptr);
  if (context != nullptr) {
    return context;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      context = idle_.back().release();
      idle_.pop_back();
      return context;
    }
  }
  return new Context(plan_, ports());
}

void Engine::release(Context *context) {
  Context *none = nullptr;
  if (!spare_.compare_exchange_strong(none, context)) {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.emplace_back(context);
  }
}

void Engine::run(uint8_t *const *port_bytes_at, size_t batch) {
  Context *const context = acquire();
  const size_t count = ports();
  for (size_t sample = 0; sample < batch; sample++) {
    for (size_t i = 0; i < count; i++) {
      context->bases[1 + i] = port_bytes_at[i] + sample * port_bytes(i);
    }
    context->run(plan_);
  }
  release(context);
}

std::vector<std::vector<uint8_t>> Engine::own_ports(const std::vector<const uint8_t *> &inputs) const {
  std::vector<std::vector<uint8_t>> buffers;
  uint32_t seed = 1;
  for (size_t i = 0; i < ports(); i++) {
    buffers.emplace_back(port_bytes(i));
    if (i < inputs.size()) {
      std::memcpy(buffers.back().data(), inputs[i], buffers.back().size());
    } else {
      for (uint8_t &b : buffers.back()) {
        seed = seed * 1664525u + 1013904223u;
        b = static_cast<uint8_t>(seed >> 24);
      }
    }
  }
  return buffers;
}

std::vector<double> Engine::benchmark(size_t count, size_t warmup, const std::vector<const uint8_t *> &inputs) {
  auto buffers = own_ports(inputs);
  std::vector<uint8_t *> at;
  for (auto &b : buffers) {
    at.push_back(b.data());
  }
  for (size_t i = 0; i < warmup; i++) {
    run(at.data(), 1);
  }
  std::vector<double> seconds(count);
  for (double &s : seconds) {
    const double start = now();
    run(at.data(), 1);
    s = now() - start;
  }
  return seconds;
}

std::vector<Engine::StepTime> Engine::profile(size_t count) {
  auto buffers = own_ports({});
  Context *const context = acquire();
  for (size_t i = 0; i < ports(); i++) {
    context->bases[1 + i] = buffers[i].data();
  }
  std::vector<std::vector<double>> seconds(plan_.steps.size(), std::vector<double>(count));
  double clock = 1.0;
  for (int i = 0; i < 100; i++) {
    const double start = now();
    clock = std::min(clock, now() - start);
  }
  for (size_t n = 0; n < count; n++) {
    for (size_t i = 0; i < plan_.steps.size(); i++) {
      const Step &step = plan_.steps[i];
      uint8_t *operands[max_operands];
      for (int k = 0; k < max_operands; k++) {
        operands[k] = context->bases[step.operands[k].space] + step.operands[k].offset;
      }
      const double start = now();
      step.run(step.params, operands);
      seconds[i][n] = now() - start - clock;
    }
  }
  release(context);
  std::vector<StepTime> times;
  for (size_t i = 0; i < plan_.steps.size(); i++) {
    std::sort(seconds[i].begin(), seconds[i].end());
    times.push_back({plan_.steps[i].name, plan_.steps[i].record, count != 0 ? seconds[i][count / 2] : 0.0});
  }
  return times;
}

std::vector<std::vector<uint8_t>> Engine::trace(const std::vector<const uint8_t *> &inputs) {
  const Plan plan = make_plan(true);
  Context context(plan, ports());
  auto buffers = own_ports(inputs);
  for (size_t i = 0; i < ports(); i++) {
    context.bases[1 + i] = buffers[i].data();
  }
  context.run(plan);
  std::vector<std::vector<uint8_t>> outputs(model_.records.size());
  for (const Traced &t : plan.traced) {
    const uint8_t *const at = context.at(t.operand);
    outputs[static_cast<size_t>(t.record)].assign(at, at + t.bytes);
  }
  return outputs;
}

}  // namespace edgec
