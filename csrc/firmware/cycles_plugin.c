/* A QEMU plugin for system mode: estimates the cycles of the executed instructions and says them whenever the instruction
 * at one address is about to be executed. Arguments: mark=ADDRESS (edgec_harness_mark).
 *
 * A line a mark: "edgec cycles INSTRUCTIONS CYCLES LEAST MOST", all since the start. The few declarations of QEMU's plugin
 * interface stand here because distributions do not package qemu-plugin.h (docs/devel/tcg-plugins.rst in QEMU).
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cycles_cortex_m4.h"

#ifndef EDGEC_QEMU_PLUGIN_VERSION
#define EDGEC_QEMU_PLUGIN_VERSION 1
#endif

enum { NO_REGISTERS = 0, READ_AND_WRITE = 3, COPYING_VERSION = 3 };

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
typedef void (*accessed)(unsigned int vcpu, uint32_t info, uint64_t address, void *user);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
/* One function with two types: it copies since version 3 of the interface, and gave a pointer before. */
const void *insn_data(const struct qemu_plugin_insn *insn) __asm__("qemu_plugin_insn_data");
size_t insn_copy(const struct qemu_plugin_insn *insn, void *to, size_t bytes) __asm__("qemu_plugin_insn_data");
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_outs(const char *text);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, executed callback, int flags, void *user);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, accessed callback, int flags, int which, void *user);

extern const int qemu_plugin_version;
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info *info, int argc, char **argv);

const int qemu_plugin_version = EDGEC_QEMU_PLUGIN_VERSION;

static m4_state state;
static uint32_t mark;
static int interface_version;

static void on_instruction(unsigned int vcpu, void *user) {
  const m4_instruction *const now = user;
  (void)vcpu;
  edgec_m4_next(&state, now);
  if (now->address == mark) {
    char line[128];
    (void)snprintf(line, sizeof line, "edgec cycles %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", state.instructions,
                   state.cycles, state.least, state.most);
    qemu_plugin_outs(line);
  }
}

static void on_access(unsigned int vcpu, uint32_t info, uint64_t address, void *user) {
  (void)vcpu, (void)info, (void)user;
  edgec_m4_access(&state, (uint32_t)address);
}

/* Halfwords of an instruction. Near the end of a page QEMU may have read a halfword more than the instruction has. */
static void halfwords(const struct qemu_plugin_insn *insn, uint16_t words[2]) {
  const size_t bytes = qemu_plugin_insn_size(insn) < 4u ? 2u : 4u;
  words[0] = words[1] = 0;
  if (interface_version >= COPYING_VERSION) {
    (void)insn_copy(insn, words, bytes);
  } else {
    memcpy(words, insn_data(insn), bytes);
  }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  for (size_t n = 0; n < qemu_plugin_tb_n_insns(tb); n++) {
    struct qemu_plugin_insn *const insn = qemu_plugin_tb_get_insn(tb, n);
    uint16_t words[2];
    m4_instruction *const decoded = malloc(sizeof *decoded); /* as long as the emulator runs */
    if (decoded == NULL) {
      abort();
    }
    halfwords(insn, words);
    *decoded = edgec_m4_decode((uint32_t)qemu_plugin_insn_vaddr(insn), words[0], words[1]);
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction, NO_REGISTERS, decoded);
    qemu_plugin_register_vcpu_mem_cb(insn, on_access, NO_REGISTERS, READ_AND_WRITE, NULL);
  }
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info *info, int argc, char **argv) {
  interface_version = info->version.cur;
  for (int n = 0; n < argc; n++) {
    if (strncmp(argv[n], "mark=", 5) == 0) {
      mark = (uint32_t)strtoul(argv[n] + 5, NULL, 0);
    }
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  return 0;
}
