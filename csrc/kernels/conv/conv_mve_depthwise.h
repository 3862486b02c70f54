/* Depthwise convolution with Helium: what conv_mve_patches.h needs to know, found once a run. Part of conv_mve.c. */
#ifndef EDGEC_CONV_MVE_DEPTHWISE_H
#define EDGEC_CONV_MVE_DEPTHWISE_H

#include "../nibbles.h"
#include "conv.h"
#include "conv_mve_patches.h"

enum {
  PLANE_MAX = 8192, /* bytes of a whole plane; edgec/ops/packing_mve.py has these too */
  TILE_MAX = 4096,  /* bytes of a part of a plane */
  TABLE_MAX = 640,
  REACH_MAX = 255, /* of the byte offsets of a gather */
  MAP_MAX = 160,   /* pixels of a plane that is copied through a map */
  NIBBLE_CHANNELS = 16 /* whose 4-bit weights are widened in scratch together */
};

/* How a plane is cut. Tiles, bands and patches that would go beyond their end are moved back: what is computed twice is
 * stored twice, with the same value. */
typedef struct patch_plan {
  int32_t tile_h, tile_w;    /* outputs of a tile: the whole plane where that fits */
  int32_t down, across;      /* outputs of a patch */
  int32_t outputs;           /* of a patch in the table: 4 or 2 */
  int32_t columns;           /* lanes of a patch's row */
  int32_t lead;              /* zero bytes in front of the first record */
  int32_t stride, height;    /* of the plane */
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

/* The longest part of `out` outputs whose input is at most `limit` long, evened out; 0 where there is none. */
static int32_t part_of(int32_t out, int32_t limit, int32_t kernel, int32_t stride, int32_t multiple) {
  const int32_t most = limit < kernel ? 0 : ((limit - kernel) / stride + 1) / multiple * multiple;
  if (most >= out || most == 0) {
    return most == 0 ? 0 : out;
  }
  return edgec_mve_round_up(divide_up(out, divide_up(out, most)), multiple);
}

static int32_t reach_of(int32_t out, int32_t kernel, int32_t stride) { return (out - 1) * stride + kernel; }

/* Fill in the plan for patches of down x across outputs. What it costs, or INT32_MAX where they do not fit. */
static int32_t try_patches(const edgec_depthwise_conv2d_params *p, int32_t down, int32_t across, patch_plan *plan) {
  const int32_t rows = reach_of(down, p->kernel_h, p->stride_h);
  const int32_t columns = reach_of(across, p->kernel_w, p->stride_w);
  if (rows * columns > EDGEC_MVE_BLOCK) {
    return INT32_MAX;
  }
  const int32_t widest = rows == 1 ? REACH_MAX : (REACH_MAX - columns + 1) / (rows - 1);
  int32_t stride = reach_of(at_least(p->out_w, across), p->kernel_w, p->stride_w);
  int32_t height = reach_of(at_least(p->out_h, down), p->kernel_h, p->stride_h);
  int32_t cost = 0;
  plan->tile_h = p->out_h;
  plan->tile_w = p->out_w;
  if (stride > widest || height > PLANE_MAX || stride * height > PLANE_MAX) {
    plan->tile_w = part_of(p->out_w, widest, p->kernel_w, p->stride_w, across);
    stride = reach_of(at_least(plan->tile_w, across), p->kernel_w, p->stride_w);
    plan->tile_h = part_of(p->out_h, TILE_MAX / stride, p->kernel_h, p->stride_h, down);
    height = reach_of(at_least(plan->tile_h, down), p->kernel_h, p->stride_h);
    if (plan->tile_h == 0 || plan->tile_w == 0 || plan->tile_h > p->out_h || plan->tile_w > p->out_w) {
      return INT32_MAX;
    }
    cost = 1 << 30; /* whole planes first: they may lie over the input */
  }
  plan->down = down;
  plan->across = across;
  plan->outputs = down * across == 4 ? 4 : 2;
  plan->columns = columns;
  plan->lead = (down - 1) * p->stride_h * columns + (across - 1) * p->stride_w;
  plan->stride = stride;
  plan->height = height;
  plan->plane_bytes = edgec_mve_round_up(stride * height, EDGEC_MVE_BLOCK);
  plan->patches_across = divide_up(plan->tile_w, across);
  return cost + groups_of(plan, plan->tile_h) * (plan->outputs == 4 ? 27 : 32);
}

static int band_fits(const edgec_depthwise_conv2d_params *p, const patch_plan *plan) {
  const int64_t last = (int64_t)(plan->band - 1) * p->out_w * p->out_c + (int64_t)plan->tile_w * p->out_c;
  return last <= 0xffff && (plan->band <= plan->down || groups_of(plan, plan->band) * group_bytes(plan) <= TABLE_MAX);
}

/* Nonzero where this kernel can run the layer. */
static int plan_patches(const edgec_depthwise_conv2d_params *p, patch_plan *plan) {
  static const uint8_t shapes[6][2] = {{2, 2}, {4, 1}, {1, 4}, {1, 2}, {2, 1}, {1, 1}};
  int32_t least = INT32_MAX;
  patch_plan candidate;
  if (p->in_c != p->out_c || p->dilation_h != 1 || p->dilation_w != 1 || p->in_c > 0x1fff || p->kernel_h > EDGEC_MVE_BLOCK ||
      p->kernel_w > EDGEC_MVE_BLOCK || p->stride_h > EDGEC_MVE_BLOCK || p->stride_w > EDGEC_MVE_BLOCK) {
    return 0;
  }
  for (int32_t i = 0; i < 6; i++) {
    const int32_t cost = try_patches(p, shapes[i][0], shapes[i][1], &candidate);
    if (cost < least) {
      least = cost;
      *plan = candidate;
    }
  }
  if (least == INT32_MAX) {
    return 0;
  }
  /* As many rows a band as the table may have; then the longest step that ends with the tile. */
  const int32_t most = 8 * (TABLE_MAX / group_bytes(plan)) / (plan->patches_across * plan->outputs) * plan->down;
  plan->band = plan->tile_h < most ? plan->tile_h : at_least(most, plan->down);
  if (plan->band > plan->tile_h) {
    plan->band = plan->tile_h;
  }
  while (plan->band > plan->down && band_fits(p, plan) == 0) {
    plan->band = edgec_mve_round_up(plan->band, plan->down) - plan->down;
  }
  plan->step = plan->band;
  while ((plan->tile_h - plan->band) % plan->step != 0) {
    plan->step--;
  }
  plan->bands = (plan->tile_h - plan->band) / plan->step + 1;
  plan->groups = groups_of(plan, plan->band);
  plan->table_bytes = edgec_mve_round_up(plan->groups * group_bytes(plan), EDGEC_MVE_BLOCK);
  plan->map_bytes = p->in_h * p->in_w <= MAP_MAX ? edgec_mve_round_up(2 * p->in_h * p->in_w, EDGEC_MVE_BLOCK) : 0;
  return band_fits(p, plan);
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
  const int32_t last_x = at_least(plan->tile_w - plan->across, 0);
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

/* Pixels of one axis that lie in the plane of a tile: the first of the plane and of the input, and their number. */
typedef struct extent {
  int32_t plane, input, count;
} extent;

static extent extent_of(int32_t origin, int32_t plane, int32_t size) {
  extent e;
  e.plane = at_least(-origin, 0);
  e.input = origin + e.plane;
  e.count = edgec_clamp(size - e.input, 1, plane - e.plane);
  return e;
}

/* What is the same for every tile. */
static void prepare_job(const edgec_depthwise_conv2d_params *p, const patch_plan *plan, edgec_mve_patches *job) {
  job->zero_point = p->out_zero_point;
  job->row_step = p->in_w * p->in_c;
  job->plane_step = plan->stride;
  job->vector_step = 8 * p->in_c;
  job->groups = plan->groups;
  job->bands = plan->bands;
  job->band_input = plan->step * p->stride_h * plan->stride;
  job->band_output = plan->step * p->out_w * p->out_c;
  job->shift = p->shift;
  job->outputs = plan->outputs;
  job->pixel = p->in_c;
  const int32_t lanes = reach_of(plan->down, p->kernel_h, p->stride_h) * plan->columns;
  int32_t column = 0;
  int32_t row = 0;
  for (int32_t i = 0; i < EDGEC_MVE_BLOCK; i++) {
    job->gather[i] = (uint8_t)(i < lanes ? row + column : 0);
    column++;
    if (column == plan->columns) {
      column = 0;
      row += plan->stride;
    }
  }
  for (int32_t i = 0; i < 8; i++) {
    job->lanes[i] = (uint16_t)(i * p->in_c);
    job->low[i] = (int16_t)p->clamp_min;
    job->high[i] = (int16_t)p->clamp_max;
    job->mask[i / 2] = -(int32_t)((uint32_t)1 << p->shift);
  }
}

/* Channels whose 4-bit weights lie widened in scratch. */
static int32_t together(const edgec_depthwise_conv2d_params *p) { return p->out_c < NIBBLE_CHANNELS ? p->out_c : (int32_t)NIBBLE_CHANNELS; }

/* `count` taps of 4 bits of two channels a byte, `bytes` of them (at most 8): one tap to the same byte of each channel's record at `to`, the
 * next one to the byte behind it. tap_bytes: from a tap to the next one. */
static void widen_taps(int8_t *to, const int8_t *from, int32_t bytes, int32_t tap_bytes, int32_t count) {
#if defined(__ARM_FEATURE_MVE)
  register int8_t *second __asm__("r4"); /* VIDUP takes even ones */
  __asm__ volatile(
      "movs %[second], #0\n"
      "vidup.u16 q3, %[second], #8\n"
      "vshl.i16 q3, q3, #2\n" /* two records from a lane to the next one */
      "add %[second], %[to], #16\n"
      "vctp.16 %[n]\n"
      "dls lr, %[count]\n"
      "1: vpst\n"
      "vldrbt.u16 q0, [%[from]]\n"
      "add %[from], %[from], %[step]\n"
      "vshl.i16 q1, q0, #12\n"
      "vshl.i16 q2, q0, #8\n"
      "vshr.s16 q1, q1, #12\n"
      "vshr.s16 q2, q2, #12\n"
      "vpstt\n"
      "vstrbt.16 q1, [%[to], q3]\n"
      "vstrbt.16 q2, [%[second], q3]\n"
      "adds %[to], #1\n"
      "adds %[second], #1\n"
      "le lr, 1b\n"
      : [to] "+l"(to), [from] "+r"(from), [second] "=&r"(second)
      : [n] "r"(bytes), [step] "r"(tap_bytes), [count] "r"(count)
      : "q0", "q1", "q2", "q3", "lr", "cc", "memory");
#else
  for (int32_t tap = 0; tap < count; tap++) {
    for (int32_t i = 0; i < bytes; i++) {
      to[2 * i * EDGEC_MVE_BLOCK + tap] = (int8_t)edgec_low_nibble(from[i]);
      to[(2 * i + 1) * EDGEC_MVE_BLOCK + tap] = (int8_t)edgec_high_nibble(from[i]);
    }
    from += tap_bytes;
  }
#endif
}

/* The job's channels from c on, of 4-bit weights, in the form with 8: records, whose bytes beside the taps are zero, and epilogue. */
static void widen_channels(const edgec_depthwise_conv2d_params *p, const patch_plan *plan, const edgec_operands *operands, int32_t c,
                           int32_t count, int8_t *records, int32_t *epilogue) {
  const int32_t tap_bytes = (p->out_c + 1) / 2;
  const int8_t *from = (const int8_t *)operands->constant[0] + c / 2;
  const int16_t *const bias = (const int16_t *)operands->constant[1] + c;
  const int32_t *const multiplier = (const int32_t *)operands->constant[2] + c;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    widen_taps(records + plan->lead + ky * plan->columns, from, (count + 1) / 2, tap_bytes, p->kernel_w);
    from += p->kernel_w * tap_bytes;
  }
  for (int32_t i = 0; i < count; i++) {
    epilogue[2 * i] = bias[i];
    epilogue[2 * i + 1] = multiplier[i] >> 1;
  }
}

/* One tile of every channel: what of the input lies in its plane, then the engine. */
EDGEC_COPIED void run_tile(const edgec_depthwise_conv2d_params *p, const patch_plan *plan, const edgec_operands *operands, int32_t oy,
                           int32_t ox, int nibbles, edgec_mve_patches *job) {
  int8_t *const plane = operands->scratch;
  const extent rows = extent_of(oy * p->stride_h - p->pad_top, plan->height, p->in_h);
  const extent columns = extent_of(ox * p->stride_w - p->pad_left, plan->stride, p->in_w);
  edgec_mve_fill(plane, p->in_zero_point, plan->plane_bytes);
  job->input = operands->input[0] + (rows.input * p->in_w + columns.input) * p->in_c;
  job->output = operands->output[0] + (oy * p->out_w + ox) * p->out_c;
  job->weights = operands->constant[0];
  job->epilogue = operands->constant[1];
  job->channels = p->out_c;
  job->inside = plane + rows.plane * plan->stride + columns.plane;
  job->columns = columns.count;
  job->rows = rows.count;
  job->map = NULL;
  if (plan->map_bytes != 0 && columns.count == p->in_w) {
    uint16_t *const map = (uint16_t *)(void *)(plane + plan->plane_bytes + plan->table_bytes);
    uint16_t *to = map;
    for (int32_t y = 0; y < rows.count; y++) {
      for (int32_t x = 0; x < columns.count; x++) {
        *to++ = (uint16_t)(y * plan->stride + x);
      }
    }
    job->map = map;
    job->columns = rows.count * columns.count;
  }
  if (nibbles) { /* a few channels at a time */
    int8_t *const wide = plane + plan->plane_bytes + plan->table_bytes + plan->map_bytes;
    const int8_t *const input = job->input;
    int8_t *const output = job->output;
    int32_t epilogue[2 * NIBBLE_CHANNELS];
    edgec_mve_fill(wide, 0, EDGEC_MVE_BLOCK * (together(p) + 1));
    for (int32_t c = 0; c < p->out_c; c += NIBBLE_CHANNELS) {
      job->input = input + c;
      job->output = output + c;
      job->epilogue = epilogue;
      job->weights = wide;
      job->channels = p->out_c - c < NIBBLE_CHANNELS ? p->out_c - c : (int32_t)NIBBLE_CHANNELS;
      widen_channels(p, plan, operands, c, job->channels, wide, epilogue);
      edgec_mve_run_patches(job);
    }
  } else {
    edgec_mve_run_patches(job);
  }
}

EDGEC_COPIED void run_depthwise(const edgec_depthwise_conv2d_params *p, const edgec_operands *operands, int nibbles) {
  patch_plan plan;
  edgec_mve_patches job;
  uint16_t places[4];
  if (plan_patches(p, &plan) == 0) {
    return; /* the check refuses such a layer */
  }
  int8_t *const plane = operands->scratch;
  uint32_t base = 0u;
  prepare_job(p, &plan, &job);
  place_outputs(p, &plan, places, job.record);
  job.plane = plane;
#if defined(__ARM_FEATURE_MVE)
  if (plan.bands == 1) {
    base = (uint32_t)(uintptr_t)plane;
    job.plane = NULL;
  }
#endif
  job.table = plane + plan.plane_bytes;
  fill_table(p, &plan, places, base, plane + plan.plane_bytes);
  for (int32_t y = 0; y < p->out_h; y += plan.tile_h) {
    const int32_t oy = y < p->out_h - plan.tile_h ? y : p->out_h - plan.tile_h;
    for (int32_t x = 0; x < p->out_w; x += plan.tile_w) {
      const int32_t ox = x < p->out_w - plan.tile_w ? x : p->out_w - plan.tile_w;
      run_tile(p, &plan, operands, oy, ox, nibbles, &job);
    }
  }
}

void edgec_s8_depthwise_conv2d_1x8c16__mve(const void *params, const edgec_operands *operands) { run_depthwise(params, operands, 0); }

void edgec_s8w4_depthwise_conv2d_1x8n1__mve(const void *params, const edgec_operands *operands) { run_depthwise(params, operands, 1); }

/* wide: bytes of scratch for widened weights. */
static int has_patches(const edgec_depthwise_conv2d_params *p, const edgec_sizes *sizes, patch_plan *plan, uint32_t wide) {
  return plan_patches(p, plan) != 0 && sizes->input[0] <= 0x1ffffffu && sizes->output[0] <= 0x1ffffffu &&
         sizes->scratch == (uint32_t)(plan->plane_bytes + plan->table_bytes + plan->map_bytes) + wide;
}

static int depthwise_conv2d_1x8c16_check(const void *params, const edgec_sizes *sizes) {
  const edgec_depthwise_conv2d_params *const p = params;
  patch_plan plan;
  return sizes->param_count == sizeof *p / 4 && edgec_depthwise_conv2d_is_valid(p, sizes) && p->weight_bits == 8 &&
         has_patches(p, sizes, &plan, 0u) && sizes->constant[0] == (uint32_t)(EDGEC_MVE_BLOCK * p->out_c + plan.lead) &&
         sizes->constant[1] == (uint32_t)p->out_c * 8u && sizes->constant[2] == 0u;
}

static int depthwise_conv2d_1x8n1_check(const void *params, const edgec_sizes *sizes) {
  const edgec_depthwise_conv2d_params *const p = params;
  patch_plan plan;
  return edgec_depthwise_conv2d_nibbles_check(p, sizes) && has_patches(p, sizes, &plan, (uint32_t)(EDGEC_MVE_BLOCK * (together(p) + 1)));
}

const edgec_kernel edgec_s8w4_depthwise_conv2d_1x8n1__mve_kernel = {0x02c0, 1, edgec_s8w4_depthwise_conv2d_1x8n1__mve,
                                                                     depthwise_conv2d_1x8n1_check};

const edgec_kernel edgec_s8_depthwise_conv2d_1x8c16__mve_kernel = {0x0240, 1, edgec_s8_depthwise_conv2d_1x8c16__mve,
                                                                   depthwise_conv2d_1x8c16_check};

#endif
