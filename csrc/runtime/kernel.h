/* What a kernel is to the runtime and to generated C: one function, one check, one number. */
#ifndef EDGEC_KERNEL_H
#define EDGEC_KERNEL_H

#include "edgec.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  EDGEC_MAX_INPUTS = 2,
  EDGEC_MAX_OUTPUTS = 1,
  EDGEC_MAX_CONSTANTS = 3,
  EDGEC_MAX_PARAMS = 32 /* words of a parameter struct */
};

/* Where an operator's bytes are. int32 and int16 constants are EDGEC_ALIGNMENT-aligned and little-endian; one without bytes is NULL. */
typedef struct edgec_operands {
  const int8_t *input[EDGEC_MAX_INPUTS];
  int8_t *output[EDGEC_MAX_OUTPUTS];
  const void *constant[EDGEC_MAX_CONSTANTS];
  void *scratch;
} edgec_operands;

/* How many bytes each operand has; what a check compares the parameters with. */
typedef struct edgec_sizes {
  uint32_t input[EDGEC_MAX_INPUTS];
  uint32_t output[EDGEC_MAX_OUTPUTS];
  uint32_t constant[EDGEC_MAX_CONSTANTS];
  uint32_t scratch;
  uint8_t input_count, output_count, constant_count, param_count;
} edgec_sizes;

/* params points at the family's parameter struct: int32_t members only, in the order of `fields` in edgec/ops. */
typedef void (*edgec_run_function)(const void *params, const edgec_operands *operands);

/* Nonzero when a run with these parameters stays inside operands of these sizes, whatever the bytes hold. */
typedef int (*edgec_check_function)(const void *params, const edgec_sizes *sizes);

typedef struct edgec_kernel {
  uint16_t id;      /* opcode << 8 | variant; variant 0 is the reference */
  uint16_t overlap; /* nonzero: the output may overlap the first input where the plan says so */
  edgec_run_function run;
  edgec_check_function check;
} edgec_kernel;

/* a * b, saturating: a size no operand can have where it does not fit. Arguments must not be negative. */
static inline uint32_t edgec_area(int32_t a, int32_t b) {
  const uint64_t area = (uint64_t)(uint32_t)a * (uint32_t)b;
  return area > UINT32_MAX ? UINT32_MAX : (uint32_t)area;
}

static inline uint32_t edgec_volume(int32_t a, int32_t b, int32_t c) {
  const uint64_t volume = (uint64_t)edgec_area(a, b) * (uint32_t)c;
  return volume > UINT32_MAX ? UINT32_MAX : (uint32_t)volume;
}

static inline int edgec_within(int32_t value, int32_t low, int32_t high) { return value >= low && value <= high; }

#ifdef __cplusplus
}
#endif

#endif
