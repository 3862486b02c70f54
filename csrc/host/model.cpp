#include "host/model.h"

#include <cstdlib>
#include <cstring>

#include "host/error.h"
#include "kernels/conv/conv.h"
#include "kernels/conv_transpose/conv_transpose.h"
#include "kernels/dense/dense.h"
#include "kernels/nibbles.h"
#include "runtime/record.h"

namespace edgec {

namespace {

// What is in the artifact's arena as the program runs: byte ranges and the value each holds.
class ArenaContents {
 public:
  void clobber(Place place) {
    std::vector<Entry> kept;
    for (const Entry &e : entries_) {
      if (e.place.offset + e.place.bytes <= place.offset || place.offset + place.bytes <= e.place.offset) {
        kept.push_back(e);
      }
    }
    entries_.swap(kept);
  }
  void write(Place place, int value) {
    clobber(place);
    entries_.push_back({place, value});
  }
  int read(Place place) const {
    for (const Entry &e : entries_) {
      if (e.place.offset == place.offset && e.place.bytes == place.bytes) {
        return e.value;
      }
    }
    return -1;
  }

 private:
  struct Entry {
    Place place;
    int value;
  };
  std::vector<Entry> entries_;
};

}  // namespace

Model::Model(const void *artifact, size_t bytes) : artifact_(nullptr, &std::free) {
  const size_t rounded = (bytes + 63) / 64 * 64 + 64;
  artifact_.reset(static_cast<uint8_t *>(std::aligned_alloc(64, rounded)));
  if (!artifact_) {
    throw std::bad_alloc();
  }
  std::memcpy(artifact_.get(), artifact, bytes);
  edgec_model model;
  const edgec_status status = edgec_open(&model, artifact_.get(), bytes, edgec_kernels_all);
  if (status == EDGEC_ERROR_KERNEL_MISSING) {
    throw Error(ErrorKind::artifact, "the artifact is packed for another device", "program section",
                "the host runs the generic layout, and this program names a kernel that the host library does not have",
                "compile for target host or generic-c, or run it with on=\"qemu\"");
  }
  if (status != EDGEC_OK) {
    throw Error(ErrorKind::artifact, std::string("the artifact was refused: ") + edgec_status_text(status), "artifact bytes",
                "the loader checks header, sections and every operator before anything runs",
                "use the file as edgec.compile wrote it");
  }
  arena_bytes = edgec_arena_bytes(&model);
  read_records(model);
  is_graph = recover_graph();
  for (const Record &r : records) {
    macs += macs_of(r);
  }
}

void Model::read_records(const edgec_model &model) {
  const uint8_t *at = model.program + 8;
  for (uint32_t i = 0; i < static_cast<uint32_t>(model.input_count) + model.output_count; i++) {
    Port port;
    port.place = {edgec_load_le32(at), edgec_load_le32(at + 4)};
    port.zero_point = static_cast<int16_t>(edgec_load_le16(at + 8));
    (i < model.input_count ? inputs : outputs).push_back(port);
    at += EDGEC_PORT_BYTES;
  }
  for (uint32_t i = 0; i < model.op_count; i++) {
    const edgec_record raw = edgec_decode_record(at);
    Record r;
    r.kernel = edgec_find_kernel(model.kernels, raw.kernel_id);
    r.opcode = static_cast<int>(raw.kernel_id >> 8);
    edgec_load_params(&raw, r.params);
    r.scratch = {raw.scratch_offset, edgec_load_le32(at + 12)};
    r.input_count = static_cast<int>(raw.input_count);
    r.constant_count = static_cast<int>(raw.constant_count);
    const uint8_t *pair = raw.operands;
    for (int k = 0; k < r.input_count; k++, pair += 8) {
      r.input[k] = {edgec_load_le32(pair), edgec_load_le32(pair + 4)};
    }
    r.output = {edgec_load_le32(pair), edgec_load_le32(pair + 4)};
    pair += 8;
    for (int k = 0; k < r.constant_count; k++, pair += 8) {
      r.constant_bytes[k] = edgec_load_le32(pair + 4);
      r.constant[k] = r.constant_bytes[k] == 0 ? nullptr : model.weights + edgec_load_le32(pair);
    }
    widen_constants(r);
    records.push_back(r);
    at = edgec_record_end(&raw);
  }
}

// Rows of `count` weights of 4 bits, each beginning at a byte, as int8 without gaps; their `channels` biases of int16 as int32.
void Model::widen(Record &r, int32_t count, int32_t channels) {
  const size_t row_bytes = static_cast<size_t>(count + 1) / 2;
  const size_t rows = r.constant_bytes[0] / row_bytes;
  std::vector<int8_t> &wide = wide_weights_.emplace_back(rows * static_cast<size_t>(count));
  const int8_t *from = r.bytes(0);
  int8_t *to = wide.data();
  for (size_t row = 0; row < rows; row++, from += row_bytes) {
    for (int32_t i = 0; i < count; i++) {
      *to++ = static_cast<int8_t>(edgec_nibble(from, i));
    }
  }
  r.weights = wide.data();
  const auto *const bias = static_cast<const int16_t *>(r.constant[1]);
  r.bias = wide_biases_.emplace_back(bias, bias + channels).data();
}

// The planners of the tiers pack weights of 8 bits and biases of 32, whatever the artifact holds; its own kernels keep the
// artifact's bytes.
void Model::widen_constants(Record &r) {
  r.weights = r.bytes(0);
  r.bias = r.words(1);
  if (r.opcode == op_conv2d && r.as<edgec_conv2d_params>().weight_bits == 4) {
    const auto &p = r.as<edgec_conv2d_params>();
    widen(r, p.kernel_h * p.kernel_w * (p.in_c / p.groups), p.out_c);
  } else if (r.opcode == op_depthwise_conv2d && r.as<edgec_depthwise_conv2d_params>().weight_bits == 4) {
    const int32_t channels = r.as<edgec_depthwise_conv2d_params>().out_c;
    widen(r, channels, channels);
  } else if (r.opcode == op_dense && r.as<edgec_dense_params>().weight_bits == 4) {
    const auto &p = r.as<edgec_dense_params>();
    widen(r, p.in_features, p.out_features);
  }
}

bool Model::recover_graph() {
  ArenaContents arena;
  for (Port &port : inputs) {
    port.value = static_cast<int>(values.size());
    values.push_back({port.place.bytes, -1, {}});
    arena.write(port.place, port.value);
  }
  for (size_t i = 0; i < records.size(); i++) {
    Record &r = records[i];
    for (int k = 0; k < r.input_count; k++) {
      r.in_value[k] = arena.read(r.input[k]);
      if (r.in_value[k] < 0) {
        return false;
      }
      values[static_cast<size_t>(r.in_value[k])].readers.push_back(static_cast<int>(i));
    }
    if (r.scratch.bytes != 0) {
      arena.clobber(r.scratch);
    }
    r.out_value = static_cast<int>(values.size());
    values.push_back({r.output.bytes, static_cast<int>(i), {}});
    arena.write(r.output, r.out_value);
  }
  for (Port &port : outputs) {
    port.value = arena.read(port.place);
    if (port.value < 0) {
      return false;
    }
  }
  return true;
}

uint64_t macs_of(const Record &r) {
  const auto product = [](std::initializer_list<int32_t> sizes) {
    uint64_t p = 1;
    for (const int32_t s : sizes) {
      p *= static_cast<uint64_t>(s);
    }
    return p;
  };
  if (r.opcode == op_conv2d || r.opcode == op_conv2d_add) {  // the members that count are the first of both
    const auto &p = r.as<edgec_conv2d_params>();
    return product({p.out_h, p.out_w, p.out_c, p.kernel_h, p.kernel_w, p.in_c / p.groups});
  }
  if (r.opcode == op_depthwise_conv2d) {
    const auto &p = r.as<edgec_depthwise_conv2d_params>();
    return product({p.out_h, p.out_w, p.out_c, p.kernel_h, p.kernel_w});
  }
  if (r.opcode == op_conv_transpose2d) {
    const auto &p = r.as<edgec_conv_transpose2d_params>();
    return product({p.in_h, p.in_w, p.in_c, p.kernel_h, p.kernel_w, p.out_c / p.groups});
  }
  if (r.opcode == op_dense) {
    const auto &p = r.as<edgec_dense_params>();
    return product({p.rows, p.in_features, p.out_features});
  }
  return 0;
}

std::string name_of(const Record &r) {
  static const char *const names[] = {"?", "conv2d", "depthwise_conv2d", "dense", "add", "add_wide", "average_pool2d",
                                      "max_pool2d", "lookup", "softmax", "transpose", "strided_copy", "concat", "pad", "gather",
                                      "constant", "mul", "minimum", "maximum", "resize", "conv_transpose2d", "argmax", "table_pool2d", "div",
                                      "conv2d_add"};
  const size_t known = sizeof names / sizeof *names;
  return r.opcode > 0 && static_cast<size_t>(r.opcode) < known ? names[r.opcode] : "opcode " + std::to_string(r.opcode);
}

}  // namespace edgec
