/* Reads request.bin, runs the engine on every record, writes outputs.bin and, last of all, result.bin.
 *
 * request.bin: magic, flags, samples, input bytes a record, output bytes a record (little-endian words), then the records.
 * A record is every input port's bytes in order of ports. With EDGEC_HARNESS_MEASURE the first record is a warm-up whose
 * output is dropped, and the second is run with a painted stack between two marks.
 */
#include "harness.h"
#include "harness_config.h" /* generated: EDGEC_HARNESS_ENGINE, EDGEC_HARNESS_ARENA_BYTES and what the engine asks for */

#include EDGEC_HARNESS_ENGINE

/* Exactly what the plan says, and behind it bytes that must not change. The linker script puts the guard right behind. */
static uint8_t arena[EDGEC_HARNESS_ARENA_BYTES + EDGEC_HARNESS_GUARD_BYTES] __attribute__((aligned(16), section(".arena")));

static int32_t trace_file;
static int trace_is_open;

static uint8_t guard_byte(uint32_t i) { return (uint8_t)(0xa5u ^ (i * 29u)); }

static void fill_arena(void) {
  for (uint32_t i = 0; i < sizeof arena; i++) {
    arena[i] = guard_byte(i); /* an engine that needs a zeroed arena must not pass */
  }
}

static void check_guard(uint32_t record) {
  for (uint32_t i = EDGEC_HARNESS_ARENA_BYTES; i < sizeof arena; i++) {
    if (arena[i] != guard_byte(i)) {
      edgec_harness_say("byte behind the arena changed, at offset", i);
      edgec_harness_say("in record", record);
      edgec_harness_exit(EDGEC_EXIT_GUARD);
    }
  }
}

void edgec_harness_trace(uint32_t op_index, const void *output, uint32_t bytes) {
  if (trace_is_open != 0) {
    const uint32_t head[2] = {op_index, bytes};
    edgec_harness_write(trace_file, head, sizeof head);
    edgec_harness_write(trace_file, output, bytes);
  }
}

/* Bytes of stack below the caller's frame that one run touches. Not inlined: its frame is the line that is measured from. */
static uint32_t __attribute__((noinline)) measured_run(uint32_t *marks) {
  uint32_t *const line = edgec_harness_stack_pointer();
  volatile uint32_t *word = edgec_harness_stack_limit;
  for (; (uintptr_t)word < (uintptr_t)line; word++) {
    *word = (uint32_t)EDGEC_HARNESS_PAINT;
  }
  marks[0] = edgec_harness_mark();
  marks[1] = edgec_harness_mark();
  marks[2] = edgec_harness_mark();
  engine_run(arena);
  marks[3] = edgec_harness_mark();
  word = edgec_harness_stack_limit;
  while ((uintptr_t)word < (uintptr_t)line && *word == (uint32_t)EDGEC_HARNESS_PAINT) {
    word++;
  }
  return (uint32_t)((uintptr_t)line - (uintptr_t)word);
}

int main(void) {
  uint32_t request[EDGEC_HARNESS_REQUEST_WORDS];
  uint32_t marks[4] = {0u, 0u, 0u, 0u};
  uint32_t stack_bytes = 0;
  const int32_t input = edgec_harness_open("request.bin", 0);
  edgec_harness_read(input, request, sizeof request);
  const uint32_t flags = request[1];
  const uint32_t samples = request[2];

  fill_arena();
  const uint32_t refusal = engine_open(arena, EDGEC_HARNESS_ARENA_BYTES);
  uint32_t input_bytes = 0, output_bytes = 0;
  for (uint32_t i = 0; i < engine_inputs(); i++) {
    input_bytes += engine_input(arena, i).bytes;
  }
  for (uint32_t i = 0; i < engine_outputs(); i++) {
    output_bytes += engine_output(arena, i).bytes;
  }
  if (request[0] != (uint32_t)EDGEC_HARNESS_MAGIC || request[3] != input_bytes || request[4] != output_bytes) {
    edgec_harness_say("request.bin is for another model; a record of this one has bytes of input", input_bytes);
    edgec_harness_exit(EDGEC_EXIT_REQUEST);
  }
  const int32_t output = edgec_harness_open("outputs.bin", 1);
  if ((flags & (uint32_t)EDGEC_HARNESS_TRACE) != 0u) {
    trace_file = edgec_harness_open("trace.bin", 1);
    trace_is_open = 1;
    engine_trace();
  }

  const uint32_t warm = (flags & (uint32_t)EDGEC_HARNESS_MEASURE) != 0u ? 1u : 0u;
  for (uint32_t record = 0; record < samples + warm; record++) {
    for (uint32_t i = 0; i < engine_inputs(); i++) {
      const engine_span span = engine_input(arena, i);
      edgec_harness_read(input, span.data, span.bytes);
    }
    if (warm != 0u && record == 1u) {
      stack_bytes = measured_run(marks);
    } else {
      engine_run(arena);
    }
    check_guard(record);
    for (uint32_t i = 0; i < engine_outputs() && record >= warm; i++) {
      const engine_span span = engine_output(arena, i);
      edgec_harness_write(output, span.data, span.bytes);
    }
  }

  const uint32_t result[EDGEC_HARNESS_RESULT_WORDS] = {(uint32_t)EDGEC_HARNESS_MAGIC,
                                                       samples,
                                                       EDGEC_HARNESS_ARENA_BYTES,
                                                       refusal,
                                                       stack_bytes,
                                                       marks[0],
                                                       marks[1],
                                                       marks[2],
                                                       marks[3],
                                                       input_bytes,
                                                       output_bytes};
  edgec_harness_write(edgec_harness_open("result.bin", 1), result, sizeof result);
  return EDGEC_EXIT_OK;
}
