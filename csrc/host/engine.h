// The host execution engine: an artifact, plans for the chosen tier, pools of arenas and threads.
#ifndef EDGEC_HOST_ENGINE_H
#define EDGEC_HOST_ENGINE_H

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "host/plan.h"
#include "host/pool.h"

namespace edgec {

// One arena and the base addresses of the operand spaces; used by one thread at a time.
class Context {
 public:
  // background: what the arena holds before anything is written; results do not depend on it.
  explicit Context(const Plan &plan, size_t ports, int background = 0);
  void run(const Plan &plan) const;
  void run(const Plan &plan, Pool &pool) const;
  const uint8_t *at(Operand operand) const { return bases[operand.space] + operand.offset; }

  std::vector<uint8_t *> bases;

 private:
  std::unique_ptr<uint8_t, void (*)(void *)> memory_;
};

// A plan and its arenas that are free.
class Prepared {
 public:
  Prepared(Plan plan, int samples, size_t ports) : plan(std::move(plan)), samples(samples), ports_(ports) {}
  ~Prepared() { delete spare_.load(); }
  Prepared(const Prepared &) = delete;
  Prepared &operator=(const Prepared &) = delete;
  Context *acquire();
  void release(Context *context);

  const Plan plan;
  const int samples;  // a run of the plan takes

 private:
  const size_t ports_;
  std::atomic<Context *> spare_{nullptr};  // the way of one thread at a time takes no lock
  std::mutex mutex_;
  std::vector<std::unique_ptr<Context>> idle_;
};

constexpr int samples_at_once = 8;

// Multiply-accumulates a second of a tier's dot product instruction on this core, best of some runs; 0 for "ref".
double peak_macs_per_second(const std::string &tier);

// Bytes read and written a second by memcpy of so many bytes, again and again from one place to another, best of some runs.
double copied_bytes_per_second(size_t bytes);

class Engine {
 public:
  // threads: the most that one run uses; the caller is one of them.
  Engine(const void *artifact, size_t bytes, const std::string &tier, int threads = 1);
  ~Engine();
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  // ports: inputs then outputs, each the bytes of `batch` samples. Safe from several threads at once.
  void run(uint8_t *const *ports, size_t batch);

  // Seconds of each of `count` single runs, after `warmup` runs; inputs as given, or fixed pseudo-random bytes.
  std::vector<double> benchmark(size_t count, size_t warmup, const std::vector<const uint8_t *> &inputs);

  // Per step: name, record, and its median seconds over `count` runs.
  struct StepTime {
    std::string name;
    int record;
    double seconds;
  };
  std::vector<StepTime> profile(size_t count);

  // The output bytes of every record in canonical order, one sample.
  std::vector<std::vector<uint8_t>> trace(const std::vector<const uint8_t *> &inputs);

  const Model &model() const { return model_; }
  const std::string &tier() const { return tier_; }
  const Plan &plan() const { return single_.plan; }
  size_t arena_bytes() const { return plan().arena_bytes; }
  int threads() const { return threads_; }
  // Whether a single inference is worth more than one thread, and whether a thread has been started.
  bool uses_threads() const { return !plan().sections.empty(); }
  bool has_started_threads() const { return pool_.load() != nullptr; }
  // The plan for samples_at_once samples where it pays (made when first asked for), else nullptr.
  Prepared *batched();
  double cycles() const { return plan().cycles(); }
  size_t ports() const { return model_.inputs.size() + model_.outputs.size(); }
  uint32_t port_bytes(size_t index) const {
    return index < model_.inputs.size() ? model_.inputs[index].place.bytes : model_.outputs[index - model_.inputs.size()].place.bytes;
  }

 private:
  class Lane;
  Plan make_plan(bool tracing, int samples, int threads) const;
  Pool *enter_pool();
  void run_in_parallel(Pool &pool, uint8_t *const *ports, size_t batch, Prepared *batched);
  std::vector<std::vector<uint8_t>> own_ports(const std::vector<const uint8_t *> &inputs) const;

  const Model model_;
  const std::string tier_;
  const int threads_;
  Prepared single_;
  std::atomic<Prepared *> batched_{nullptr};
  std::atomic<bool> batch_considered_{false};
  std::atomic<Pool *> pool_{nullptr};
  std::mutex mutex_;  // of making the two
};

}  // namespace edgec

#endif
