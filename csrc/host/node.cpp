#include "host/node.h"

#include <algorithm>
#include <numeric>

#include "kernels/conv/conv.h"
#include "kernels/conv_transpose/conv_transpose.h"
#include "kernels/dense/dense.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/movement/movement.h"
#include "kernels/pooling/pooling.h"
#include "kernels/unary/unary.h"

namespace edgec {

namespace {

template <typename P> edgec_host_requantize epilogue_of(const P &p) {
  edgec_host_requantize q{};
  q.zero_point = p.out_zero_point;
  q.low = p.clamp_min;
  q.high = p.clamp_max;
  q.shift = p.shift;
  return q;
}

// The input layout of a window: padding on all sides it reaches.
template <typename P> Layout window_layout(const P &p, int channels, const Window &w, int kind, int pad_value) {
  Layout l;
  l.view = {p.in_h, p.in_w, channels};
  l.pitch = 0;
  l.top = w.pad_top;
  l.left = w.pad_left;
  l.bottom = std::max(0, (p.out_h - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1 - w.pad_top - p.in_h);
  l.right = std::max(0, (p.out_w - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1 - w.pad_left - p.in_w);
  l.kind = kind;
  l.pad_value = pad_value;
  return l;
}

void ask_flat_rows(Node &node, const Layout &layout, int out_w) {
  Layout &l = node.request[0].layout;
  l = layout;
  l.split = out_w > 1 ? node.window.stride_w : 1;
  l.pitch = planned_pitch(layout.view.c);
  node.request[0].any_pitch = false;
  // Rows (planes, where split) of whole cache lines: loads of whole registers then cross none. Worth at most half as much again.
  const int multiple = l.split * (64 / std::gcd(64, l.pitch * l.element()));
  const int total = l.left + l.view.w + l.right;
  const int more = (multiple - total % multiple) % multiple;
  if (l.view.h > 1 && 2 * more <= total) {
    l.right += more;
  }
}

template <typename P> Window window_of(const P &p) {
  Window w;
  w.in_c = p.in_c;
  w.kernel_h = p.kernel_h;
  w.kernel_w = p.kernel_w;
  w.stride_h = p.stride_h;
  w.stride_w = p.stride_w;
  w.dilation_h = p.dilation_h;
  w.dilation_w = p.dilation_w;
  w.pad_top = p.pad_top;
  w.pad_left = p.pad_left;
  return w;
}

void set_conv(Node &node, const Record &r, const edgec_host_tier &tier) {
  const auto &p = r.as<edgec_conv2d_params>();
  node.kind = NodeKind::conv;
  node.window = window_of(p);
  node.window.groups = p.groups;
  node.out_view = {p.out_h, p.out_w, p.out_c};
  node.q = epilogue_of(p);
  node.request[0].layout = window_layout(p, p.in_c, node.window, tier.kind, p.in_zero_point);
}

void set_conv_add(Node &node, const Record &r, const edgec_host_tier &tier) {
  set_conv(node, r, tier);  // the members of both structs begin alike
  const auto &p = r.as<edgec_conv2d_add_params>();
  node.inputs = 1;
  node.residual = r.in_value[1];
  node.q.add = EDGEC_RESIDUAL_SUMMED;
  node.q.add_other = p.residual_multiplier;
  node.q.add_offset = p.residual_offset;
}

// Padding where some output pixel's tap lies outside the input.
void set_conv_transpose(Node &node, const Record &r, const edgec_host_tier &tier) {
  const auto &p = r.as<edgec_conv_transpose2d_params>();
  node.kind = NodeKind::conv;
  node.transposed = true;
  node.window = window_of(p);
  node.window.groups = p.groups;
  node.in_zero_point = p.in_zero_point;
  node.out_view = {p.out_h, p.out_w, p.out_c};
  node.q = epilogue_of(p);
  Layout &l = node.request[0].layout;
  l.view = {p.in_h, p.in_w, p.in_c};
  l.kind = tier.kind;
  l.pad_value = p.in_zero_point;
  l.top = std::max(0, ((p.kernel_h - 1) * p.dilation_h - p.pad_top + p.stride_h - 1) / p.stride_h);
  l.left = std::max(0, ((p.kernel_w - 1) * p.dilation_w - p.pad_left + p.stride_w - 1) / p.stride_w);
  l.bottom = std::max(0, (p.out_h - 1 + p.pad_top) / p.stride_h - (p.in_h - 1));
  l.right = std::max(0, (p.out_w - 1 + p.pad_left) / p.stride_w - (p.in_w - 1));
}

void set_depthwise(Node &node, const Record &r, const edgec_host_tier &tier) {
  const auto &p = r.as<edgec_depthwise_conv2d_params>();
  node.window = window_of(p);
  node.out_view = {p.out_h, p.out_w, p.out_c};
  node.q = epilogue_of(p);
  const Layout layout = window_layout(p, p.in_c, node.window, tier.kind, p.in_zero_point);
  if (p.in_c != p.out_c) {
    node.kind = NodeKind::conv;
    node.expanded = true;
    node.request[0].layout = layout;
    return;
  }
  node.kind = NodeKind::depthwise;
  ask_flat_rows(node, layout, p.out_w);
}

void set_dense(Node &node, const Record &r, const edgec_host_tier &tier) {
  const auto &p = r.as<edgec_dense_params>();
  node.kind = NodeKind::conv;
  node.window.in_c = p.in_features;
  node.out_view = {p.rows, 1, p.out_features};
  node.q = epilogue_of(p);
  node.request[0].layout.view = {p.rows, 1, p.in_features};
  node.request[0].layout.kind = tier.kind;
  node.request[0].layout.pitch = p.in_features;
  node.request[0].any_pitch = false;
}

template <typename P> Window pool_window(const P &p) {
  Window w;
  w.in_c = p.channels;
  w.kernel_h = p.kernel_h;
  w.kernel_w = p.kernel_w;
  w.stride_h = p.stride_h;
  w.stride_w = p.stride_w;
  w.pad_top = p.pad_top;
  w.pad_left = p.pad_left;
  return w;
}

void set_average_pool(Node &node, const Record &r, const edgec_host_tier &tier) {
  const auto &p = r.as<edgec_average_pool2d_params>();
  node.window = pool_window(p);
  const Layout layout = window_layout(p, p.channels, node.window, tier.kind, p.in_zero_point);
  node.kind = NodeKind::depthwise;
  node.is_average = true;
  node.in_zero_point = p.in_zero_point;
  node.counts_taps = p.multipliers != 1;
  node.out_view = {p.out_h, p.out_w, p.channels};
  node.q = epilogue_of(p);
  ask_flat_rows(node, layout, p.out_w);
}

void set_max_pool(Node &node, const Record &r, const edgec_host_tier &tier) {
  const auto &p = r.as<edgec_max_pool2d_params>();
  node.window = pool_window(p);
  node.kind = NodeKind::max_pool;
  node.out_view = {p.out_h, p.out_w, p.channels};
  node.q.low = p.clamp_min;
  node.q.high = p.clamp_max;
  ask_flat_rows(node, window_layout(p, p.channels, node.window, tier.kind, -128), p.out_w);
}

// Elementwise operators take the shape of what they read, so that no layout has to change for them.
void ask_elementwise(Node &node, const View &view, const edgec_host_tier &tier) {
  node.out_view = view;
  for (int k = 0; k < node.inputs; k++) {
    node.request[k].layout.view = view;
    node.request[k].layout.kind = tier.kind;
    node.request[k].layout.pitch = planned_pitch(view.c);
    node.request[k].any_pitch = false;
  }
}

// Joining channels takes each input as its pixels lie, where its producer has a layout of its own and they are of that many
// channels; else flat. shapes: of the inputs, of no size where the producer writes plain bytes.
void set_concat(Node &node, const Record &r, const View (&shapes)[EDGEC_MAX_INPUTS], const edgec_host_tier &tier) {
  const auto &p = r.as<edgec_concat_params>();
  const int channels[] = {p.inner_a, p.inner_b};
  node.kind = NodeKind::concat;
  node.out_view = {p.outer, 1, p.inner_a + p.inner_b};
  for (int k = 0; k < 2; k++) {
    Request &request = node.request[k];
    const View &shape = shapes[k];
    const bool has_pixels = shape.c == channels[k] && (node.out_view.w == 1 || node.out_view.w == shape.w);
    request.layout.view = has_pixels ? shape : View{p.outer, 1, channels[k]};
    request.any_pitch = has_pixels;
    if (has_pixels) {
      request.layout.kind = tier.kind;
      node.out_view = {shape.h, shape.w, node.out_view.c};
    } else {
      request.layout.pitch = channels[k];
    }
  }
}

}  // namespace

int planned_pitch(int channels) {
  const auto up = [&](int multiple) { return (channels + multiple - 1) / multiple * multiple; };
  const int least = up(channels <= 4 ? 1 : channels <= 32 ? 4 : channels <= 64 ? 8 : 16);
  // Pixels of 8, 16, 24, 32 bytes or a multiple of 64 have the faster depthwise kernels: worth up to 3 bytes in 8.
  const int fast = channels <= 32 ? up(8) : up(64);
  return channels > 4 && 8 * fast <= 11 * least ? fast : least;
}

int depthwise_period(const edgec_host_tier &tier, int pitch) {
  const int block = tier.group * tier.lanes;
  return pitch / std::gcd(pitch, block);
}

std::vector<Node> make_nodes(const Model &model, const edgec_host_tier &tier) {
  std::vector<Node> nodes;
  std::vector<View> shapes(model.values.size());
  for (size_t i = 0; i < model.values.size(); i++) {
    shapes[i] = {1, 1, static_cast<int>(model.values[i].bytes)};
  }
  for (size_t i = 0; i < model.records.size(); i++) {
    const Record &r = model.records[i];
    Node node;
    node.record = static_cast<int>(i);
    node.name = name_of(r);
    node.inputs = r.input_count;
    node.out_value = r.out_value;
    for (int k = 0; k < r.input_count; k++) {
      node.in_value[k] = r.in_value[k];
    }
    const View first = shapes[static_cast<size_t>(r.in_value[0])];
    switch (r.opcode) {
      case op_conv2d: set_conv(node, r, tier); break;
      case op_conv2d_add: set_conv_add(node, r, tier); break;
      case op_depthwise_conv2d: set_depthwise(node, r, tier); break;
      case op_dense: set_dense(node, r, tier); break;
      case op_conv_transpose2d: set_conv_transpose(node, r, tier); break;
      case op_average_pool2d: set_average_pool(node, r, tier); break;
      case op_max_pool2d: set_max_pool(node, r, tier); break;
      case op_add: {
        const auto &p = r.as<edgec_add_params>();
        node.kind = NodeKind::add;
        node.q.add = EDGEC_RESIDUAL_ADDED;
        node.q.add_own = p.multiplier_a;
        node.q.add_other = p.multiplier_b;
        node.q.add_offset = p.offset;
        node.q.add_shift = p.shift;
        node.q.add_low = p.clamp_min;
        node.q.add_high = p.clamp_max;
        ask_elementwise(node, first, tier);
        break;
      }
      case op_concat: {
        View inputs[EDGEC_MAX_INPUTS];
        for (int k = 0; k < EDGEC_MAX_INPUTS; k++) {
          const auto value = static_cast<size_t>(r.in_value[k]);
          const int producer = model.values[value].producer;
          const bool is_plain = producer < 0 || nodes[static_cast<size_t>(producer)].kind == NodeKind::reference;
          inputs[k] = is_plain ? View{0, 0, 0} : shapes[value];
        }
        set_concat(node, r, inputs, tier);
        break;
      }
      case op_lookup:
        node.kind = NodeKind::lookup;
        ask_elementwise(node, first, tier);
        break;
      default: break;
    }
    if (node.kind == NodeKind::reference) {
      node.out_view = {1, 1, static_cast<int>(r.output.bytes)};
    }
    // A shape the readers may take over; a reference operator's output is just bytes.
    shapes[static_cast<size_t>(r.out_value)] = node.out_view;
    nodes.push_back(node);
  }
  return nodes;
}

}  // namespace edgec
