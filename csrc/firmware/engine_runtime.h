/* Engine: the artifact in flash, run by the runtime. harness_artifact.S embeds the bytes. */
#include "edgec.h"
#include "engine.h"

extern const uint8_t edgec_harness_artifact[];
extern const uint8_t edgec_harness_artifact_end[];
extern const struct edgec_kernel *const edgec_harness_kernels[]; /* kernel_list.c: generated, what the artifact names */

static edgec_model model;

static void must_be(edgec_status status, edgec_status wanted, const char *call) {
  if (status != wanted) {
    edgec_harness_say(call, (uint32_t)status);
    edgec_harness_exit(wanted == EDGEC_OK ? EDGEC_EXIT_ENGINE : EDGEC_EXIT_ARENA);
  }
}

/* Returns the status with which one byte less was refused. */
static uint32_t engine_open(uint8_t *arena, uint32_t arena_bytes) {
  const size_t bytes = (size_t)((uintptr_t)edgec_harness_artifact_end - (uintptr_t)edgec_harness_artifact);
  must_be(edgec_open(&model, edgec_harness_artifact, bytes, edgec_harness_kernels), EDGEC_OK, "edgec_open gave status");
  if (edgec_arena_bytes(&model) != arena_bytes) {
    edgec_harness_say("edgec_arena_bytes is not what the firmware was built for, but", edgec_arena_bytes(&model));
    edgec_harness_exit(EDGEC_EXIT_ARENA);
  }
  const edgec_status refusal = edgec_attach(&model, arena, arena_bytes - 1u);
  must_be(refusal, EDGEC_ERROR_ARENA_TOO_SMALL, "edgec_attach with one byte less than edgec_arena_bytes gave status");
  must_be(edgec_attach(&model, arena, arena_bytes), EDGEC_OK, "edgec_attach gave status");
  return (uint32_t)refusal;
}

static uint32_t engine_inputs(void) { return model.input_count; }
static uint32_t engine_outputs(void) { return model.output_count; }

static engine_span engine_input(uint8_t *arena, uint32_t index) {
  const edgec_port port = edgec_input_port(&model, index);
  const engine_span span = {arena + port.offset, port.bytes};
  return span;
}

static engine_span engine_output(uint8_t *arena, uint32_t index) {
  const edgec_port port = edgec_output_port(&model, index);
  const engine_span span = {arena + port.offset, port.bytes};
  return span;
}

static void trace_operator(void *user, uint32_t op_index, const void *output, uint32_t bytes) {
  (void)user;
  edgec_harness_trace(op_index, output, bytes);
}

static void engine_trace(void) { model.trace = trace_operator; }

static inline __attribute__((always_inline)) void engine_run(uint8_t *arena) {
  (void)arena;
  must_be(edgec_run(&model), EDGEC_OK, "edgec_run gave status");
}
