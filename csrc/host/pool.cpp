#include "host/pool.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <system_error>

#include "host/clock.h"

#include <pthread.h>
#include <signal.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace edgec {

namespace {

// How long a worker looks for the next job before it sleeps. A run has many short jobs, and waking takes longer than most of them.
constexpr int spins_in_a_run = 8000, spins_after_a_run = 800;  // some 80 µs and 8 µs
constexpr int spins_before_yield = 2000;

std::atomic<uint64_t> forks{0};

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}


}  // namespace

Pool::Pool(int threads) : threads_(threads), tickets_(static_cast<size_t>(threads)) {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
  (void)registered;
  forks_ = forks.load();
  // With fewer cores than threads somebody else would do the work while a worker looks for it.
  spins_ = static_cast<unsigned>(threads) <= std::max(1u, std::thread::hardware_concurrency()) ? 1 : 0;
  sigset_t all, before;  // signals are for the threads of the program
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (int i = 1; i < threads; i++) {
      workers_.emplace_back(&Pool::work, this, i);
    }
  } catch (const std::system_error &) {  // no more threads to be had: those that started share the work
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Pool::~Pool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_.store(true);
  }
  condition_.notify_all();
  for (std::thread &worker : workers_) {
    worker.join();
  }
}

bool Pool::is_of_this_process() const { return forks_ == forks.load(std::memory_order_relaxed); }

bool Pool::enter() { return !entered_.exchange(true, std::memory_order_acquire); }

void Pool::leave() { entered_.store(false, std::memory_order_release); }

void Pool::run(uint32_t parts, Part part, void *job) {
  part_.store(part, std::memory_order_relaxed);
  job_.store(job, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  jobs_++;
  const auto n = static_cast<uint64_t>(threads_);
  for (uint64_t i = n; i-- > 0;) {  // sequentially consistent, as in work(): a sleeper is seen, or it sees its ticket
    tickets_[i].value.store(jobs_ << 32 | parts * (i + 1) / n << 16 | parts * i / n);
  }
  if (sleepers_.load() != 0) {
    const std::lock_guard<std::mutex> lock(mutex_);
    condition_.notify_all();
  }
  take_parts(0);
  for (int i = 0; done_.load(std::memory_order_acquire) != parts; i++) {
    if (i < spins_before_yield) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void Pool::take_parts(int participant) {
  for (int i = 0; i < threads_; i++) {
    const int whose = participant + i;
    take_parts_of(tickets_[static_cast<size_t>(whose < threads_ ? whose : whose - threads_)], participant);
  }
}

// A part belongs to whoever moves the ticket past it. The ticket says by itself whether a part is left, and a job's fields change
// only when all its parts are done: what is read between the two accesses of a successful exchange is of that job.
void Pool::take_parts_of(Ticket &ticket, int participant) {
  for (uint64_t value = ticket.value.load(std::memory_order_acquire); Ticket::has_parts(value);) {
    const Part part = part_.load(std::memory_order_relaxed);
    void *const job = job_.load(std::memory_order_relaxed);
    if (ticket.value.compare_exchange_weak(value, value + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      part(job, static_cast<uint32_t>(value & max_parts), participant);
      done_.fetch_add(1, std::memory_order_release);
      value = ticket.value.load(std::memory_order_acquire);
    }
  }
}

void Pool::work(int participant) {
  Ticket &own = tickets_[static_cast<size_t>(participant)];
  while (!stopped_.load(std::memory_order_relaxed)) {
    take_parts(participant);
    for (int spins = 0; !own.has_parts() && !stopped_.load(std::memory_order_relaxed); spins++) {
      if (spins >= spins_ * (entered_.load(std::memory_order_relaxed) ? spins_in_a_run : spins_after_a_run)) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        condition_.wait(lock, [&] { return stopped_.load() || own.has_parts(); });
        sleepers_.fetch_sub(1);
        break;
      }
      relax();
    }
  }
}

ThreadCosts thread_costs(int threads) {
  constexpr int count = 31;
  std::vector<double> start, asleep, awake;
  for (int i = 0; i < count; i++) {
    const double t = now();
    auto pool = std::make_unique<Pool>(threads);
    start.push_back(now() - t);
    const auto job = [&] {
      const double begun = now();
      pool->run(static_cast<uint32_t>(threads), [](void *, uint32_t, int) {}, nullptr);
      return now() - begun;
    };
    pool->enter();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    asleep.push_back(job());
    std::this_thread::sleep_for(std::chrono::microseconds(1));
    for (int k = 0; k < 20; k++) {
      job();
    }
    awake.push_back(job());
    pool->leave();
  }
  const auto median = [](std::vector<double> &v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
  };
  return {median(start), median(asleep), median(awake)};
}

}  // namespace edgec
