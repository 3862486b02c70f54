/* Engine: generated C. harness_config.h includes the model's header and names its function and ports:
 * EDGEC_HARNESS_RUN, EDGEC_HARNESS_INPUTS and EDGEC_HARNESS_OUTPUTS, lists of {offset, bytes}. */
#include "engine.h"

static const uint32_t input_ports[][2] = {EDGEC_HARNESS_INPUTS};
static const uint32_t output_ports[][2] = {EDGEC_HARNESS_OUTPUTS};

/* The arena is the caller's, its size a constant of the header: nothing to refuse at run time. */
static uint32_t engine_open(uint8_t *arena, uint32_t arena_bytes) {
  (void)arena;
  (void)arena_bytes;
  return 0u;
}

static uint32_t engine_inputs(void) { return (uint32_t)(sizeof input_ports / sizeof input_ports[0]); }
static uint32_t engine_outputs(void) { return (uint32_t)(sizeof output_ports / sizeof output_ports[0]); }

static engine_span engine_input(uint8_t *arena, uint32_t index) {
  const engine_span span = {arena + input_ports[index][0], input_ports[index][1]};
  return span;
}

static engine_span engine_output(uint8_t *arena, uint32_t index) {
  const engine_span span = {arena + output_ports[index][0], output_ports[index][1]};
  return span;
}

static void engine_trace(void) {} /* the trace build calls edgec_harness_trace by itself */

static inline __attribute__((always_inline)) void engine_run(uint8_t *arena) { EDGEC_HARNESS_RUN(arena); }
