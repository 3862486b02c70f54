// How a plan for a tier is made:
//   1. every record becomes a Node: what it computes, the shape in which it sees each operand, and the layouts it asks for;
//   2. a convolution whose only reader is an add takes that add into its epilogue;
//   3. the layouts asked for are merged into the fewest versions of each value; the producer writes one, conversions the rest;
//   4. steps are emitted with packed weights, and the versions get their places in the arena.
#include "host/planner.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "host/cost_neon.h"
#include "host/error.h"
#include "host/layout.h"
#include "host/node.h"
#include "host/packing.h"
#include "host/parts.h"
#include "host/plain.h"
#include "kernels/conv/conv.h"
#include "kernels/dense/dense.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/pooling/pooling.h"

namespace edgec {

namespace {

// One form in which a value lies in memory.
struct Version {
  int value = -1;
  Layout layout;
  bool any_pitch = true;
  Operand operand;
  bool placed = false;  // operand is a port
  int first_step = -1, last_step = -1;
};

struct Filling {
  std::vector<Fill> fills;
};

void run_filling(const void *params, uint8_t *const *operands) {
  for (const Fill &f : static_cast<const Filling *>(params)->fills) {
    fill(operands[0], f);
  }
}

constexpr int weights_in_l1 = 24 * 1024;  // bytes of a block of weights that stay in the first cache beside the activations

class Planner {
 public:
  Planner(const Model &model, const edgec_host_tier &tier, bool tracing, int samples, size_t resident)
      : model_(model), tier_(tier), tracing_(tracing), samples_(samples), resident_bytes_(resident) {}

  Plan plan() {
    nodes_ = make_nodes(model_, tier_);
    if (!tracing_) {
      fuse_adds();
    }
    collect_versions();
    for (size_t i = 0; i < model_.inputs.size(); i++) {
      write_versions(model_.inputs[i].value, nullptr);
    }
    for (size_t i = 0; i < nodes_.size(); i++) {
      if (!nodes_[i].is_fused) {
        emit(static_cast<int>(i));
      }
    }
    for (const auto &extra : extra_outputs_) {
      emit_copy(extra.first, extra.second);
    }
    place();
    return std::move(plan_);
  }

 private:
  // --- fusion ------------------------------------------------------------------------------------------------------
  void fuse_adds() {
    for (size_t i = 0; i < nodes_.size(); i++) {
      Node &conv = nodes_[i];
      if (conv.kind != NodeKind::conv || conv.residual >= 0) {
        continue;
      }
      const Value &value = model_.values[static_cast<size_t>(conv.out_value)];
      if (value.readers.size() != 1 || is_output(conv.out_value)) {
        continue;
      }
      Node &add = nodes_[static_cast<size_t>(value.readers[0])];
      if (add.kind != NodeKind::add) {
        continue;
      }
      const int own = add.in_value[0] == conv.out_value ? 0 : 1;
      const int other = add.in_value[1 - own];
      const int producer = model_.values[static_cast<size_t>(other)].producer;
      if (other == conv.out_value || producer >= static_cast<int>(i)) {
        continue;
      }
      const auto &p = model_.records[static_cast<size_t>(add.record)].as<edgec_add_params>();
      conv.residual = other;
      conv.q.add = EDGEC_RESIDUAL_ADDED;
      conv.q.add_own = own == 0 ? p.multiplier_a : p.multiplier_b;
      conv.q.add_other = own == 0 ? p.multiplier_b : p.multiplier_a;
      conv.q.add_offset = p.offset;
      conv.q.add_shift = p.shift;
      conv.q.add_low = p.clamp_min;
      conv.q.add_high = p.clamp_max;
      conv.out_value = add.out_value;
      conv.name += "+add";
      add.is_fused = true;
    }
  }

  bool is_output(int value) const {
    return std::any_of(model_.outputs.begin(), model_.outputs.end(), [&](const Port &p) { return p.value == value; });
  }

  // --- versions ----------------------------------------------------------------------------------------------------
  static bool merge(Version &into, const Request &request) {
    Layout &a = into.layout;
    const Layout &b = request.layout;
    if (a.kind != b.kind) {
      return false;
    }
    if (!(a.view == b.view)) {  // another shape of the same bytes is the same only where all is flat
      const bool flat_a = (a.is_flat() || into.any_pitch) && !a.has_padding() && a.split == 1;
      const bool flat_b = (b.is_flat() || request.any_pitch) && !b.has_padding() && b.split == 1;
      if (!flat_a || !flat_b || a.view.size() != b.view.size() || (!into.any_pitch && a.pitch != a.view.c) ||
          (!request.any_pitch && b.pitch != b.view.c)) {
        return false;
      }
      a.pitch = a.view.c;
      into.any_pitch = false;
      return true;
    }
    if (a.split != b.split || (a.has_padding() && b.has_padding() && a.pad_value != b.pad_value) ||
        (!into.any_pitch && !request.any_pitch && a.pitch != b.pitch)) {
      return false;
    }
    if (!request.any_pitch) {
      a.pitch = b.pitch;
      into.any_pitch = false;
    }
    if (b.has_padding()) {
      a.pad_value = b.pad_value;
    }
    a.top = std::max(a.top, b.top);
    a.left = std::max(a.left, b.left);
    a.bottom = std::max(a.bottom, b.bottom);
    a.right = std::max(a.right, b.right);
    return true;
  }

  int request(int value, const Request &r) {
    for (size_t i = 0; i < versions_.size(); i++) {
      if (versions_[i].value == value && merge(versions_[i], r)) {
        return static_cast<int>(i);
      }
    }
    Version v;
    v.value = value;
    v.layout = r.layout;
    v.any_pitch = r.any_pitch;
    versions_.push_back(v);
    return static_cast<int>(versions_.size()) - 1;
  }

  Request plain(int value) const {
    Request r;
    r.layout.view = {1, 1, static_cast<int>(model_.values[static_cast<size_t>(value)].bytes)};
    r.layout.pitch = r.layout.view.c;
    r.any_pitch = false;
    return r;
  }

  void collect_versions() {
    // In order of the readers; a plain version first where there is a port, so that nobody else takes its bytes.
    for (const Port &port : model_.inputs) {
      request(port.value, plain(port.value));
    }
    for (const Port &port : model_.outputs) {
      request(port.value, plain(port.value));
    }
    for (Node &node : nodes_) {
      if (node.is_fused) {
        continue;
      }
      for (int k = 0; k < node.inputs; k++) {
        node.in_version[k] = request(node.in_value[k], node.kind == NodeKind::reference ? plain(node.in_value[k]) : node.request[k]);
      }
      if (node.residual >= 0) {
        Request r;
        r.layout.view = node.out_view;
        r.layout.kind = tier_.kind;
        r.any_pitch = true;
        node.residual_version = request(node.residual, r);
      }
      if (tracing_) {
        request(node.out_value, plain(node.out_value));
      }
    }
    // Values nobody reads still need a place.
    for (const Node &node : nodes_) {
      if (!node.is_fused && versions_of(node.out_value).empty()) {
        request(node.out_value, plain(node.out_value));
      }
    }
    for (Version &v : versions_) {
      if (v.any_pitch) {
        const bool is_input = model_.values[static_cast<size_t>(v.value)].producer < 0;
        v.layout.pitch = is_input && !v.layout.pitch ? v.layout.view.c : planned_pitch(v.layout.view.c);
        v.any_pitch = false;
      }
    }
    uint32_t space = 1;
    for (const Port &port : model_.inputs) {
      Version &v = versions_[static_cast<size_t>(plain_version(port.value))];
      v.operand = {space++, 0};
      v.placed = true;
    }
    for (const Port &port : model_.outputs) {
      const int index = plain_version(port.value);
      Version &v = versions_[static_cast<size_t>(index)];
      if (v.placed) {  // an input or an earlier output handed out once more
        Version again = v;
        again.operand = {space++, 0};
        versions_.push_back(again);
        extra_outputs_.push_back({index, static_cast<int>(versions_.size()) - 1});
        versions_.back().value = -2;
      } else {
        v.operand = {space++, 0};
        v.placed = true;
      }
    }
  }

  std::vector<int> versions_of(int value) const {
    std::vector<int> found;
    for (size_t i = 0; i < versions_.size(); i++) {
      if (versions_[i].value == value) {
        found.push_back(static_cast<int>(i));
      }
    }
    return found;
  }

  int plain_version(int value) const {
    for (const int i : versions_of(value)) {
      const Layout &l = versions_[static_cast<size_t>(i)].layout;
      if (l.kind == EDGEC_KIND_S8 && l.is_flat()) {
        return i;
      }
    }
    return -1;
  }

  // Whether a node can write a version itself.
  bool can_write(const Node &node, const Layout &l) const {
    if (node.kind == NodeKind::reference) {
      return l.kind == EDGEC_KIND_S8 && l.is_flat();
    }
    if (l.kind == EDGEC_KIND_S8 && !l.is_flat()) {
      return false;
    }
    if (!(l.view == node.out_view) && !(l.is_flat() && l.view.size() == node.out_view.size())) {
      return false;
    }
    if (node.kind == NodeKind::conv || node.kind == NodeKind::concat) {
      return true;
    }
    // Flat rows: the pitch of the input is the pitch of the output.
    const int pitch = input_of(node, 0).pitch;
    const Layout out = as_seen(node, l);
    return out.split == 1 && (out.pitch == pitch || (out.view.w == 1 && out.pitch <= pitch));
  }

  // A flat version in the shape in which a node sees it; others already have it.
  static Layout seen(Layout l, const View &view) {
    if (!(l.view == view)) {
      l.view = view;
      l.pitch = view.c;
    }
    return l;
  }
  static Layout as_seen(const Node &node, const Layout &l) { return seen(l, node.out_view); }
  Layout input_of(const Node &node, int k) const { return seen(layout_of(node.in_version[k]), node.request[k].layout.view); }

  // --- steps -------------------------------------------------------------------------------------------------------
  // cycles: of one sample.
  Step &add_step(StepFunction run, const void *params, int record, const std::string &name, double cycles) {
    Step step;
    step.run = run;
    step.params = params;
    step.record = record;
    step.name = name;
    step.cycles = cycles;
    plan_.steps.push_back(step);
    uses_.push_back({});
    return plan_.steps.back();
  }

  // Operand k of the last step is `extra` bytes into version v.
  void use(int k, int v, int extra = 0) {
    uses_.back().push_back({k, v, extra});
    Version &version = versions_[static_cast<size_t>(v)];
    const int step = static_cast<int>(plan_.steps.size()) - 1;
    if (version.first_step < 0) {
      version.first_step = step;
    }
    version.last_step = step;
  }

  // Bytes from a version's sample to the next; ports have them one after the other.
  size_t stride(int v) const {
    const Version &version = versions_[static_cast<size_t>(v)];
    return version.placed ? version.layout.bytes() : rounded(version.layout.bytes());
  }

  // The last step was for the first sample: the same for the others.
  void repeat_step() {
    for (int n = 1; n < samples_; n++) {
      plan_.steps.push_back(Step(plan_.steps.back()));
      const std::vector<Use> before = uses_.back();
      uses_.push_back({});
      for (const Use &u : before) {
        use(u.operand, u.version, u.extra + static_cast<int>(stride(u.version)));
      }
    }
  }

  // Cycles of a step over flat rows: for each register of stored elements so many.
  double row_cycles(int rows, int row_elements, double each) const {
    const int block = tier_.group * tier_.lanes;
    return 20.0 + rows * ((row_elements + block - 1) / block * each + 4.0);
  }

  void emit_copy(int from, int to) {
    Layout source = layout_of(from), target = layout_of(to);
    if (source.is_flat()) {  // where their shapes differ, one of the two is flat: see it in the other's
      source = seen(source, target.view);
    } else {
      target = seen(target, source.view);
    }
    emit_pixels("convert", -1, from, source, to, target, 0);
  }

  // Pixels of `source` (version from) to the channels from `channel` on of those of `target` (version to): a step for each set of
  // columns that lie evenly in both.
  void emit_pixels(const std::string &name, int record, int from, const Layout &source, int to, const Layout &target, int channel) {
    const int planes = std::lcm(source.split, target.split);
    for (int k = 0; k < std::min(planes, target.view.w); k++) {
      edgec_host_pixels p{};
      p.rows = target.view.h;
      p.pixels = (target.view.w - k + planes - 1) / planes;
      p.channels = source.view.c;
      p.from_row_bytes = source.row_bytes();
      p.from_pixel_bytes = source.offset(0, k + planes) - source.offset(0, k);
      p.to_row_bytes = target.row_bytes();
      p.to_pixel_bytes = target.offset(0, k + planes) - target.offset(0, k);
      p.from_kind = source.kind;
      p.to_kind = target.kind;
      const bool runs = planes == 1 && source.pitch == p.channels && target.pitch == p.channels;
      const double cycles = runs ? row_cycles(p.rows, p.pixels * p.channels, 2.0) : row_cycles(p.rows * p.pixels, p.channels, 2.0);
      Step &step = add_step(tier_.pixels, plan_.keep(p), record, name, cycles);
      cut_rows(step, p, 1, {p.from_row_bytes, p.to_row_bytes, 0, 0});
      use(0, from, source.offset(0, k));
      use(1, to, target.offset(0, k) + channel * target.element());
      repeat_step();
    }
  }

  // After the primary version of a value is there, or for an input: the others.
  void write_versions(int value, const Node *node) {
    std::vector<int> all = versions_of(value);
    int primary = node != nullptr ? node->out_version : plain_version(value);
    for (const int v : all) {
      if (v == primary) {
        continue;
      }
      const Layout &from = versions_[static_cast<size_t>(primary)].layout, &to = versions_[static_cast<size_t>(v)].layout;
      if (!(from.view == to.view) && !from.is_flat() && !to.is_flat()) {  // two shapes, neither flat: by way of a flat one
        Version flat;
        flat.value = -2;
        flat.layout = plain(value).layout;
        versions_.push_back(flat);
        const int middle = static_cast<int>(versions_.size()) - 1;
        emit_copy(primary, middle);
        emit_copy(middle, v);
        continue;
      }
      emit_copy(primary, v);
    }
  }

  void choose_output(Node &node) {
    const std::vector<int> all = versions_of(node.out_value);
    node.out_version = -1;
    for (const int v : all) {  // the tier's own form first: the plain one is for the outside
      const Layout &l = versions_[static_cast<size_t>(v)].layout;
      if (can_write(node, l) && (node.out_version < 0 || l.kind == tier_.kind) &&
          (node.out_version < 0 || versions_[static_cast<size_t>(node.out_version)].layout.kind != tier_.kind)) {
        node.out_version = v;
      }
    }
    if (node.out_version < 0) {  // a form the node can write, for conversion into those asked for
      Version v;
      v.value = node.out_value;
      if (node.kind == NodeKind::reference || node.kind == NodeKind::conv || node.kind == NodeKind::concat) {
        v.layout = plain(node.out_value).layout;
      } else {
        v.layout.view = node.out_view;
        v.layout.kind = tier_.kind;
        v.layout.pitch = input_of(node, 0).pitch;
      }
      versions_.push_back(v);
      node.out_version = static_cast<int>(versions_.size()) - 1;
    }
  }

  void emit(int index) {
    Node &node = nodes_[static_cast<size_t>(index)];
    if (node.kind == NodeKind::add) {  // flat rows: both operands share a pitch
      const Layout a = input_of(node, 0), b = input_of(node, 1);
      if (a.pitch != b.pitch || a.split != 1 || b.split != 1 || !(a.view == b.view)) {
        throw Error(ErrorKind::artifact, "the host planner gave an addition operands of two layouts", "op " + std::to_string(index),
                    "this is a defect of edgec", "please report it; tier=\"ref\" runs the artifact");
      }
    }
    choose_output(node);
    switch (node.kind) {
      case NodeKind::reference: emit_reference(node); break;
      case NodeKind::conv: node.transposed ? emit_conv_transpose(node) : emit_conv(node); break;
      case NodeKind::depthwise: emit_depthwise(node); break;
      case NodeKind::max_pool: emit_max_pool(node); break;
      case NodeKind::add: emit_add(node); break;
      case NodeKind::lookup: emit_lookup(node); break;
      case NodeKind::concat: emit_concat(node); break;
    }
    write_versions(node.out_value, &node);
    if (tracing_) {
      traced_.push_back({node.record, plain_version(node.out_value)});
    }
  }

  void emit_reference(const Node &node) {
    const Record &r = model_.records[static_cast<size_t>(node.record)];
    ReferenceStep reference{&r, {}};
    for (int k = 0; k < r.constant_count; k++) {
      reference.constants.constant[k] = r.constant[k];
    }
    const PlainStep plain = plain_step(plan_, tier_, r);
    const size_t scratch_bytes = plain.run != nullptr ? plain.scratch : r.scratch.bytes;
    int scratch = -1;
    if (scratch_bytes != 0) {
      Version v;
      v.value = -2;
      v.layout.view = {1, 1, static_cast<int>(scratch_bytes)};
      v.layout.pitch = v.layout.view.c;
      versions_.push_back(v);
      scratch = static_cast<int>(versions_.size()) - 1;
    }
    if (plain.run != nullptr) {
      add_step(plain.run, plain.params, node.record, node.name, plain.cycles);
    } else {
      add_step(&run_reference, plan_.keep(reference), node.record, node.name + " ref", reference_cycles(r));
    }
    for (int k = 0; k < node.inputs; k++) {
      use(k, node.in_version[k]);
    }
    use(2, node.out_version);
    if (scratch >= 0) {
      use(3, scratch);
    }
    repeat_step();
  }

  const Layout &layout_of(int version) const { return versions_[static_cast<size_t>(version)].layout; }

  const int32_t *keep_words(const std::vector<int32_t> &words) {
    auto *const kept = reinterpret_cast<int32_t *>(plan_.keep_bytes(words.size() * 4));
    std::copy(words.begin(), words.end(), kept);
    return kept;
  }

  // Positions times channels: what every operator with a sum over input channels comes to. Offsets are of bytes.
  struct Product {
    std::vector<int32_t> in_offset, out_offset, residual_offset;  // of each position
    std::vector<int32_t> segments;                                // from a position's first tap
    int run = 0;                                                  // elements of a segment
    int pair_bytes = 0;
    bool even = false;  // positions come in pairs, pair_bytes apart
    const int32_t *bias = nullptr;
    WeightAt weight;
  };

  void add_position(Product &p, const Node &node, int sample, int in_y, int in_x, int y, int x) const {
    const Layout out = as_seen(node, layout_of(node.out_version));
    p.in_offset.push_back(sample_offset(node.in_version[0], sample) + input_of(node, 0).offset(in_y, in_x));
    p.out_offset.push_back(sample_offset(node.out_version, sample) + out.offset(y, x));
    p.residual_offset.push_back(node.residual < 0 ? 0 : sample_offset(node.residual_version, sample) +
                                                            as_seen(node, layout_of(node.residual_version)).offset(y, x));
  }

  void emit_conv(const Node &node) {
    const Window &w = node.window;
    const Layout in = input_of(node, 0);
    Product product;
    for (int n = 0; n < samples_; n++) {
      for (int y = 0; y < node.out_view.h; y++) {
        for (int x = 0; x < node.out_view.w; x++) {
          add_position(product, node, n, y * w.stride_h - w.pad_top, x * w.stride_w - w.pad_left, y, x);
        }
      }
    }
    const int depth = in.view.c / w.groups;
    const bool by_rows = w.dilation_w == 1 && w.groups == 1;  // the taps of a kernel row are one run of bytes
    for (int ky = 0; ky < w.kernel_h; ky++) {
      for (int kx = 0; kx < (by_rows ? 1 : w.kernel_w); kx++) {
        product.segments.push_back(in.offset(ky * w.dilation_h, kx * w.dilation_w) - in.offset(0, 0));
      }
    }
    const int run = by_rows ? (w.kernel_w - 1) * in.pitch + depth : depth;
    const Record &r = model_.records[static_cast<size_t>(node.record)];
    const int8_t *const weights = r.weights;
    const int kernel = w.kernel_h * w.kernel_w;
    product.run = run;
    product.pair_bytes = in.offset(0, w.stride_w) - in.offset(0, 0);
    product.even = node.out_view.w % 2 == 0;
    product.bias = r.bias;
    product.weight = [&, by_rows](int channel, int segment, int e) -> int {
      const int tap = by_rows ? segment * w.kernel_w + e / in.pitch : segment;
      const int c = by_rows ? e % in.pitch : e;
      if (c >= depth || e >= run) {
        return 0;
      }
      return node.expanded ? expanded_weight(node, weights, channel, tap, c) : weights[(channel * kernel + tap) * depth + c];
    };
    emit_product(node, product);
  }

  // Output pixels whose coordinates have the same remainders by the strides see the same taps: a convolution for each pair of
  // remainders. The padding holds the input's zero point, which the bias takes off for all its taps.
  void emit_conv_transpose(const Node &node) {
    const Window &w = node.window;
    const Layout in = input_of(node, 0);
    const Record &r = model_.records[static_cast<size_t>(node.record)];
    const int depth = in.view.c / w.groups, kernel = w.kernel_h * w.kernel_w;
    for (int ry = 0; ry < w.stride_h; ry++) {
      for (int rx = 0; rx < w.stride_w; rx++) {
        Product product;
        const int first_y = (ry - w.pad_top % w.stride_h + w.stride_h) % w.stride_h, first_x = (rx - w.pad_left % w.stride_w + w.stride_w) % w.stride_w;
        for (int n = 0; n < samples_; n++) {
          for (int y = first_y; y < node.out_view.h; y += w.stride_h) {
            for (int x = first_x; x < node.out_view.w; x += w.stride_w) {
              add_position(product, node, n, (y + w.pad_top - ry) / w.stride_h, (x + w.pad_left - rx) / w.stride_w, y, x);
            }
          }
        }
        if (product.in_offset.empty()) {
          continue;
        }
        std::vector<int> taps;
        for (int ky = 0; ky < w.kernel_h; ky++) {
          for (int kx = 0; kx < w.kernel_w; kx++) {
            const int dy = ry - ky * w.dilation_h, dx = rx - kx * w.dilation_w;
            if (dy % w.stride_h == 0 && dx % w.stride_w == 0) {
              taps.push_back(ky * w.kernel_w + kx);
              product.segments.push_back(in.offset(dy / w.stride_h, dx / w.stride_w) - in.offset(0, 0));
            }
          }
        }
        if (taps.empty()) {  // nothing reaches these pixels: a tap of zeros, as kernels read one
          taps.push_back(-1);
          product.segments.push_back(0);
        }
        product.run = depth;
        product.pair_bytes = in.offset(0, 1) - in.offset(0, 0);
        product.even = (node.out_view.w - first_x + w.stride_w - 1) / w.stride_w % 2 == 0;
        product.weight = [&](int channel, int segment, int e) -> int {
          const int tap = taps[static_cast<size_t>(segment)];
          return tap < 0 || e >= depth ? 0 : r.weights[(channel * kernel + tap) * depth + e];
        };
        std::vector<int32_t> bias(r.bias, r.bias + node.out_view.c);
        for (int c = 0; c < node.out_view.c; c++) {
          int64_t sum = 0;
          for (size_t t = 0; t < taps.size(); t++) {
            for (int e = 0; e < depth; e++) {
              sum += product.weight(c, static_cast<int>(t), e);
            }
          }
          bias[static_cast<size_t>(c)] = static_cast<int32_t>(static_cast<uint32_t>(bias[static_cast<size_t>(c)]) - static_cast<uint32_t>(node.in_zero_point * sum));
        }
        product.bias = bias.data();
        emit_product(node, product);
      }
    }
  }

  void emit_product(const Node &node, const Product &product) {
    const Window &w = node.window;
    const Layout in = input_of(node, 0);
    const Layout out = as_seen(node, layout_of(node.out_version));
    const int element = in.element();
    const int depth = in.view.c / w.groups, out_per_group = node.out_view.c / w.groups;
    const int dwords = (product.run + tier_.group - 1) / tier_.group;
    const Record &r = model_.records[static_cast<size_t>(node.record)];
    const int32_t *const in_at = keep_words(product.in_offset), *const out_at = keep_words(product.out_offset);
    const int32_t *const residual_at = keep_words(product.residual_offset), *const segment_at = keep_words(product.segments);
    const auto positions = static_cast<int32_t>(product.in_offset.size()), segments = static_cast<int32_t>(product.segments.size());
    const bool narrow = node.q.add != EDGEC_RESIDUAL_SUMMED && is_narrow(r.words(2), node.out_view.c);

    for (int g = 0; g < w.groups; g++) {
      const int group_first = g * out_per_group;
      for (const Part &part : split_channels(positions, segments * dwords, out_per_group, product.even)) {
        edgec_host_conv c{};
        const int first = group_first + part.first * tier_.lanes;
        const int there = std::min(out_per_group - part.first * tier_.lanes, part.blocks * part.tile->registers * tier_.lanes);
        const int until = w.groups == 1 && part.is_last ? std::max(out.pitch, node.out_view.c) : group_first + out_per_group;
        c.positions = positions;
        c.channel_blocks = part.blocks;
        c.segments = segments;
        c.segment_dwords = part.tile->order == EDGEC_ORDER_OCTETS ? (dwords + 1) / 2 * 2 : dwords;
        c.segment_offset = segment_at;
        c.in_offset = in_at;
        c.out_offset = out_at;
        c.residual_offset = residual_at;
        const PackedConstants packed = pack_conv(plan_, tier_, *part.tile, first, there, c.segments, c.segment_dwords, product.weight, product.bias,
                                                 r.words(2), narrow);
        c.weights = packed.weights;
        c.bias = packed.bias;
        c.multiplier = packed.multiplier;
        c.channels = std::min(until - first, part.blocks * part.tile->registers * tier_.lanes);
        c.out_runs = out.kind == tier_.kind && lie_side_by_side(product.out_offset, *part.tile, c.channels);
        c.residual_runs = node.residual >= 0 && lie_side_by_side(product.residual_offset, *part.tile, c.channels);
        c.pair_bytes = product.pair_bytes;
        c.least = std::find(r.weights, r.weights + r.constant_bytes[0], -128) != r.weights + r.constant_bytes[0];
        c.q = node.q;
        c.q.narrow = narrow;
        c.q.kind = out.kind;
        const int block_channels = part.tile->registers * tier_.lanes, block_dwords = block_channels * c.segments * c.segment_dwords;
        Step &step = add_step(part.tile->run, plan_.keep(c), node.record,
                              node.name + " " + std::to_string(part.tile->rows) + "x" + std::to_string(block_channels / part.tile->halves),
                              tile_cost(*part.tile, c.positions, c.segments * c.segment_dwords) * part.blocks);
        cut_conv(step, *part.tile, block_channels, static_cast<size_t>(block_dwords) * 4, out.element(), element);
        use(0, node.in_version[0], g * depth * element);
        use(1, node.out_version, first * out.element());
        use(2, node.residual >= 0 ? node.residual_version : node.in_version[0], node.residual >= 0 ? first * element : 0);
      }
    }
  }

  int sample_offset(int version, int sample) const { return static_cast<int>(static_cast<size_t>(sample) * stride(version)); }

  // A depthwise convolution with a channel multiplier, as a convolution with zeros.
  static int expanded_weight(const Node &node, const int8_t *weights, int channel, int tap, int c) {
    const int per_input = node.out_view.c / node.window.in_c;
    return channel / per_input == c ? weights[tap * node.out_view.c + channel] : 0;
  }

  // Whether a whole register of results always goes to bytes in a row: then tiles need not be stored position by position.
  bool lie_side_by_side(const std::vector<int32_t> &offset, const edgec_host_tile &tile, int channels) const {
    const int each = tile.registers * tier_.lanes / tile.halves;  // channels of a position in the tile
    const int at_once = tier_.group * tier_.lanes / each, positions = static_cast<int>(offset.size());
    if (tier_.kind == EDGEC_KIND_S16 || channels < each || at_once < 2) {
      return false;
    }
    for (int done = 0; done < positions; done += tile.rows) {
      const int tile_first = std::min(done, positions - tile.rows);
      for (int p = tile_first; p + at_once <= tile_first + tile.rows; p += at_once) {
        for (int i = 1; i < at_once; i++) {
          if (offset[static_cast<size_t>(p + i)] != offset[static_cast<size_t>(p)] + i * each) {
            return false;
          }
        }
      }
    }
    return true;
  }

  struct Part {
    int first, blocks;  // registers, blocks of tile->registers
    const edgec_host_tile *tile;
    bool is_last;
  };

  // The cost model: cycles of a tile are its dot products (at least what their latency or the loads take, one a cycle from L1,
  // half a one where a block of weights does not stay there) and its epilogue, times the tiles; a tile may be wider than what
  // is left of the channels.
  double tile_cost(const edgec_host_tile &tile, int positions, int dwords) const {
    if (tier_.kind == EDGEC_KIND_Q8) {
      return neon_tile_cost(tile, positions, dwords);
    }
    const double tiles = (positions + tile.rows - 1) / tile.rows;
    const double registers = static_cast<double>(tile.rows * tile.registers) / tile.halves;
    const bool in_l1 = dwords * tile.registers * 64 <= weights_in_l1;
    const double loads = tile.registers * (in_l1 ? 1.0 : 2.0) + tile.rows;
    const double dots = std::max({registers + 0.15 * tile.registers, loads, 4.0});
    return tiles * (dwords * (dots + 0.3) + 4.0 * registers + 14.0);
  }

  const edgec_host_tile *best_tile(int registers, int positions, int dwords, bool halves, double &cost) const {
    const edgec_host_tile *best = nullptr;
    for (const edgec_host_tile *t = tier_.tiles; t->rows != 0; t++) {
      if (t->registers != registers || t->rows > positions || (t->halves == 2 && !halves)) {
        continue;
      }
      const double c = tile_cost(*t, positions, dwords);
      if (best == nullptr || c < cost) {
        best = t;
        cost = c;
      }
    }
    return best;
  }

  // even: the positions of a row come in pairs.
  std::vector<Part> split_channels(int positions, int dwords, int channels, bool even) const {
    const int needed = (channels + tier_.lanes - 1) / tier_.lanes;
    std::vector<Part> best;
    double best_cost = 0;
    for (const int option : {16, 8, 4, 2, 17, 9, 5, 3}) {  // widest register count times 2; odd: a last block may be part empty
      std::vector<Part> parts;
      double total = 0;
      for (int first = 0, width = option / 2; first < needed;) {
        const int left = needed - first;
        double cost = 0;
        const edgec_host_tile *const tile = best_tile(width, positions, dwords, even && channels <= tier_.lanes / 2, cost);
        const int blocks = left >= width ? left / width : option % 2 == 1 && 2 * left > width ? 1 : 0;
        if (tile == nullptr || blocks == 0) {
          width /= 2;
          continue;
        }
        total += cost * blocks;
        parts.push_back({first, blocks, tile, false});
        first += blocks * width;
      }
      if (best.empty() || total < best_cost) {
        best = parts;
        best_cost = total;
      }
    }
    best.back().is_last = true;
    return best;
  }

  // Taps of a window along one axis that lie inside `size` elements.
  static int inside(int origin, int kernel, int size) { return std::min(origin + kernel, size) - std::max(origin, 0); }

  // All rows at once; those of an average pool that counts taps, by rows that see as many.
  void emit_depthwise(const Node &node) {
    const Window &w = node.window;
    const auto taps_of = [&](int y) {
      return node.counts_taps ? inside(y * w.stride_h - w.pad_top, w.kernel_h, input_of(node, 0).view.h) : w.kernel_h;
    };
    for (int first = 0, until = 0; first < node.out_view.h; first = until) {
      while (until < node.out_view.h && taps_of(until) == taps_of(first)) {
        until++;
      }
      emit_depthwise_rows(node, first, until - first, taps_of(first));
    }
  }

  void emit_depthwise_rows(const Node &node, int first_row, int rows, int taps_down) {
    const Window &w = node.window;
    const Layout in = input_of(node, 0);
    const Layout out = as_seen(node, layout_of(node.out_version));
    const Record &r = model_.records[static_cast<size_t>(node.record)];
    const bool all_by_taps = tier_.depthwise_taps == tier_.depthwise;
    const bool pair = !all_by_taps && w.stride_h == 1 && w.dilation_h == 1 && rows >= 2;
    const bool by_taps = all_by_taps || (tier_.depthwise_taps != nullptr && !pair && w.kernel_h * w.kernel_w == 9);
    const int rows_at_once = pair ? 2 : 1;
    const int taps_h = w.kernel_h + rows_at_once - 1;
    const int groups = by_taps ? w.kernel_h * w.kernel_w : (taps_h + tier_.group - 1) / tier_.group;
    const int origin = in.offset(-w.pad_top, -w.pad_left);

    edgec_host_depthwise d{};
    d.rows = rows;
    d.row_elements = (node.out_view.w - 1) * in.pitch + std::min(in.pitch, out.pitch);
    d.in_row_bytes = in.offset(w.stride_h - w.pad_top, -w.pad_left) - origin;
    d.out_row_bytes = out.row_bytes();
    d.groups = groups;
    d.columns = by_taps ? 1 : w.kernel_w;
    std::vector<int32_t> row_offset, column_offset;
    for (int i = 0; by_taps && i < groups; i++) {
      row_offset.push_back(in.offset(i / w.kernel_w * w.dilation_h - w.pad_top, i % w.kernel_w * w.dilation_w - w.pad_left) - origin);
    }
    for (int i = 0; !by_taps && i < groups * tier_.group; i++) {
      row_offset.push_back(in.offset(std::min(i, taps_h - 1) * w.dilation_h - w.pad_top, -w.pad_left) - origin);
    }
    for (int k = 0; k < w.kernel_w; k++) {
      column_offset.push_back(in.offset(-w.pad_top, k * w.dilation_w - w.pad_left) - origin);
    }
    d.row_offset = keep_words(row_offset);
    d.column_offset = keep_words(column_offset);
    const int channels = node.out_view.c;
    const bool is_pool = node.is_average;
    const WeightAt weight = [&](int channel, int ky, int kx) -> int {
      if (by_taps) {
        kx = ky % w.kernel_w;
        ky /= w.kernel_w;
      }
      if (ky < 0 || ky >= w.kernel_h) {
        return 0;
      }
      return is_pool ? static_cast<int>(channel % in.pitch < channels) : r.weights[(ky * w.kernel_w + kx) * channels + channel];
    };
    // Padding holds the zero point, so that a pool's sums need no more than all its taps taken off. Where its multiplier differs from
    // column to column, the constants are those of a whole row.
    const int taps = w.kernel_h * w.kernel_w;
    std::vector<int32_t> pool_multiplier;  // of each column
    for (int x = 0; is_pool && x < node.out_view.w; x++) {
      const int count = node.counts_taps ? taps_down * inside(x * w.stride_w - w.pad_left, w.kernel_w, in.view.w) : 1;
      pool_multiplier.push_back(r.words(0)[count - 1]);
    }
    const bool by_columns = is_pool && std::any_of(pool_multiplier.begin(), pool_multiplier.end(), [&](int32_t m) { return m != pool_multiplier[0]; });
    const int block = tier_.group * tier_.lanes;
    const int repeated = by_columns ? (d.row_elements + block - 1) / block * block : in.pitch;  // elements after which constants repeat
    const bool narrow = is_pool ? is_narrow(pool_multiplier.data(), node.out_view.w) : is_narrow(r.words(2), channels);
    const PackedConstants packed = pack_depthwise(
        plan_, tier_, repeated, by_columns ? repeated : channels, rows_at_once, groups, d.columns, by_taps, weight,
        [&](int c) { return is_pool ? -taps * node.in_zero_point : r.bias[c]; },
        [&](int c) { return is_pool ? pool_multiplier[static_cast<size_t>(std::min(c / in.pitch, node.out_view.w - 1))] : r.words(2)[c]; }, narrow);
    d.period = depthwise_period(tier_, repeated);
    d.weights = packed.weights;
    d.bias = packed.bias;
    d.multiplier = packed.multiplier;
    d.q = node.q;
    d.least = !is_pool && std::find(r.weights, r.weights + r.constant_bytes[0], -128) != r.weights + r.constant_bytes[0];
    d.q.narrow = narrow;
    d.q.kind = out.kind;
    edgec_host_step run = by_taps ? tier_.depthwise_taps : pair ? tier_.depthwise_pair : tier_.depthwise;
    std::string form = by_taps ? " taps" : pair ? " pair" : "";
    const int pixel = in.pitch * in.element();
    const bool ring = pair && w.kernel_w == 3 && column_offset[1] == pixel && column_offset[2] == 2 * pixel;
    const bool planes = !pair && w.kernel_w == 3 && column_offset[1] > 2 * pixel && column_offset[2] == pixel;
    if (!by_taps && !by_columns && groups == 1 && (ring || planes) && tier_.depthwise_ring(pixel, rows_at_once) != nullptr) {
      run = tier_.depthwise_ring(pixel, rows_at_once);
      form = ring ? " ring" : " planes";
    }
    // Interleaving and dot products of a register for each group of taps and column; epilogue.
    const double each = 8.0 * groups * d.columns / rows_at_once + 16.0;
    Step &step = add_step(run, plan_.keep(d), node.record, node.name + form, row_cycles(d.rows, d.row_elements, each));
    cut_rows(step, d, rows_at_once, {d.in_row_bytes, d.out_row_bytes, 0, 0});
    use(0, node.in_version[0], origin + first_row * d.in_row_bytes);
    use(1, node.out_version, out.offset(first_row, 0));
    repeat_step();
  }

  void emit_max_pool(const Node &node) {
    const Window &w = node.window;
    const Layout in = input_of(node, 0);
    const Layout out = as_seen(node, layout_of(node.out_version));
    const int origin = in.offset(-w.pad_top, -w.pad_left);
    std::vector<int32_t> taps;
    for (int ky = 0; ky < w.kernel_h; ky++) {
      for (int kx = 0; kx < w.kernel_w; kx++) {
        taps.push_back(in.offset(ky - w.pad_top, kx - w.pad_left) - origin);
      }
    }
    edgec_host_max_pool p{};
    p.rows = node.out_view.h;
    p.row_elements = (node.out_view.w - 1) * in.pitch + std::min(in.pitch, out.pitch);
    p.in_row_bytes = in.offset(w.stride_h - w.pad_top, -w.pad_left) - origin;
    p.out_row_bytes = out.row_bytes();
    p.taps = static_cast<int32_t>(taps.size());
    p.tap_offset = keep_words(taps);
    p.low = node.q.low;
    p.high = node.q.high;
    p.kind = out.kind;
    Step &step = add_step(tier_.max_pool, plan_.keep(p), node.record, node.name, row_cycles(p.rows, p.row_elements, p.taps + 6.0));
    cut_rows(step, p, 1, {p.in_row_bytes, p.out_row_bytes, 0, 0});
    use(0, node.in_version[0], origin);
    use(1, node.out_version, out.offset(0, 0));
    repeat_step();
  }

  int flat_row_elements(const Node &node, const Layout &in, const Layout &out) const {
    return (node.out_view.w - 1) * in.pitch + std::min(in.pitch, out.pitch);
  }

  void emit_add(const Node &node) {
    const Layout a = input_of(node, 0), b = input_of(node, 1);
    const Layout out = as_seen(node, layout_of(node.out_version));
    edgec_host_add p{};
    p.rows = node.out_view.h;
    p.row_elements = flat_row_elements(node, a, out);
    p.a_row_bytes = a.row_bytes();
    p.b_row_bytes = b.row_bytes();
    p.out_row_bytes = out.row_bytes();
    p.q = node.q;
    p.q.kind = out.kind;
    Step &step = add_step(tier_.add, plan_.keep(p), node.record, node.name, row_cycles(p.rows, p.row_elements, 16.0));
    cut_rows(step, p, 1, {p.a_row_bytes, p.b_row_bytes, p.out_row_bytes, 0});
    use(0, node.in_version[0], a.offset(0, 0));
    use(1, node.in_version[1], b.offset(0, 0));
    use(2, node.out_version, out.offset(0, 0));
    repeat_step();
  }

  void emit_lookup(const Node &node) {
    const Layout in = input_of(node, 0);
    const Layout out = as_seen(node, layout_of(node.out_version));
    edgec_host_lookup p{};
    p.rows = node.out_view.h;
    p.row_elements = flat_row_elements(node, in, out);
    p.in_row_bytes = in.row_bytes();
    p.out_row_bytes = out.row_bytes();
    p.kind = out.kind;
    const int8_t *const table = model_.records[static_cast<size_t>(node.record)].bytes(0);
    for (int i = 0; i < 256; i++) {
      p.table[i] = static_cast<uint8_t>(table[i] + 128);
    }
    Step &step = add_step(tier_.lookup, plan_.keep(p), node.record, node.name, row_cycles(p.rows, p.row_elements, 64.0));
    cut_rows(step, p, 1, {p.in_row_bytes, p.out_row_bytes, 0, 0});
    use(0, node.in_version[0], in.offset(0, 0));
    use(1, node.out_version, out.offset(0, 0));
    repeat_step();
  }

  void emit_concat(const Node &node) {
    const Layout out = as_seen(node, layout_of(node.out_version));
    int channel = 0;
    for (int k = 0; k < node.inputs; k++) {
      const Layout in = seen(input_of(node, k), {out.view.h, out.view.w, node.request[k].layout.view.c});
      emit_pixels(node.name, node.record, node.in_version[k], in, node.out_version, out, channel);
      channel += in.view.c;
    }
  }

  // --- the arena ---------------------------------------------------------------------------------------------------
  static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

  // Bytes of all samples of a version.
  size_t bytes_of(size_t v) const { return versions_[v].placed ? 0 : rounded(versions_[v].layout.bytes()) * static_cast<size_t>(samples_); }

  // Bytes of a padded layout that no producer writes, in each sample.
  std::vector<Fill> borders(int v) const {
    std::vector<Fill> all;
    const std::vector<Fill> first = border(layout_of(v));
    for (int n = 0; n < samples_; n++) {
      for (Fill f : first) {
        f.offset += static_cast<size_t>(n) * stride(v);
        all.push_back(f);
      }
    }
    return all;
  }
  static std::vector<Fill> border(const Layout &l) {
    std::vector<uint8_t> written(l.bytes(), 0);
    const auto pixel = static_cast<size_t>(l.pitch * l.element());
    for (int y = 0; y < l.view.h; y++) {
      for (int x = 0; x < l.view.w; x++) {
        std::fill_n(written.begin() + l.offset(y, x), pixel, static_cast<uint8_t>(1));
      }
    }
    std::vector<Fill> fills;
    for (size_t i = 0; i < written.size();) {
      size_t j = i;
      while (j < written.size() && written[j] == written[i]) {
        j++;
      }
      if (written[i] == 0) {
        fills.push_back({i, (j - i) / static_cast<size_t>(l.element()), l.element(), l.pad_element()});
      }
      i = j;
    }
    return fills;
  }

  void place() {
    size_t total = 0;
    for (size_t v = 0; v < versions_.size(); v++) {
      total += bytes_of(v);
    }
    const bool resident = tracing_ || total <= resident_bytes_;
    for (size_t v = 0; v < versions_.size() && !resident; v++) {
      if (versions_[v].layout.has_padding() && versions_[v].first_step >= 0) {
        insert_fill(static_cast<int>(v));
      }
    }
    if (resident) {
      size_t at = 0;
      for (size_t i = 0; i < versions_.size(); i++) {
        Version &v = versions_[i];
        if (!v.placed) {
          v.operand = {0, at};
          at += bytes_of(i);
        }
        if (v.layout.has_padding()) {
          for (Fill f : borders(static_cast<int>(i))) {
            f.offset += v.operand.offset;
            plan_.fills.push_back(f);
          }
        }
      }
      plan_.arena_bytes = at;
    } else {
      place_by_lifetime();
    }
    for (size_t i = 0; i < plan_.steps.size(); i++) {
      for (const Use &u : uses_[i]) {
        const Operand &base = versions_[static_cast<size_t>(u.version)].operand;
        plan_.steps[i].operands[u.operand] = {base.space, base.offset + static_cast<size_t>(static_cast<ptrdiff_t>(u.extra))};
      }
    }
    for (const auto &t : traced_) {
      const Version &v = versions_[static_cast<size_t>(t.second)];
      plan_.traced.push_back({t.first, v.operand, static_cast<uint32_t>(v.layout.view.size())});
    }
  }

  void insert_fill(int v) {
    Filling filling;
    filling.fills = borders(v);
    Step step;
    step.run = &run_filling;
    step.params = plan_.keep(std::move(filling));
    step.name = "border";
    step.cycles = 20.0 * static_cast<double>(static_cast<const Filling *>(step.params)->fills.size());
    const int at = versions_[static_cast<size_t>(v)].first_step;
    plan_.steps.insert(plan_.steps.begin() + at, step);
    uses_.insert(uses_.begin() + at, {{0, v, 0}});
    for (Version &other : versions_) {
      if (other.first_step > at || (other.first_step == at && &other != &versions_[static_cast<size_t>(v)])) {
        other.first_step++;
      }
      if (other.last_step >= at) {
        other.last_step++;
      }
    }
  }

  void place_by_lifetime() {
    std::vector<size_t> order;
    for (size_t i = 0; i < versions_.size(); i++) {
      if (!versions_[i].placed && versions_[i].first_step >= 0) {
        order.push_back(i);
      }
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return versions_[a].layout.bytes() > versions_[b].layout.bytes(); });
    std::vector<size_t> done;
    for (const size_t i : order) {
      Version &v = versions_[i];
      std::vector<std::pair<size_t, size_t>> taken;
      for (const size_t j : done) {
        const Version &o = versions_[j];
        if (o.first_step <= v.last_step && v.first_step <= o.last_step) {
          taken.push_back({o.operand.offset, o.operand.offset + bytes_of(j)});
        }
      }
      std::sort(taken.begin(), taken.end());
      size_t at = 0;
      const size_t bytes = bytes_of(i);
      for (const auto &t : taken) {
        if (at + bytes <= t.first) {
          break;
        }
        at = std::max(at, t.second);
      }
      v.operand = {0, at};
      done.push_back(i);
      plan_.arena_bytes = std::max(plan_.arena_bytes, at + bytes);
    }
  }

  struct Use {
    int operand, version, extra;
  };

  const Model &model_;
  const edgec_host_tier &tier_;
  const bool tracing_;
  const int samples_;
  const size_t resident_bytes_;
  std::vector<Node> nodes_;
  std::vector<Version> versions_;
  std::vector<std::pair<int, int>> extra_outputs_, traced_;
  std::vector<std::vector<Use>> uses_;
  Plan plan_;
};

}  // namespace

Plan plan_tier(const Model &model, const edgec_host_tier &tier, bool tracing, int samples, size_t resident) {
  return Planner(model, tier, tracing, samples, resident).plan();
}

}  // namespace edgec
