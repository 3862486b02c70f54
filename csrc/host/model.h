// An opened artifact as a graph of values: what the planners of the host tiers read.
#ifndef EDGEC_HOST_MODEL_H
#define EDGEC_HOST_MODEL_H

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "runtime/kernel.h"

namespace edgec {

// Opcodes, the high byte of a kernel id: `code` in edgec/ops.
enum Opcode : int {
  op_conv2d = 1, op_depthwise_conv2d = 2, op_dense = 3, op_add = 4, op_add_wide = 5, op_average_pool2d = 6,
  op_max_pool2d = 7, op_lookup = 8, op_softmax = 9, op_transpose = 10, op_strided_copy = 11, op_concat = 12,
  op_pad = 13, op_gather = 14, op_constant = 15, op_mul = 16, op_minimum = 17, op_maximum = 18, op_resize = 19,
  op_conv_transpose2d = 20, op_argmax = 21, op_table_pool2d = 22, op_div = 23, op_conv2d_add = 24, op_conv2d_s16 = 28,
  op_average_pool2d_s16 = 29, op_add_s16 = 30, op_rescale_s16 = 31,
};

struct Place {
  uint32_t offset = 0, bytes = 0;  // in the artifact's arena
};

struct Record {
  const edgec_kernel *kernel = nullptr;
  int opcode = 0;
  int32_t params[EDGEC_MAX_PARAMS] = {0};
  int input_count = 0, constant_count = 0;
  Place input[EDGEC_MAX_INPUTS], output, scratch;
  const void *constant[EDGEC_MAX_CONSTANTS] = {nullptr};
  uint32_t constant_bytes[EDGEC_MAX_CONSTANTS] = {0};
  const int8_t *weights = nullptr;  // constant 0 as int8 values, where it is weights
  const int32_t *bias = nullptr;    // constant 1 as int32 values, where it is a bias
  // Filled where the graph was recovered.
  int in_value[EDGEC_MAX_INPUTS] = {-1, -1}, out_value = -1;

  template <typename T> const T &as() const { return *reinterpret_cast<const T *>(params); }
  const int32_t *words(int index) const { return static_cast<const int32_t *>(constant[index]); }
  const int8_t *bytes(int index) const { return static_cast<const int8_t *>(constant[index]); }
};

struct Value {
  uint32_t bytes = 0;
  int producer = -1;  // record, or −1 for a graph input
  std::vector<int> readers;
};

struct Port {
  Place place;
  int32_t zero_point = 0;
  int value = -1;
};

// Owns a 64-byte aligned copy of the artifact, checked by edgec_open with the reference kernels.
class Model {
 public:
  Model(const void *artifact, size_t bytes);

  std::vector<Record> records;
  std::vector<Port> inputs, outputs;
  std::vector<Value> values;
  // False where some operator reads bytes that are not exactly one earlier output: then only the artifact's own arena
  // and order of bytes are trusted, and every tier runs the reference plan.
  bool is_graph = false;
  uint32_t arena_bytes = 0;
  uint64_t macs = 0;

 private:
  void read_records(const edgec_model &model);
  void widen(Record &record, int32_t count, int32_t channels);
  void widen_constants(Record &record);
  bool recover_graph();
  std::unique_ptr<uint8_t, void (*)(void *)> artifact_;
  std::deque<std::vector<int8_t>> wide_weights_;  // which the artifact holds in 4 bits
  std::deque<std::vector<int32_t>> wide_biases_;  // of the same layers, there in 16
};

uint64_t macs_of(const Record &record);
std::string name_of(const Record &record);

}  // namespace edgec

#endif
