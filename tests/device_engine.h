/* An engine for tests of the harness itself: the first input byte says what to do. Output: the input byte plus one.
 *
 *   0 to 99   run a loop of that many turns, LOOP instructions each
 *   100       touch exactly STACK_BYTES below the caller's frame
 *   101       write the first byte behind the arena
 *   102       execute what is no instruction
 *   103       never end
 *   104       end at once, without a result, as if all were well
 *   105       end with code 7
 */
#include "firmware/engine.h"

static uint32_t engine_open(uint8_t *arena, uint32_t arena_bytes) {
  (void)arena, (void)arena_bytes;
  return 0u;
}
static uint32_t engine_inputs(void) { return 1u; }
static uint32_t engine_outputs(void) { return 1u; }
static engine_span engine_input(uint8_t *arena, uint32_t index) {
  const engine_span span = {arena + index, 1u};
  return span;
}
static engine_span engine_output(uint8_t *arena, uint32_t index) {
  const engine_span span = {arena + 1u + index, 1u};
  return span;
}
static void engine_trace(void) {}

enum { STACK_BYTES = 1024 };

/* turns >= 1; one subtraction and one branch a turn */
static void __attribute__((noinline)) loop(uint32_t turns) {
#if defined(__arm__)
  __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\n\tbne 1b" : "+l"(turns)::"cc");
#elif defined(__aarch64__)
  __asm__ volatile("1: subs %w0, %w0, #1\n\tb.ne 1b" : "+r"(turns)::"cc");
#elif defined(__riscv)
  __asm__ volatile("1: addi %0, %0, -1\n\tbnez %0, 1b" : "+r"(turns));
#else
  __asm__ volatile("1: sub $1, %0\n\tjne 1b" : "+r"(turns)::"cc");
#endif
}

static void __attribute__((noinline)) touch(uint8_t *line) {
  *(volatile uint8_t *)(line - STACK_BYTES) = 1u; /* the lowest byte; above it lies the return address on some processors */
}

static inline __attribute__((always_inline)) void engine_run(uint8_t *arena) {
  const uint8_t what = arena[0];
  arena[1] = (uint8_t)(what + 1u);
  if (what < 100u) {
    loop(1u + what);
  } else if (what == 100u) {
    touch((uint8_t *)edgec_harness_stack_pointer());
  } else if (what == 101u) {
    volatile uint8_t *const guard = arena;
    guard[2]++;
  } else if (what == 102u) {
    __builtin_trap();
  } else if (what == 103u) {
    for (;;) {
      __asm__ volatile("");
    }
  } else {
    edgec_harness_exit(what == 104u ? 0 : 7);
  }
}
