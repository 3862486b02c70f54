// A few threads that share the parts of one piece of work; owned by an engine, started when first needed.
#ifndef EDGEC_HOST_POOL_H
#define EDGEC_HOST_POOL_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace edgec {

constexpr int max_threads = 64;

class Pool {
 public:
  // One part of a job. participant: 0 is the caller, then the workers; no two parts with one participant run at once.
  using Part = void (*)(void *job, uint32_t part, int participant);
  static constexpr uint32_t max_parts = 0xffff;

  explicit Pool(int threads);  // of which the caller is one
  ~Pool();
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

  // The pool serves one caller at a time: false where another has it (who fails computes alone and waits for nobody).
  bool enter();
  void leave();

  // Between enter and leave: every part once, in any order, on any participant; returns when all are done. The caller takes
  // parts like the workers, so that a worker that is late or was not scheduled holds nothing up but a part it has begun.
  // Everybody begins with parts of their own, the same fraction of every job, whose bytes are then in the cache of their core.
  void run(uint32_t parts, Part part, void *job);

  // False in a process forked after the pool was made: its workers are only in the parent.
  bool is_of_this_process() const;

 private:
  // The parts that are a participant's own, neighbours of each other: number of the job << 32 | end << 16 | the next one.
  struct alignas(64) Ticket {
    std::atomic<uint64_t> value{0};
    bool has_parts() const { return has_parts(value.load()); }
    static bool has_parts(uint64_t v) { return (v & max_parts) < (v >> 16 & max_parts); }
  };

  void work(int participant);
  void take_parts(int participant);
  void take_parts_of(Ticket &ticket, int participant);

  const int threads_;
  std::vector<Ticket> tickets_;
  alignas(64) std::atomic<Part> part_{nullptr};
  std::atomic<void *> job_{nullptr};
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> entered_{false}, stopped_{false};
  uint64_t jobs_ = 0;
  uint64_t forks_;
  int spins_;
  std::mutex mutex_;
  std::condition_variable condition_;
  std::vector<std::thread> workers_;
};

// Medians of measurements on this machine, seconds: starting a pool of so many threads, a job of as many empty parts with the
// workers asleep, and the same with the workers still looking for work.
struct ThreadCosts {
  double start, asleep, awake;
};
ThreadCosts thread_costs(int threads);

}  // namespace edgec

#endif
