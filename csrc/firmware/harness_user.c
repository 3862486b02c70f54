/* User mode: a static program without a C library that talks to Linux alone, run by qemu-user or by the machine itself. */
#include "harness.h"

/* No call of any Linux: the kernel answers ENOSYS, and the counting plugin sees it pass (count_plugin.c). */
enum { MARK = 0x4544 };

#if defined(__x86_64__)
enum { SYS_READ = 0, SYS_WRITE = 1, SYS_OPENAT = 257, SYS_EXIT = 60 };
#else
enum { SYS_READ = 63, SYS_WRITE = 64, SYS_OPENAT = 56, SYS_EXIT = 93 }; /* the generic table: AArch64, RISC-V */
#endif
enum { AT_FDCWD = -100, O_WRONLY_CREAT_TRUNC = 01 | 0100 | 01000 };

static long call(long number, long a, long b, long c, long d) {
#if defined(__x86_64__)
  long result = number;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
#elif defined(__riscv)
  register long a7 __asm__("a7") = number;
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3) : "memory");
  return a0;
#else
#error "the harness does not know this processor's system calls"
#endif
}

void edgec_harness_exit(int code) {
  for (;;) {
    (void)call(SYS_EXIT, code, 0, 0, 0);
  }
}

void edgec_harness_say(const char *text, uint32_t number) {
  char line[12] = " 0x";
  long n = 0;
  while (text[n] != '\0') {
    n++;
  }
  for (uint32_t i = 0; i < 8u; i++) {
    line[3u + i] = "0123456789abcdef"[(number >> (28u - 4u * i)) & 15u];
  }
  line[11] = '\n';
  (void)call(SYS_WRITE, 2, (long)text, n, 0);
  (void)call(SYS_WRITE, 2, (long)line, 12, 0);
}

static void file_failed(void) {
  edgec_harness_say("a file could not be opened, read or written", 0u);
  edgec_harness_exit(EDGEC_EXIT_FILE);
}

int32_t edgec_harness_open(const char *name, int for_writing) {
  const long file = call(SYS_OPENAT, AT_FDCWD, (long)name, for_writing != 0 ? O_WRONLY_CREAT_TRUNC : 0, 0600);
  if (file < 0) {
    file_failed();
  }
  return (int32_t)file;
}

void edgec_harness_read(int32_t file, void *data, uint32_t bytes) {
  uint8_t *at = data;
  while (bytes > 0u) {
    const long n = call(SYS_READ, file, (long)at, (long)bytes, 0);
    if (n <= 0) {
      file_failed();
    }
    at += n;
    bytes -= (uint32_t)n;
  }
}

void edgec_harness_write(int32_t file, const void *data, uint32_t bytes) {
  const uint8_t *at = data;
  while (bytes > 0u) {
    const long n = call(SYS_WRITE, file, (long)at, (long)bytes, 0);
    if (n <= 0) {
      file_failed();
    }
    at += n;
    bytes -= (uint32_t)n;
  }
}

uint32_t edgec_harness_mark(void) {
  (void)call(MARK, 0, 0, 0, 0);
  return 0u;
}

void edgec_harness_enter(void) __attribute__((noreturn, used));
void edgec_harness_enter(void) { edgec_harness_exit(main()); }

/* Linux gives a stack of its own; the one that is measured lies where the linker script says. */
#if defined(__x86_64__)
__asm__(".globl edgec_harness_start\nedgec_harness_start:\n\tlea edgec_harness_stack_top(%rip), %rsp\n\tcall edgec_harness_enter\n");
#elif defined(__aarch64__)
__asm__(".globl edgec_harness_start\nedgec_harness_start:\n\tadrp x0, edgec_harness_stack_top\n"
        "\tadd x0, x0, :lo12:edgec_harness_stack_top\n\tmov sp, x0\n\tbl edgec_harness_enter\n");
#else
__asm__(".globl edgec_harness_start\nedgec_harness_start:\n\tla sp, edgec_harness_stack_top\n\tcall edgec_harness_enter\n");
#endif
