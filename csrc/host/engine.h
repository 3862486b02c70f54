// The host execution engine: an artifact, a plan for the chosen tier, and a pool of arenas.
#ifndef EDGEC_HOST_ENGINE_H
#define EDGEC_HOST_ENGINE_H

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "host/plan.h"

namespace edgec {

// One arena and the base addresses of the operand spaces; used by one thread at a time.
class Context {
 public:
  explicit Context(const Plan &plan, size_t ports);
  void run(const Plan &plan) const;
  const uint8_t *at(Operand operand) const { return bases[operand.space] + operand.offset; }

  std::vector<uint8_t *> bases;

 private:
  std::unique_ptr<uint8_t, void (*)(void *)> memory_;
};

// Multiply-accumulates a second of a tier's dot product instruction on this core, best of some runs; 0 for "ref".
double peak_macs_per_second(const std::string &tier);

class Engine {
 public:
  Engine(const void *artifact, size_t bytes, const std::string &tier);
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
  const Plan &plan() const { return plan_; }
  size_t arena_bytes() const { return plan_.arena_bytes; }
  size_t ports() const { return model_.inputs.size() + model_.outputs.size(); }
  uint32_t port_bytes(size_t index) const {
    return index < model_.inputs.size() ? model_.inputs[index].place.bytes : model_.outputs[index - model_.inputs.size()].place.bytes;
  }

 private:
  Plan make_plan(bool tracing) const;
  Context *acquire();
  void release(Context *context);
  std::vector<std::vector<uint8_t>> own_ports(const std::vector<const uint8_t *> &inputs) const;

  Model model_;
  std::string tier_;
  Plan plan_;
  std::atomic<Context *> spare_{nullptr};  // the way of one thread at a time takes no lock
  std::mutex mutex_;
  std::vector<std::unique_ptr<Context>> idle_;
};

}  // namespace edgec

#endif
