// A record as the planner of the host tiers sees it: which kernel family runs it, and the layouts it asks for.
#ifndef EDGEC_HOST_NODE_H
#define EDGEC_HOST_NODE_H

#include <string>
#include <vector>

#include "host/layout.h"
#include "host/model.h"
#include "host/tier.h"

namespace edgec {

enum class NodeKind { reference, conv, depthwise, max_pool, add, lookup, concat };

struct Window {
  int in_c = 1, kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1, pad_top = 0, pad_left = 0, groups = 1;
};

// A layout with open points: the pitch may be anything where any_pitch.
struct Request {
  Layout layout;
  bool any_pitch = true;
};

struct Node {
  NodeKind kind = NodeKind::reference;
  int record = -1;
  std::string name;
  int inputs = 0;
  int in_value[EDGEC_MAX_INPUTS] = {-1, -1}, out_value = -1;
  Request request[EDGEC_MAX_INPUTS];
  View out_view;
  Window window;
  edgec_host_requantize q{};
  int in_zero_point = 0;
  bool expanded = false;    // a depthwise convolution run as conv
  bool transposed = false;  // conv_transpose2d, with its own window
  bool is_average = false;  // an average pool run as depthwise
  bool counts_taps = false; // one whose windows reach into padding that does not count: a multiplier for each count of taps
  // Filled by the planner.
  int residual = -1, residual_version = -1, in_version[EDGEC_MAX_INPUTS] = {-1, -1}, out_version = -1;
  bool is_fused = false;  // into its producer
};

std::vector<Node> make_nodes(const Model &model, const edgec_host_tier &tier);

// Elements a pixel of `channels` channels takes where the planner is free: flat rows repeat their weights every
// pitch / gcd(pitch, block) blocks, and dwords of K want multiples of 4.
int planned_pitch(int channels);

// Blocks after which the weights of a flat row repeat.
int depthwise_period(const edgec_host_tier &tier, int pitch);

}  // namespace edgec

#endif
