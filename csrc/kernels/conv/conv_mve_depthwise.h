/* Depthwise convolution with Helium: what conv_mve_patches.h needs to know, found once a run. Part of conv_mve.c. */
#ifndef EDGEC_CONV_MVE_DEPTHWISE_H
#define EDGEC_CONV_MVE_DEPTHWISE_H

#include "conv.h"
#include "conv_mve_patches.h"

enum {
  PLANE_MAX = 8192, /* bytes of scratch; edgec/ops/packing_mve.py has these too */
  TABLE_MAX = 640,
  MAP_MAX = 160 /* pixels of a plane that is copied through a map */
};

/* How a plane is cut. Patches start at multiples of (down, across) outputs, the last ones moved back to end with the plane:
 * what is computed twice is stored twice, with the same value. */
typedef struct patch_plan {
  int32_t down, across;     /* outputs of a patch */
  int32_t outputs;          /* of a patch in the table: 4 or 2 */
  int32_t columns;          /* lanes of a patch's row */
  int32_t lead;             /* zero bytes in front of the first record */
  int32_t stride, height;   /* of the plane */
  int32_t band, bands, step; /* output rows the table covers, how often it is used, rows from one use to the next */
  int32_t patches_across, groups;
  int32_t plane_bytes, table_bytes, map_bytes;
} patch_plan;

static int32_t at_least(int32_t value, int32_t least) { return value < least ? least : value; }

static int32_t divide_up(int32_t value, int32_t by) { return (value + by - 1) / by; }

static int32_t groups_of(const patch_plan *plan, int32_t rows) {
  return divide_up(divide_up(rows, plan->down) * plan->patches_across * plan->outputs, 8);
}

static int32_t group_bytes(const patch_plan *plan) {
  return plan->outputs == 4 ? (int32_t)sizeof(edgec_mve_group4) : (int32_t)sizeof(edgec_mve_group2);
}

/* Fill in the plan for patches of down x across outputs. Nonzero where they fit. */
static int try_patches(const edgec_depthwise_conv2d_params *p, int32_t down, int32_t across, patch_plan *plan) {
  const int32_t rows = (down - 1) * p->stride_h + p->kernel_h;
  plan->down = down;
  plan->across = across;
  plan->outputs = down * across == 4 ? 4 : 2;
  plan->columns = (across - 1) * p->stride_w + p->kernel_w;
  plan->lead = (down - 1) * p->stride_h * plan->columns + (across - 1) * p->stride_w;
  plan->stride = (at_least(p->out_w, across) - 1) * p->stride_w + p->kernel_w;
  plan->height = (at_least(p->out_h, down) - 1) * p->stride_h + p->kernel_h;
  plan->plane_bytes = edgec_mve_round_up(plan->stride * plan->height, EDGEC_MVE_BLOCK);
  plan->patches_across = divide_up(p->out_w, across);
  return rows * plan->columns <= EDGEC_MVE_BLOCK && (rows - 1) * plan->stride + plan->columns - 1 <= 255 &&
         plan->stride * plan->height <= PLANE_MAX;
}

/* Nonzero where this kernel can run the layer. */
static int plan_patches(const edgec_depthwise_conv2d_params *p, patch_plan *plan) {
  static const uint8_t shapes[6][2] = {{2, 2}, {4, 1}, {1, 4}, {1, 2}, {2, 1}, {1, 1}};
  int32_t least = INT32_MAX;
  patch_plan candidate;
  if (p->in_c != p->out_c || p->dilation_h != 1 || p->dilation_w != 1 || p->in_c > 0x1fff || p->kernel_h > EDGEC_MVE_BLOCK ||
      p->kernel_w > EDGEC_MVE_BLOCK || p->stride_h > EDGEC_MVE_BLOCK || p->stride_w > EDGEC_MVE_BLOCK || p->out_h > PLANE_MAX ||
      p->out_w > PLANE_MAX) {
    return 0;
  }
  for (int32_t i = 0; i < 6; i++) {
    if (try_patches(p, shapes[i][0], shapes[i][1], &candidate) != 0) {
      const int32_t cost = groups_of(&candidate, p->out_h) * (candidate.outputs == 4 ? 27 : 32);
      if (cost < least) {
        least = cost;
        *plan = candidate;
      }
    }
  }
  if (least == INT32_MAX) {
    return 0;
  }
  /* As many rows a band as the table may have; then the longest step that ends with the plane. */
  plan->band = p->out_h;
  while (plan->band > plan->down && (groups_of(plan, plan->band) * group_bytes(plan) > TABLE_MAX ||
                                     plan->band * p->out_w * p->out_c > 0xffff)) {
    plan->band = edgec_mve_round_up(plan->band, plan->down) - plan->down;
  }
  plan->step = plan->band;
  while ((p->out_h - plan->band) % plan->step != 0) {
    plan->step--;
  }
  plan->bands = (p->out_h - plan->band) / plan->step + 1;
  plan->groups = groups_of(plan, plan->band);
  plan->table_bytes = edgec_mve_round_up(plan->groups * group_bytes(plan), EDGEC_MVE_BLOCK);
  plan->map_bytes = p->in_h * p->in_w <= MAP_MAX ? edgec_mve_round_up(2 * p->in_h * p->in_w, EDGEC_MVE_BLOCK) : 0;
  return plan->band * p->out_w * p->out_c <= 0xffff;
}

/* Where the outputs of a patch go, counted from its first. A layer may have fewer outputs than a patch: then some coincide. */
static void place_outputs(const edgec_depthwise_conv2d_params *p, const patch_plan *plan, uint16_t *places, int32_t *records) {
  for (int32_t n = 0; n < 4; n++) {
    const int32_t y = edgec_clamp(n / plan->across % plan->down, 0, p->out_h - 1);
    const int32_t x = edgec_clamp(n % plan->across, 0, p->out_w - 1);
    places[n] = (uint16_t)((y * p->out_w + x) * p->out_c);
    records[n] = plan->lead - (y * p->stride_h * plan->columns + x * p->stride_w);
  }
}

/* Patches of a band in order; the last group is filled up with the last patch. base: added to the patches' offsets. */
static void fill_table(const edgec_depthwise_conv2d_params *p, const patch_plan *plan, const uint16_t *places, uint32_t base,
                       void *table) {
  const int32_t last_y = at_least(plan->band - plan->down, 0);
  const int32_t last_x = at_least(p->out_w - plan->across, 0);
  const int32_t row_bytes = p->out_w * p->out_c;
  const int32_t last = plan->groups * 8;
  uint32_t *patch = table;
  uint16_t *place = (uint16_t *)(void *)(patch + 8 / plan->outputs);
  int32_t oy = 0;
  int32_t ox = 0;
  for (int32_t at = 0; at < last; at += plan->outputs) {
    const int32_t half = at % 8; /* outputs 0-3 of a group go to even places, 4-7 to odd ones */
    uint16_t *to = place + (half < 4 ? 2 * half : 2 * half - 7);
    const int32_t output = oy * row_bytes + ox * p->out_c;
    *patch++ = base + (uint32_t)(oy * p->stride_h * plan->stride + ox * p->stride_w);
    for (int32_t n = 0; n < plan->outputs; n++) {
      *to = (uint16_t)(output + places[n]);
      to += 2;
    }
    if (half + plan->outputs == 8) {
      patch = (uint32_t *)(void *)(place + 8);
      place = (uint16_t *)(void *)(patch + 8 / plan->outputs);
    }
    if (ox < last_x) {
      ox = ox + plan->across < last_x ? ox + plan->across : last_x;
    } else if (oy < last_y) {
      ox = 0;
      oy = oy + plan->down < last_y ? oy + plan->down : last_y;
    } else {
      /* stay */
    }
  }
}

/* Input rows and columns that the plane has room for; the rest no output reads. */
static int32_t pixels_inside(int32_t size, int32_t plane, int32_t pad) { return size < plane - pad ? size : plane - pad; }

void edgec_s8_depthwise_conv2d_1x8c16__mve(const void *params, const edgec_operands *operands) {
  const edgec_depthwise_conv2d_params *const p = params;
  patch_plan plan;
  edgec_mve_patches job;
  if (plan_patches(p, &plan) == 0) {
    return; /* the check refuses such a layer */
  }
  int8_t *const plane = operands->scratch;
  void *const table = plane + plan.plane_bytes;
  uint16_t *const map = plan.map_bytes == 0 ? NULL : (uint16_t *)(void *)(plane + plan.plane_bytes + plan.table_bytes);
  uint16_t places[4];
  edgec_mve_fill(plane, p->in_zero_point, plan.plane_bytes);
  place_outputs(p, &plan, places, job.record);
  job.plane = plane;
  uint32_t base = 0u;
#if defined(__ARM_FEATURE_MVE)
  if (plan.bands == 1) {
    base = (uint32_t)(uintptr_t)plane;
    job.plane = NULL;
  }
#endif
  fill_table(p, &plan, places, base, table);

  const int32_t rows = pixels_inside(p->in_h, plan.height, p->pad_top);
  const int32_t columns = pixels_inside(p->in_w, plan.stride, p->pad_left);
  job.input = operands->input[0];
  job.output = operands->output[0];
  job.weights = operands->constant[0];
  job.epilogue = operands->constant[1];
  job.channels = p->out_c;
  job.zero_point = p->out_zero_point;
  job.inside = plane + p->pad_top * plan.stride + p->pad_left;
  job.columns = columns;
  job.map = NULL;
  job.rows = rows;
  job.row_step = p->in_w * p->in_c;
  job.plane_step = plan.stride;
  job.vector_step = 8 * p->in_c;
  job.table = table;
  job.groups = plan.groups;
  job.bands = plan.bands;
  job.band_input = plan.step * p->stride_h * plan.stride;
  job.band_output = plan.step * p->out_w * p->out_c;
  job.shift = p->shift;
  job.outputs = plan.outputs;
  job.pixel = p->in_c;
  if (map != NULL && columns == p->in_w) {
    uint16_t *to = map;
    for (int32_t y = 0; y < rows; y++) {
      for (int32_t x = 0; x < columns; x++) {
        *to++ = (uint16_t)(y * plan.stride + x);
      }
    }
    job.map = map;
    job.columns = rows * columns;
  }
  const int32_t lanes = ((plan.down - 1) * p->stride_h + p->kernel_h) * plan.columns;
  int32_t column = 0;
  int32_t row = 0;
  for (int32_t i = 0; i < EDGEC_MVE_BLOCK; i++) {
    job.gather[i] = (uint8_t)(i < lanes ? row + column : 0);
    column++;
    if (column == plan.columns) {
      column = 0;
      row += plan.stride;
    }
  }
  for (int32_t i = 0; i < 8; i++) {
    job.lanes[i] = (uint16_t)(i * p->in_c);
    job.low[i] = (int16_t)p->clamp_min;
    job.high[i] = (int16_t)p->clamp_max;
    job.mask[i / 2] = -(int32_t)((uint32_t)1 << p->shift);
  }
  edgec_mve_run_patches(&job);
}

static int depthwise_conv2d_1x8c16_check(const void *params, const edgec_sizes *sizes) {
  const edgec_depthwise_conv2d_params *const p = params;
  edgec_sizes canonical = *sizes;
  patch_plan plan;
  if (sizes->param_count != sizeof *p / 4) {
    return 0;
  }
  canonical.constant[0] = edgec_volume(p->kernel_h, p->kernel_w, p->out_c);
  canonical.constant[1] = (uint32_t)p->out_c * 4u;
  canonical.constant[2] = (uint32_t)p->out_c * 4u;
  return edgec_depthwise_conv2d_check(params, &canonical) != 0 && plan_patches(p, &plan) != 0 && sizes->constant[2] == 0u &&
         sizes->constant[0] == (uint32_t)(EDGEC_MVE_BLOCK * p->out_c + plan.lead) &&
         sizes->constant[1] == (uint32_t)p->out_c * 8u && sizes->input[0] <= 0x7fffffffu && sizes->output[0] <= 0x7fffffffu &&
         sizes->scratch == (uint32_t)(plan.plane_bytes + plan.table_bytes + plan.map_bytes);
}

const edgec_kernel edgec_s8_depthwise_conv2d_1x8c16__mve_kernel = {0x0240, 1, edgec_s8_depthwise_conv2d_1x8c16__mve,
                                                                   depthwise_conv2d_1x8c16_check};

#endif
