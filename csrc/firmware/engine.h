/* What the two engine headers share. */
#ifndef EDGEC_ENGINE_H
#define EDGEC_ENGINE_H

#include "harness.h"

typedef struct engine_span {
  uint8_t *data;
  uint32_t bytes;
} engine_span;

/* The stack pointer of the function this is inlined into. */
static inline __attribute__((always_inline)) uint32_t *edgec_harness_stack_pointer(void) {
  uint32_t *pointer;
#if defined(__arm__)
  __asm__ volatile("mov %0, sp" : "=r"(pointer));
#elif defined(__aarch64__)
  __asm__ volatile("mov %0, sp" : "=r"(pointer));
#elif defined(__riscv)
  __asm__ volatile("mv %0, sp" : "=r"(pointer));
#elif defined(__x86_64__)
  __asm__ volatile("mov %%rsp, %0" : "=r"(pointer));
#else
#error "the harness does not know this processor's stack pointer"
#endif
  return pointer;
}

#endif
