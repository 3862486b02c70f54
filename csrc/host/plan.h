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

// Where a step may be cut into parts for several threads (host/parts.h); nowhere where both row counts are 0.
struct Cut {
  int32_t rows = 0, rows_at_once = 1;         // a step over rows: its parameters begin with their number
  size_t params_bytes = 0;
  ptrdiff_t row_bytes[max_operands] = {0};
  int32_t tile_rows = 0, block_channels = 0;  // a convolution: positions a tile, channels a block
  size_t block_bytes = 0;                     // weights of a block
  int32_t out_element = 1, residual_element = 1;
  bool weights_dominate = false;
};

struct Step {
  StepFunction run = nullptr;
  const void *params = nullptr;
  Operand operands[max_operands];
  int record = -1;  // −1 for a change of layout
  std::string name;
  double cycles = 0;  // what it takes by the cost model
  Cut cut;
};

struct StepPart {
  StepFunction run;
  const void *params;
  Operand operands[max_operands];
};

// Steps [first, until): one after the other, or, where there are parts, all at once as these.
struct Section {
  size_t first, until;
  std::vector<StepPart> parts;
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
  std::vector<Section> sections;  // of all steps in order; none where threads would gain nothing
  std::vector<Fill> fills;
  std::vector<Traced> traced;
  size_t arena_bytes = 0;  // without slack
  std::vector<std::shared_ptr<void>> storage;  // parameters, tables and packed weights the steps point to

  double cycles() const {
    double sum = 0;
    for (const Step &step : steps) {
      sum += step.cycles;
    }
    return sum;
  }

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
double reference_cycles(const Record &record);  // roughly: one multiplication or two bytes a cycle

}  // namespace edgec

#endif
