/* Cortex-M under QEMU: vectors, reset, semihosting, and the FPGAIO counter where the machine has one. */
#include "harness.h"
#include "harness_config.h" /* EDGEC_HARNESS_COUNTER: address of the FPGAIO block, or undefined */

enum {
  SYS_OPEN = 0x01,
  SYS_WRITE0 = 0x04,
  SYS_WRITE = 0x05,
  SYS_READ = 0x06,
  SYS_EXIT_EXTENDED = 0x20,
  MODE_READ_BINARY = 1,
  MODE_WRITE_BINARY = 5
};

#ifdef EDGEC_HARNESS_COUNTER
#define FPGAIO(offset) (*(volatile uint32_t *)((uintptr_t)EDGEC_HARNESS_COUNTER + (offset)))
#endif

extern uint32_t edgec_harness_data_from[], edgec_harness_data_start[], edgec_harness_data_end[];
extern uint32_t edgec_harness_bss_start[], edgec_harness_bss_end[];

void edgec_harness_start(void) __attribute__((noreturn));

static int32_t semihost(int32_t operation, const void *argument) {
  register int32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static uint32_t length(const char *text) {
  uint32_t n = 0;
  while (text[n] != '\0') {
    n++;
  }
  return n;
}

void edgec_harness_exit(int code) {
  const uint32_t reason[2] = {0x20026u, (uint32_t)code};
  for (;;) {
    (void)semihost(SYS_EXIT_EXTENDED, reason);
  }
}

void edgec_harness_say(const char *text, uint32_t number) {
  char line[16] = " 0x";
  for (uint32_t i = 0; i < 8u; i++) {
    line[3u + i] = "0123456789abcdef"[(number >> (28u - 4u * i)) & 15u];
  }
  line[11] = '\n';
  line[12] = '\0';
  (void)semihost(SYS_WRITE0, text);
  (void)semihost(SYS_WRITE0, line);
}

static void file_failed(void) {
  edgec_harness_say("a file could not be opened, read or written", 0u);
  edgec_harness_exit(EDGEC_EXIT_FILE);
}

int32_t edgec_harness_open(const char *name, int for_writing) {
  const uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, for_writing != 0 ? (uint32_t)MODE_WRITE_BINARY : (uint32_t)MODE_READ_BINARY,
                                 length(name)};
  const int32_t file = semihost(SYS_OPEN, arguments);
  if (file < 0) {
    file_failed();
  }
  return file;
}

void edgec_harness_read(int32_t file, void *data, uint32_t bytes) {
  const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)data, bytes};
  if (semihost(SYS_READ, arguments) != 0) { /* the number of bytes not read */
    file_failed();
  }
}

void edgec_harness_write(int32_t file, const void *data, uint32_t bytes) {
  const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)data, bytes};
  if (semihost(SYS_WRITE, arguments) != 0) {
    file_failed();
  }
}

uint32_t edgec_harness_mark(void) {
#ifdef EDGEC_HARNESS_COUNTER
  return FPGAIO(0x18);
#else
  return 0u;
#endif
}

static void __attribute__((noreturn)) fault(void) {
  uint32_t exception;
  __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
  edgec_harness_say("fault: exception", exception);
  edgec_harness_exit(EDGEC_EXIT_FAULT);
}

/* .data and .bss; by word, the linker script aligns both. */
static void __attribute__((noinline, noreturn)) prepare(void) {
  const uint32_t *from = edgec_harness_data_from;
  for (uint32_t *to = edgec_harness_data_start; to < edgec_harness_data_end; to++) {
    *to = *from++;
  }
  for (uint32_t *to = edgec_harness_bss_start; to < edgec_harness_bss_end; to++) {
    *to = 0u;
  }
#ifdef EDGEC_HARNESS_COUNTER
  FPGAIO(0x1c) = 0u; /* prescale: count every tick */
#endif
  edgec_harness_exit(main());
}

void edgec_harness_start(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20; /* CPACR: floating point and Helium on */
  __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
  prepare();
}

typedef void (*vector)(void);

/* Fault handlers all end the run with a nonzero code; so does any interrupt, since none is expected. */
static const struct {
  uint32_t *stack;
  vector reset, exceptions[14], interrupts[48];
} vectors __attribute__((used, section(".vectors"))) = {
    edgec_harness_stack_top,
    edgec_harness_start,
    {fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault},
    {fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
     fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
     fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault}};
