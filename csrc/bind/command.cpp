// edgec-host: the host engine behind a command line, for machines and emulators without this Python.
//
//   edgec-host --tiers                                       the tiers that this processor runs, worst first
//   edgec-host [--tier NAME] [--trace|--marks] FILES …       FILES: artifact, inputs, outputs; or @list, a file with one such line a run
//
// inputs: the bytes of a sample's inputs one after the other, then the next sample's. outputs: likewise, each sample run twice;
// with --trace the bytes of every operator's output. With --marks each step of the plan runs between two system calls of number
// 0x4544, which csrc/firmware/count_plugin.c counts instructions between; the steps' names are printed, and outputs are the steps' own.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "host/engine.h"
#include "host/error.h"
#include "host/tiers.h"

namespace {

using Bytes = std::vector<uint8_t>;

constexpr long mark_number = 0x4544;

edgec::Error wrong(const std::string &what, const std::string &where, const std::string &why) {
  return edgec::Error(edgec::ErrorKind::usage, what, where, why, "run edgec-host without arguments to see what it takes");
}

Bytes read_file(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw wrong("a file cannot be read", path, "it is missing or not readable");
  }
  return Bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// Bytes that end at an unreadable page and begin after one: a kernel that leaves them ends the process, one that writes before
// them is found by the caller of intact().
class Guarded {
 public:
  explicit Guarded(size_t size) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))), inner_((size + page_ - 1) / page_ * page_), size_(size) {
    void *const all = mmap(nullptr, inner_ + 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all, page_, PROT_NONE) != 0 || mprotect(static_cast<uint8_t *>(all) + page_ + inner_, page_, PROT_NONE) != 0) {
      throw wrong("no memory for a buffer", std::to_string(size) + " bytes", "mmap or mprotect failed");
    }
    base_ = static_cast<uint8_t *>(all);
    std::memset(base_ + page_, canary, inner_);
  }
  Guarded(const Guarded &) = delete;
  Guarded &operator=(const Guarded &) = delete;
  ~Guarded() { munmap(base_, inner_ + 2 * page_); }
  uint8_t *data() const { return base_ + page_ + inner_ - size_; }
  bool intact() const {
    for (const uint8_t *at = base_ + page_; at != data(); at++) {
      if (*at != canary) {
        return false;
      }
    }
    return true;
  }

 private:
  static constexpr uint8_t canary = 0x5a;
  size_t page_, inner_, size_;
  uint8_t *base_ = nullptr;
};

void run_steps(const edgec::Engine &engine, const std::vector<uint8_t *> &ports) {
  edgec::Context context(engine.plan(), engine.ports());
  for (size_t i = 0; i < ports.size(); i++) {
    context.bases[1 + i] = ports[i];
  }
  for (const edgec::Step &step : engine.plan().steps) {
    uint8_t *operands[edgec::max_operands];
    for (int i = 0; i < edgec::max_operands; i++) {
      operands[i] = context.bases[step.operands[i].space] + step.operands[i].offset;
    }
    syscall(mark_number);
    step.run(step.params, operands);
    syscall(mark_number);
    std::printf("%d %s\n", step.record, step.name.c_str());
  }
}

void run(const std::string &tier, const std::string &mode, const std::string &artifact_path, const std::string &input_path,
         const std::string &output_path) {
  const Bytes artifact = read_file(artifact_path), inputs = read_file(input_path);
  edgec::Engine engine(artifact.data(), artifact.size(), tier);
  const size_t input_count = engine.model().inputs.size();
  size_t sample_bytes = 0;
  std::vector<std::unique_ptr<Guarded>> owned;
  std::vector<uint8_t *> ports;
  for (size_t i = 0; i < engine.ports(); i++) {
    owned.push_back(std::make_unique<Guarded>(engine.port_bytes(i)));
    ports.push_back(owned.back()->data());
    sample_bytes += i < input_count ? engine.port_bytes(i) : 0;
  }
  if (sample_bytes == 0 || inputs.size() % sample_bytes != 0) {
    throw wrong("the wrong number of input bytes", input_path, "a sample has " + std::to_string(sample_bytes));
  }
  std::ofstream file(output_path, std::ios::binary);
  const auto write = [&](const uint8_t *at, size_t bytes) { file.write(reinterpret_cast<const char *>(at), static_cast<std::streamsize>(bytes)); };
  for (size_t at = 0; at < inputs.size();) {
    std::vector<const uint8_t *> given;
    for (size_t i = 0; i < input_count; i++) {
      std::memcpy(ports[i], inputs.data() + at, engine.port_bytes(i));
      given.push_back(ports[i]);
      at += engine.port_bytes(i);
    }
    if (mode == "--trace") {
      for (const auto &output : engine.trace(given)) {
        write(output.data(), output.size());
      }
      continue;
    }
    if (mode == "--marks") {
      run_steps(engine, ports);
    } else {
      engine.run(ports.data(), 1);
      engine.run(ports.data(), 1);
    }
    for (size_t i = input_count; i < ports.size(); i++) {
      write(ports[i], engine.port_bytes(i));
    }
  }
  for (const auto &buffer : owned) {
    if (!buffer->intact()) {
      throw wrong("a kernel wrote outside its buffer", artifact_path, "bytes before it changed");
    }
  }
  if (!file) {
    throw wrong("a file cannot be written", output_path, "the directory is missing or full");
  }
}

int command(const std::vector<std::string> &arguments) {
  std::string tier, mode;
  std::vector<std::string> files;
  for (size_t i = 0; i < arguments.size(); i++) {
    const std::string &a = arguments[i];
    if (a == "--tiers") {
      for (const std::string &name : edgec::available_tiers()) {
        std::printf("%s\n", name.c_str());
      }
      return 0;
    }
    if (a == "--tier" && i + 1 < arguments.size()) {
      tier = arguments[++i];
    } else if (a == "--trace" || a == "--marks") {
      mode = a;
    } else if (a[0] == '@') {
      const Bytes text = read_file(a.substr(1));
      std::istringstream words(std::string(text.begin(), text.end()));
      std::copy(std::istream_iterator<std::string>(words), std::istream_iterator<std::string>(), std::back_inserter(files));
    } else {
      files.push_back(a);
    }
  }
  if (files.empty() || files.size() % 3 != 0) {
    std::fprintf(stderr, "usage: edgec-host --tiers\n       edgec-host [--tier NAME] [--trace|--marks] ARTIFACT INPUTS OUTPUTS … | @LIST\n");
    return 2;
  }
  for (size_t i = 0; i < files.size(); i += 3) {
    run(tier, mode, files[i], files[i + 1], files[i + 2]);
  }
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    return command(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const edgec::Error &e) {
    std::fprintf(stderr, "error: %s\n  where: %s\n  why: %s\n  fix: %s\n", e.what(), e.where.c_str(), e.why.c_str(), e.fix.c_str());
    return 1;
  }
}
