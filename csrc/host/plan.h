// An execution plan: steps with resolved functions and parameters over one arena. Built once, run many times.
#ifndef EDGEC_HOST_PLAN_H
#define EDGEC_HOST_PLAN_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "host/model.h"

namespace edgec {

constexpr size_t arena_alignment = 4096;  // a page: timing does not depend on where the allocator puts it
constexpr size_t arena_slack = 256;  // readable bytes before and after every arena, for loads of whole registers
constexpr int max_operands = 4;

// Where an operand's bytes are: space 0 is the arena, then the graph inputs, then the graph outputs.
struct Operand {
  uint32_t space = 0;
  size_t offset = 0;
};

// operands: as the step's function wants them.
using StepFunction = void (*)(const void *params, uint8_t *const *operands);

struct Step {
  StepFunction run = nullptr;
  const void *params = nullptr;
  Operand operands[max_operands];
  int record = -1;  // −1 for a change of layout
  std::string name;
};

// Bytes set once when an arena is made: borders that no step ever writes.
struct Fill {
  size_t offset = 0, count = 0;  // bytes, elements
  int element = 1;               // bytes
  int value = 0;
};
void fill(uint8_t *base, const Fill &what);

// Where a record's output lies in canonical form once the plan has run (plans made for tracing).
struct Traced {
  int record = -1;
  Operand operand;
  uint32_t bytes = 0;
};

struct Plan {
  std::vector<Step> steps;
  std::vector<Fill> fills;
  std::vector<Traced> traced;
  size_t arena_bytes = 0;  // without slack
  std::vector<std::shared_ptr<void>> storage;  // parameters, tables and packed weights the steps point to

  // A value that lives as long as the plan.
  template <typename T> T *keep(T value) {
    auto owned = std::make_shared<T>(std::move(value));
    storage.push_back(owned);
    return owned.get();
  }
  // Aligned zeroed bytes that live as long as the plan; 64 bytes more than asked for may be read.
  uint8_t *keep_bytes(size_t bytes);
};

// The reference kernels on the artifact's own arena.
Plan plan_reference(const Model &model, bool tracing);

// A step that runs a record with its reference kernel: operands are inputs 0 and 1, output, scratch.
void run_reference(const void *params, uint8_t *const *operands);
struct ReferenceStep {
  const Record *record;
  edgec_operands constants;
};

}  // namespace edgec

#endif
