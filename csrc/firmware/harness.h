/* The emulated device's harness: what main.c needs of the platform it runs on. None of it is part of a product, and none
 * of it is counted in code_bytes. Everything is freestanding: no C library is called from here.
 */
#ifndef EDGEC_HARNESS_H
#define EDGEC_HARNESS_H

#include <stdint.h>

enum {
  EDGEC_HARNESS_MAGIC = 0x44434745, /* "EGCD": first word of request and result */
  EDGEC_HARNESS_TRACE = 1,          /* request flag: write every operator's output */
  EDGEC_HARNESS_MEASURE = 2,        /* request flag: the first record is a warm-up, the second is measured */
  EDGEC_HARNESS_REQUEST_WORDS = 5,
  EDGEC_HARNESS_RESULT_WORDS = 11,
  EDGEC_HARNESS_PAINT = 0x5ec0de5e, /* what an untouched stack word holds */
  EDGEC_HARNESS_GUARD_BYTES = 64    /* behind the arena */
};

/* Exit codes; edgec/device/qemu.py says them in words. */
enum {
  EDGEC_EXIT_OK = 0,
  EDGEC_EXIT_FAULT = 101,
  EDGEC_EXIT_FILE = 102,
  EDGEC_EXIT_REQUEST = 103,
  EDGEC_EXIT_ENGINE = 104,
  EDGEC_EXIT_GUARD = 105,
  EDGEC_EXIT_ARENA = 106
};

/* Files in the directory the emulator was started in. Each of these ends the run with EDGEC_EXIT_FILE where it fails. */
int32_t edgec_harness_open(const char *name, int for_writing);
void edgec_harness_read(int32_t file, void *data, uint32_t bytes);
void edgec_harness_write(int32_t file, const void *data, uint32_t bytes);

/* A line for people: text, then the number. */
void edgec_harness_say(const char *text, uint32_t number);
void edgec_harness_exit(int code) __attribute__((noreturn));

/* A point in the count of executed instructions: two of them enclose what is measured. Where the emulator's plugin counts,
 * the value is 0 and the plugin notes the point itself. */
uint32_t edgec_harness_mark(void);

/* The stack: [limit, top), from the linker script. */
extern uint32_t edgec_harness_stack_limit[];
extern uint32_t edgec_harness_stack_top[];

/* Operator outputs, as edgec_trace and as the hook of generated C give them. */
void edgec_harness_trace(uint32_t op_index, const void *output, uint32_t bytes);

int main(void);

#endif
