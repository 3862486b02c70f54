/* A QEMU plugin for user mode: counts executed instructions and says the count at every mark of harness_user.c.
 *
 * Blocks are counted when they are entered; a block ends at a jump or a system call and user code takes no interrupt, so
 * the count at a system call is exact. The few declarations stand here because distributions do not package
 * qemu-plugin.h (QEMU's documented plugin interface, docs/devel/tcg-plugins.rst; callbacks are the same in versions 1 to 4).
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifndef EDGEC_QEMU_PLUGIN_VERSION
#define EDGEC_QEMU_PLUGIN_VERSION 1
#endif

enum { MARK = 0x4544, NO_REGISTERS = 0 };

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
typedef void (*translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*executed)(unsigned int vcpu, void *user);
typedef void (*called)(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
void qemu_plugin_outs(const char *text);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated callback);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, executed callback, int flags, void *user);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, called callback);

extern const int qemu_plugin_version;
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

const int qemu_plugin_version = EDGEC_QEMU_PLUGIN_VERSION;

static uint64_t count;

static void on_block(unsigned int vcpu, void *user) {
  (void)vcpu;
  count += (uint64_t)(uintptr_t)user;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, (void *)(uintptr_t)qemu_plugin_tb_n_insns(tb));
}

static void on_system_call(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                           uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)vcpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number == MARK) {
    char line[64];
    (void)snprintf(line, sizeof line, "edgec mark %" PRIu64 "\n", count);
    qemu_plugin_outs(line);
  }
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
  return 0;
}
