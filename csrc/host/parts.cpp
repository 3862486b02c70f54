#include "host/parts.h"

#include <algorithm>
#include <cstring>

#include "host/pool.h"

namespace edgec {

namespace {

// Evenly many units for part i of n.
int32_t bound(int32_t units, int n, int i) { return static_cast<int32_t>(static_cast<int64_t>(units) * i / n); }

const void *rows_of(Plan &plan, const Step &step, int32_t rows) {
  uint8_t *const copy = plan.keep_bytes(step.cut.params_bytes);
  std::memcpy(copy, step.params, step.cut.params_bytes);
  std::memcpy(copy, &rows, sizeof rows);
  return copy;
}

void add_rows(Plan &plan, std::vector<StepPart> &parts, size_t index, int count) {
  const Step &step = plan.steps[index];
  const int32_t units = step.cut.rows / step.cut.rows_at_once;
  count = std::min(count, units);
  for (int i = 0; i < count; i++) {
    const int32_t first = bound(units, count, i) * step.cut.rows_at_once;
    const int32_t until = i + 1 == count ? step.cut.rows : bound(units, count, i + 1) * step.cut.rows_at_once;
    StepPart part{step.run, rows_of(plan, step, until - first), {}};
    for (int k = 0; k < max_operands; k++) {
      part.operands[k] = step.operands[k];
      part.operands[k].offset += static_cast<size_t>(first * step.cut.row_bytes[k]);
    }
    parts.push_back(part);
  }
}

void add_conv(Plan &plan, std::vector<StepPart> &parts, size_t index, int count) {
  const Step &step = plan.steps[index];
  const Cut &cut = step.cut;
  const auto &whole = *static_cast<const edgec_host_conv *>(step.params);
  const bool by_channels = cut.weights_dominate && whole.channel_blocks >= count;
  const int32_t units = by_channels ? whole.channel_blocks : whole.positions / cut.tile_rows;
  count = std::min(count, units);
  for (int i = 0; i < count; i++) {
    const int32_t first = bound(units, count, i), until = bound(units, count, i + 1);
    edgec_host_conv c = whole;
    StepPart part{step.run, nullptr, {}};
    std::copy(std::begin(step.operands), std::end(step.operands), part.operands);
    if (by_channels) {
      const int32_t channels = first * cut.block_channels;
      c.channel_blocks = until - first;
      c.weights += static_cast<size_t>(first) * cut.block_bytes;
      c.bias += channels;
      c.multiplier += 2 * channels;
      c.channels = std::min(whole.channels - channels, c.channel_blocks * cut.block_channels);
      part.operands[1].offset += static_cast<size_t>(channels * cut.out_element);
      part.operands[2].offset += static_cast<size_t>(channels * cut.residual_element);
    } else {
      const int32_t position = first * cut.tile_rows;
      c.positions = i + 1 == count ? whole.positions - position : (until - first) * cut.tile_rows;
      c.in_offset += position;
      c.out_offset += position;
      c.residual_offset += position;
    }
    part.params = plan.keep(c);
    parts.push_back(part);
  }
}

}  // namespace

void cut_conv(Step &step, const edgec_host_tile &tile, int32_t block_channels, size_t block_bytes, int32_t out_element, int32_t residual_element) {
  const auto &c = *static_cast<const edgec_host_conv *>(step.params);
  step.cut.tile_rows = tile.rows;
  step.cut.block_channels = block_channels;
  step.cut.block_bytes = block_bytes;
  step.cut.out_element = out_element;
  step.cut.residual_element = residual_element;
  const size_t in_and_out = static_cast<size_t>(c.positions) * static_cast<size_t>(c.channels + c.segments * c.segment_dwords * 4 / std::max(1, c.segments));
  step.cut.weights_dominate = static_cast<size_t>(c.channel_blocks) * block_bytes > in_and_out;
}

void make_sections(Plan &plan, int threads) {
  plan.sections.clear();
  double gain = 0;
  std::vector<Section> sections;
  for (size_t i = 0; i < plan.steps.size();) {
    // The steps of one convolution (its groups and parts of its channels) write different bytes: one job.
    size_t until = i + 1;
    double cycles = plan.steps[i].cycles;
    while (until < plan.steps.size() && plan.steps[i].cut.tile_rows != 0 && plan.steps[until].cut.tile_rows != 0 &&
           plan.steps[until].record == plan.steps[i].record) {
      cycles += plan.steps[until++].cycles;
    }
    Section section{i, until, {}};
    if (cycles >= 2 * least_part_cycles) {
      for (size_t k = i; k < until; k++) {
        const int count = static_cast<int>(std::min(plan.steps[k].cycles / least_part_cycles, 4.0 * threads));
        if (plan.steps[k].cut.tile_rows != 0) {
          add_conv(plan, section.parts, k, std::max(1, count));
        } else if (plan.steps[k].cut.rows != 0) {
          add_rows(plan, section.parts, k, std::max(1, count));
        }
      }
    }
    const double shared = cycles / static_cast<double>(std::min(section.parts.size(), static_cast<size_t>(threads))) + dispatch_cycles;
    if (section.parts.size() < 2 || section.parts.size() > Pool::max_parts || shared >= cycles) {
      section.parts.clear();
    } else {
      gain += cycles - shared;
    }
    if (section.parts.empty() && !sections.empty() && sections.back().parts.empty()) {
      sections.back().until = until;
    } else {
      sections.push_back(std::move(section));
    }
    i = until;
  }
  if (gain >= least_gain_cycles) {
    plan.sections = std::move(sections);
  }
}

}  // namespace edgec
