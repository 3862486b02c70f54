/* A QEMU plugin for user mode: counts executed instructions and says the count at every mark of harness_user.c.
 *
 * Arguments: match=MASK:VALUE (hexadecimal, any number) counts the instructions of four bytes that match, too: a line a mark is
 * then "edgec mark INSTRUCTIONS MATCHING", both since the start.
 *
 * Blocks are counted when they are entered; a block ends at a jump or a system call and user code takes no interrupt, so
 * the count at a system call is exact. The few declarations stand here because distributions do not package
 * qemu-plugin.h (QEMU's documented plugin interface, docs/devel/tcg-plugins.rst; callbacks are the same in versions 1 to 4).
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef EDGEC_QEMU_PLUGIN_VERSION
#define EDGEC_QEMU_PLUGIN_VERSION 1
#endif

enum { MARK = 0x4544, NO_REGISTERS = 0, COPYING_VERSION = 3, MOST_PATTERNS = 16, MATCHING_SHIFT = 16 };

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info {
  const char *target_name;
  struct {
    int min, cur;
  } version;
} qemu_info;
typedef void (*translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*executed)(unsigned int vcpu, void *user);
typedef void (*called)(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
/* One function with two types: it copies since version 3 of the interface, and gave a pointer before. */
const void *insn_data(const struct qemu_plugin_insn *insn) __asm__("qemu_plugin_insn_data");
size_t insn_copy(const struct qemu_plugin_insn *insn, void *to, size_t bytes) __asm__("qemu_plugin_insn_data");
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_outs(const char *text);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated callback);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, executed callback, int flags, void *user);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, called callback);

extern const int qemu_plugin_version;
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info *info, int argc, char **argv);

const int qemu_plugin_version = EDGEC_QEMU_PLUGIN_VERSION;

static uint64_t count, matching;
static int interface_version, patterns;
static struct {
  uint32_t mask, value;
} pattern[MOST_PATTERNS];

/* user: the instructions of the block, and those that match in the bits above. A block has at most 512. */
static void on_block(unsigned int vcpu, void *user) {
  (void)vcpu;
  count += (uint64_t)((uintptr_t)user & 0xffffu);
  matching += (uint64_t)((uintptr_t)user >> MATCHING_SHIFT);
}

static int matches(const struct qemu_plugin_insn *insn) {
  uint32_t word = 0;
  if (qemu_plugin_insn_size(insn) != sizeof word) {
    return 0;
  }
  if (interface_version >= COPYING_VERSION) {
    (void)insn_copy(insn, &word, sizeof word);
  } else {
    memcpy(&word, insn_data(insn), sizeof word);
  }
  for (int i = 0; i < patterns; i++) {
    if ((word & pattern[i].mask) == pattern[i].value) {
      return 1;
    }
  }
  return 0;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  const size_t size = qemu_plugin_tb_n_insns(tb);
  size_t found = 0;
  (void)id;
  for (size_t i = 0; patterns != 0 && i < size; i++) {
    found += (size_t)matches(qemu_plugin_tb_get_insn(tb, i));
  }
  qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, (void *)(uintptr_t)(size | found << MATCHING_SHIFT));
}

static void on_system_call(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                           uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)vcpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number == MARK) {
    char line[96];
    if (patterns != 0) {
      (void)snprintf(line, sizeof line, "edgec mark %" PRIu64 " %" PRIu64 "\n", count, matching);
    } else {
      (void)snprintf(line, sizeof line, "edgec mark %" PRIu64 "\n", count);
    }
    qemu_plugin_outs(line);
  }
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info *info, int argc, char **argv) {
  interface_version = info->version.cur;
  for (int n = 0; n < argc && patterns < MOST_PATTERNS; n++) {
    char *end;
    if (strncmp(argv[n], "match=", 6) == 0) {
      pattern[patterns].mask = (uint32_t)strtoul(argv[n] + 6, &end, 16);
      pattern[patterns].value = (uint32_t)strtoul(*end == ':' ? end + 1 : end, NULL, 16);
      patterns++;
    }
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
  return 0;
}
