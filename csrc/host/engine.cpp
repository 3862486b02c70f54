#include "host/engine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "host/clock.h"
#include "host/error.h"
#include "host/parts.h"
#include "host/planner.h"
#include "host/tiers.h"

namespace edgec {

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

double copied_bytes_per_second(size_t bytes) {
  constexpr size_t page = arena_alignment;
  std::vector<uint8_t> memory(2 * (bytes + 2 * page), 1);
  auto *const from = memory.data() + (page - reinterpret_cast<uintptr_t>(memory.data()) % page);
  auto *const to = from + (bytes + page - 1) / page * page;
  const int times = static_cast<int>(std::max<size_t>(8, (size_t(1) << 16) / bytes));
  double best = 1.0;
  for (int i = 0; i < 40; i++) {
    const double start = now();
    for (int n = 0; n < times; n++) {
      std::memcpy(to, from, bytes);
      __asm__ volatile("" : : "r"(to) : "memory");  // every copy is made
    }
    best = std::min(best, (now() - start) / times);
  }
  return 2.0 * static_cast<double>(bytes) / best;
}

Context::Context(const Plan &plan, size_t ports, int background) : bases(1 + ports, nullptr), memory_(nullptr, &std::free) {
  const size_t bytes = (plan.arena_bytes + 2 * arena_slack + arena_alignment - 1) / arena_alignment * arena_alignment;
  memory_.reset(static_cast<uint8_t *>(std::aligned_alloc(arena_alignment, bytes)));
  if (!memory_) {
    throw std::bad_alloc();
  }
  std::memset(memory_.get(), background, bytes);
  bases[0] = memory_.get() + arena_slack;
  for (const Fill &border : plan.fills) {
    fill(bases[0], border);
  }
}

namespace {

template <typename S> void run_step(const S &step, const std::vector<uint8_t *> &bases) {
  uint8_t *operands[max_operands];
  for (int i = 0; i < max_operands; i++) {
    operands[i] = bases[step.operands[i].space] + step.operands[i].offset;
  }
  step.run(step.params, operands);
}

}  // namespace

void Context::run(const Plan &plan) const {
  for (const Step &step : plan.steps) {
    run_step(step, bases);
  }
}

void Context::run(const Plan &plan, Pool &pool) const {
  struct Job {
    const Section *section;
    const std::vector<uint8_t *> *bases;
  };
  for (const Section &section : plan.sections) {
    if (section.parts.empty()) {
      for (size_t i = section.first; i < section.until; i++) {
        run_step(plan.steps[i], bases);
      }
      continue;
    }
    Job job{&section, &bases};
    pool.run(static_cast<uint32_t>(section.parts.size()), [](void *p, uint32_t part, int) {
      const Job &j = *static_cast<const Job *>(p);
      run_step(j.section->parts[part], *j.bases);
    }, &job);
  }
}

Context *Prepared::acquire() {
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
  return new Context(plan, ports_);
}

void Prepared::release(Context *context) {
  Context *none = nullptr;
  if (!spare_.compare_exchange_strong(none, context)) {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.emplace_back(context);
  }
}

Engine::Engine(const void *artifact, size_t bytes, const std::string &tier, int threads)
    : model_(artifact, bytes), tier_(choose_tier(tier)), threads_(std::max(1, std::min(threads, max_threads))),
      single_(make_plan(false, 1, threads_), 1, model_.inputs.size() + model_.outputs.size()) {
  single_.release(single_.acquire());
}

Engine::~Engine() {
  delete batched_.load();
  Pool *const pool = pool_.load();
  if (pool != nullptr && pool->is_of_this_process()) {  // in a forked process there is nobody to join, and nothing to free safely
    delete pool;
  }
}

Plan Engine::make_plan(bool tracing, int samples, int threads) const {
  const edgec_host_tier *const kernels = tier_kernels(tier_);
  if (kernels == nullptr || !model_.is_graph) {
    return plan_reference(model_, tracing);
  }
  if (threads > 1) {
    Plan plan = plan_tier(model_, *kernels, tracing, samples, resident_bytes_for_threads);
    make_sections(plan, threads);
    if (!plan.sections.empty() || plan.arena_bytes <= resident_bytes) {
      return plan;
    }
  }
  return plan_tier(model_, *kernels, tracing, samples, resident_bytes);
}

// Several samples a step pay where weights are read from beyond the first cache for each sample (dense layers) and where the
// positions of a layer fill no tile, as long as what all the samples have in the arena stays in the second.
Prepared *Engine::batched() {
  constexpr size_t arena_at_most = 512 * 1024;
  constexpr double worth = 0.9;
  if (!batch_considered_.load(std::memory_order_acquire)) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!batch_considered_.load(std::memory_order_relaxed)) {
      if (tier_kernels(tier_) != nullptr && model_.is_graph && plan().arena_bytes * samples_at_once <= arena_at_most) {
        auto made = std::make_unique<Prepared>(make_plan(false, samples_at_once, 1), samples_at_once, ports());
        if (made->plan.cycles() < worth * samples_at_once * cycles()) {
          batched_.store(made.release());
        }
      }
      batch_considered_.store(true, std::memory_order_release);
    }
  }
  return batched_.load(std::memory_order_relaxed);
}

// The pool, entered; nullptr where another thread has it.
Pool *Engine::enter_pool() {
  Pool *pool = pool_.load(std::memory_order_acquire);
  if (pool == nullptr || !pool->is_of_this_process()) {
    const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
      return nullptr;
    }
    pool = pool_.load(std::memory_order_acquire);
    if (pool == nullptr || !pool->is_of_this_process()) {  // a parent's pool is left behind: its threads are not here, its lock may be held
      pool = new Pool(threads_);
      pool_.store(pool, std::memory_order_release);
    }
  }
  return pool->enter() ? pool : nullptr;
}

// Arenas of one participant: of the plan for one sample, and of the one for several where there is one.
class Engine::Lane {
 public:
  Lane(Engine &engine, Prepared *batched)
      : engine_(engine), batched_(batched), single_context_(engine.single_.acquire()), batched_context_(batched != nullptr ? batched->acquire() : nullptr) {}
  ~Lane() {
    engine_.single_.release(single_context_);
    if (batched_ != nullptr) {
      batched_->release(batched_context_);
    }
  }
  Lane(const Lane &) = delete;
  Lane &operator=(const Lane &) = delete;

  void run(uint8_t *const *ports, size_t first, size_t until) {
    if (batched_ != nullptr) {
      const auto samples = static_cast<size_t>(batched_->samples);
      for (; until - first >= samples; first += samples) {
        at_sample(*batched_context_, ports, first).run(batched_->plan);
      }
    }
    for (; first != until; first++) {
      at_sample(*single_context_, ports, first).run(engine_.plan());
    }
  }
  void run(uint8_t *const *ports, size_t sample, Pool &pool) { at_sample(*single_context_, ports, sample).run(engine_.plan(), pool); }

 private:
  const Context &at_sample(Context &context, uint8_t *const *ports, size_t sample) const {
    for (size_t i = 0; i + 1 < context.bases.size(); i++) {
      context.bases[1 + i] = ports[i] + sample * engine_.port_bytes(i);
    }
    return context;
  }

  Engine &engine_;
  Prepared *const batched_;
  Context *const single_context_, *const batched_context_;
};

void Engine::run_in_parallel(Pool &pool, uint8_t *const *ports, size_t batch, Prepared *batched) {
  if (batch < static_cast<size_t>(threads_)) {  // the parts of each sample's steps
    Lane lane(*this, nullptr);
    for (size_t sample = 0; sample < batch; sample++) {
      lane.run(ports, sample, pool);
    }
    return;
  }
  // Samples are shared out: in whole runs of the plan, and several pieces for each thread, as one of them may be slow.
  struct Job {
    uint8_t *const *ports;
    size_t batch, each;
    std::vector<std::unique_ptr<Lane>> lanes;
  } job{ports, batch, 0, {}};
  const size_t unit = batched != nullptr ? static_cast<size_t>(samples_at_once) : 1;
  const size_t units = (batch + unit - 1) / unit;
  const auto least = static_cast<size_t>(8 * dispatch_cycles / (cycles() * static_cast<double>(unit))) + 1;
  job.each = std::max({least, units / (8 * static_cast<size_t>(threads_)), units / Pool::max_parts + 1}) * unit;
  for (int i = 0; i < threads_; i++) {
    job.lanes.push_back(std::make_unique<Lane>(*this, batched));
  }
  pool.run(static_cast<uint32_t>((batch + job.each - 1) / job.each), [](void *p, uint32_t part, int participant) {
    const Job &j = *static_cast<const Job *>(p);
    const size_t first = part * j.each;
    j.lanes[static_cast<size_t>(participant)]->run(j.ports, first, std::min(j.batch, first + j.each));
  }, &job);
}

void Engine::run(uint8_t *const *ports, size_t batch) {
  Prepared *const plan_for_batch = batch >= samples_at_once ? batched() : nullptr;
  const bool by_samples = batch >= static_cast<size_t>(threads_) && cycles() * static_cast<double>(batch) / 2 >= least_gain_cycles;
  const bool by_parts = batch < static_cast<size_t>(threads_) && uses_threads();
  Pool *const pool = threads_ > 1 && (by_samples || by_parts) ? enter_pool() : nullptr;
  if (pool == nullptr) {
    Lane(*this, plan_for_batch).run(ports, 0, batch);
    return;
  }
  const std::unique_ptr<Pool, void (*)(Pool *)> entered(pool, [](Pool *p) { p->leave(); });
  run_in_parallel(*pool, ports, batch, plan_for_batch);
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
  Context *const context = single_.acquire();
  for (size_t i = 0; i < ports(); i++) {
    context->bases[1 + i] = buffers[i].data();
  }
  std::vector<std::vector<double>> seconds(plan().steps.size(), std::vector<double>(count));
  double clock = 1.0;
  for (int i = 0; i < 100; i++) {
    const double start = now();
    clock = std::min(clock, now() - start);
  }
  for (size_t n = 0; n < count; n++) {
    for (size_t i = 0; i < plan().steps.size(); i++) {
      const Step &step = plan().steps[i];
      uint8_t *operands[max_operands];
      for (int k = 0; k < max_operands; k++) {
        operands[k] = context->bases[step.operands[k].space] + step.operands[k].offset;
      }
      const double start = now();
      step.run(step.params, operands);
      seconds[i][n] = now() - start - clock;
    }
  }
  single_.release(context);
  std::vector<StepTime> times;
  for (size_t i = 0; i < plan().steps.size(); i++) {
    std::sort(seconds[i].begin(), seconds[i].end());
    times.push_back({plan().steps[i].name, plan().steps[i].record, count != 0 ? seconds[i][count / 2] : 0.0});
  }
  return times;
}

std::vector<std::vector<uint8_t>> Engine::trace(const std::vector<const uint8_t *> &inputs) {
  const Plan plan = make_plan(true, 1, 1);
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
