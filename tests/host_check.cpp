// Runs artifacts through the host engine with nothing around them: for builds with sanitizers (tests/host_check.py).
//
//   host_check bounds CASE...     a case is artifact, inputs and wanted outputs, each with its length before it (32 bits). On every
//                                 tier of this machine; every buffer ends, then begins, at a page that cannot be read; arenas are
//                                 filled with two patterns first, which must not matter; threads 1 and 3, batch 1 and 9.
//   host_check threads ARTIFACT...  several callers of one engine, and engines made and deleted meanwhile.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "host/engine.h"
#include "host/error.h"
#include "host/planner.h"
#include "host/tiers.h"

namespace {

using Bytes = std::vector<uint8_t>;

Bytes file(const char *path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes((std::istreambuf_iterator<char>(in)), {});
}

// Bytes between two pages that cannot be read, against the last or the first of them.
class Guarded {
 public:
  Guarded(size_t size, bool at_end) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))), inner_((size + page_ - 1) / page_ * page_) {
    map_ = static_cast<uint8_t *>(mmap(nullptr, inner_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (map_ == MAP_FAILED || mprotect(map_ + page_, inner_, PROT_READ | PROT_WRITE) != 0) {
      std::perror("mmap");
      std::exit(2);
    }
    at = map_ + page_ + (at_end ? inner_ - size : 0);
  }
  ~Guarded() { munmap(map_, inner_ + 2 * page_); }
  Guarded(const Guarded &) = delete;
  Guarded &operator=(const Guarded &) = delete;
  uint8_t *at;

 private:
  size_t page_, inner_;
  uint8_t *map_;
};

struct Case {
  Bytes artifact, inputs, wanted;
};

Case read_case(const char *path) {
  const Bytes all = file(path);
  Case c;
  size_t at = 0;
  for (Bytes *part : {&c.artifact, &c.inputs, &c.wanted}) {
    uint32_t size = 0;
    std::memcpy(&size, &all.at(at), 4);
    part->assign(all.begin() + static_cast<ptrdiff_t>(at + 4), all.begin() + static_cast<ptrdiff_t>(at + 4 + size));
    at += 4 + size;
  }
  return c;
}

int failures = 0;

void expect(bool right, const char *path, const std::string &what) {
  if (!right) {
    std::printf("%s: %s\n", path, what.c_str());
    failures++;
  }
}

// `run` gets the ports of `batch` samples and must leave the wanted outputs there.
template <typename Run> bool outputs_are_right(const edgec::Engine &engine, const Case &c, size_t batch, bool at_end, const Run &run) {
  std::vector<std::unique_ptr<Guarded>> ports;
  std::vector<uint8_t *> at;
  const uint8_t *input = c.inputs.data();
  for (size_t i = 0; i < engine.ports(); i++) {
    const size_t size = engine.port_bytes(i);
    ports.push_back(std::make_unique<Guarded>(size * batch, at_end));
    at.push_back(ports.back()->at);
    if (i < engine.model().inputs.size()) {
      for (size_t n = 0; n < batch; n++) {
        std::memcpy(at.back() + n * size, input, size);
      }
      input += size;
    }
  }
  run(at.data());
  const uint8_t *wanted = c.wanted.data();
  bool right = true;
  for (size_t i = engine.model().inputs.size(); i < engine.ports(); i++) {
    for (size_t n = 0; n < batch; n++) {
      right = right && std::memcmp(at[i] + n * engine.port_bytes(i), wanted, engine.port_bytes(i)) == 0;
    }
    wanted += engine.port_bytes(i);
  }
  return right;
}

void check_bounds(const char *path) {
  const Case c = read_case(path);
  for (const std::string &tier : edgec::available_tiers()) {
    edgec::Engine engine(c.artifact.data(), c.artifact.size(), tier), threaded(c.artifact.data(), c.artifact.size(), tier, 3);
    for (const bool at_end : {true, false}) {
      for (const size_t batch : {1, 9}) {
        expect(outputs_are_right(engine, c, batch, at_end, [&](uint8_t *const *ports) { engine.run(ports, batch); }), path, tier + ", batch " + std::to_string(batch));
        expect(outputs_are_right(threaded, c, batch, at_end, [&](uint8_t *const *ports) { threaded.run(ports, batch); }), path, tier + ", three threads");
      }
      for (const int background : {0x00, 0xa5}) {
        edgec::Context context(engine.plan(), engine.ports(), background);
        const auto run = [&](uint8_t *const *ports) {
          std::copy(ports, ports + engine.ports(), context.bases.begin() + 1);
          context.run(engine.plan());
        };
        expect(outputs_are_right(engine, c, 1, at_end, run), path, tier + ", arena filled with " + std::to_string(background));
      }
    }
  }
}

void check_threads(const char *path) {
  const Bytes artifact = file(path);
  for (const std::string &tier : edgec::available_tiers()) {
    if (tier == "ref") {
      continue;
    }
    for (int round = 0; round < 2; round++) {
      edgec::Engine engine(artifact.data(), artifact.size(), tier, 3);
      const auto work = [&](unsigned caller) {
        const size_t batch = caller == 0 ? 1 : caller == 1 ? 2 : engine.cycles() < 1e5 ? 200 : 4;
        std::vector<Bytes> ports, before;
        std::vector<uint8_t *> at;
        for (size_t i = 0; i < engine.ports(); i++) {
          ports.emplace_back(engine.port_bytes(i) * batch, static_cast<uint8_t>(caller));
        }
        for (Bytes &p : ports) {
          at.push_back(p.data());
        }
        for (int n = 0; n < 3; n++) {
          engine.run(at.data(), batch);
          if (n != 0 && before != ports) {
            std::printf("%s on %s: another result\n", path, tier.c_str());
            std::exit(1);
          }
          before = ports;
        }
      };
      std::vector<std::thread> callers;
      for (unsigned i = 0; i < 3; i++) {
        callers.emplace_back(work, i);
      }
      for (std::thread &t : callers) {
        t.join();
      }
    }
  }
}

}  // namespace

int main(int count, char **arguments) {
  try {
    for (int i = 2; i < count; i++) {
      std::string(arguments[1]) == "threads" ? check_threads(arguments[i]) : check_bounds(arguments[i]);
    }
  } catch (const edgec::Error &e) {
    std::printf("%s: %s (%s)\n", e.what(), e.why.c_str(), e.where.c_str());
    return 1;
  }
  std::printf("%d cases, %d failures\n", count - 2, failures);
  return failures != 0;
}
