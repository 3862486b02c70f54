/* The inner engine of the Helium convolution: pairs of output positions by blocks of four output channels.
 *
 * Packed stream of a block, walked by one pointer: eight int32 (the four biases twice), then for each 16 bytes of the window
 * 4 x 16 weights, then four int32 multipliers, halved. Eight VMLADAVA accumulators are all the even registers there are, so
 * the biases arrive by one LDM and no low-overhead loop (it needs LR) can be used.
 *
 * Requantize is one instruction: multipliers are even (docs/SPEC.md 1.2), and VQRDMLASH computes
 * (2 * acc * (M / 2) + (zero_point << 32) + 2^31) >> 32, which is the requantize form exactly.
 */
#ifndef EDGEC_CONV_MVE_PAIRS_H
#define EDGEC_CONV_MVE_PAIRS_H

#include "../fixed.h"
#include "../mve.h"
#include "../nibbles.h"

typedef void (*edgec_mve_finish)(void);

/* Byte offsets are known to the assembly below. */
typedef struct edgec_mve_pairs {
  int32_t zero_point;    /* 0: of the output */
  int32_t back;          /* 4: added to the input pointers after a block of channels: minus what the window walk added */
  int32_t blocks;        /* 8: 16-byte blocks of a window, or of one of its three rows */
  int32_t hop;           /* 12: added to the input pointers between rows; of the three-row walk only */
  uint16_t place[8];     /* 16: output offsets of channel 0, 1, 2, 3 of the first and second position, interleaved */
  const int8_t *weights; /* 32: start of the packed stream */
  int32_t channels;      /* 36: output channels, times two */
  int32_t input_step;    /* 40: from one pair to the next */
  int32_t output_step;   /* 44: the same, counted from the end of the last block */
  int32_t pairs;         /* 48 */
  const int8_t *first;   /* 52: window of the first position */
  const int8_t *second;  /* 56: and of the second */
  int8_t *output;        /* 60 */
  int16_t low[8];        /* 64: clamp bounds in every lane */
  int16_t high[8];       /* 80 */
  int32_t mask[4];       /* 96: minus 2^shift in every lane */
  edgec_mve_finish finish; /* 112: of sums, what requantizes and adds the residual; else null */
  int32_t shift;         /* 116: layer shift */
  uintptr_t residual;    /* 120: these two of sums only, where zero_point is residual_offset without SUM_HALF: bytes from an output to what is added */
  int32_t residual_multiplier; /* 124 */
  int32_t rows;          /* 128: 1 or 3; of the portable form only */
} edgec_mve_pairs;

enum { SUM_HALF = 1 << (EDGEC_SUM_FRACTION - 1) }; /* VQRSHRN adds it; not VQSHRN, which some assemblers encode as VQRSHRN */

#if defined(__ARM_FEATURE_MVE)

typedef char edgec_assert_pairs_layout[sizeof(edgec_mve_pairs) == 132 ? 1 : -1];

/* r0, r2, r4, r6: channels 0-3 of the first position; r8, r10, r12, lr: of the second. r1 weights, r3 and r5 windows,
 * r7 output, r9 blocks left, r11 channels left, times two. A block is EDGEC_MVE_PAIRS_BLOCK, or one of nibbles.
 *
 * r0: the job. It goes to the stack, since no register is left to point at it, behind `zeros` bytes of room. */
#define PAIRS_ENTER(zeros)      \
  ".set .Lframe, " #zeros "\n"          \
  "push {r4-r11, lr}\n"         \
  "vpush {d8-d15}\n"            \
  "sub sp, sp, #128 + .Lframe\n"        \
  "vldrw.u32 q0, [r0]\n"        \
  "vldrw.u32 q1, [r0, #16]\n"   \
  "vldrw.u32 q2, [r0, #32]\n"   \
  "vldrw.u32 q3, [r0, #48]\n"   \
  "vldrh.u16 q7, [r0, #16]\n"   \
  "vstrw.32 q0, [sp, #.Lframe]\n"       \
  "vstrw.32 q1, [sp, #.Lframe + 16]\n"  \
  "vstrw.32 q2, [sp, #.Lframe + 32]\n"  \
  "vstrw.32 q3, [sp, #.Lframe + 48]\n"

#define PAIRS_ENTER_GENERAL     \
  "vldrw.u32 q0, [r0, #64]\n"   \
  "vldrw.u32 q1, [r0, #80]\n"   \
  "vldrw.u32 q2, [r0, #96]\n"   \
  "vldrw.u32 q3, [r0, #112]\n"  \
  "vstrw.32 q0, [sp, #.Lframe + 64]\n"  \
  "vstrw.32 q1, [sp, #.Lframe + 80]\n"  \
  "vstrw.32 q2, [sp, #.Lframe + 96]\n"  \
  "vstrw.32 q3, [sp, #.Lframe + 112]\n"

/* Where PAIRS_HOOK goes: straight on to label 40, or to the finish of a residual, which finds its part of the job and the way back to label
 * 41 in the place of the mask, for which it has no use. */
#define PAIRS_ENTER_HOOK        \
  "ldr r2, [r0, #112]\n"        \
  "cbnz r2, 4f\n"               \
  "adr.w r2, 40f\n"             \
  "orr r2, r2, #1\n"            \
  "b 5f\n"                      \
  "4:\n"                        \
  "adr.w r3, 41f\n"             \
  "orr r3, r3, #1\n"            \
  "add r4, r0, #116\n"          \
  "strd r4, r3, [sp, #.Lframe + 96]\n" \
  "5:\n"                        \
  "str r2, [sp, #.Lframe + 112]\n"
#define PAIRS_HOOK(requantize)  \
  "ldr pc, [sp, #.Lframe + 112]\n" \
  "40:\n" requantize            \
  "41:\n"

/* The walk over one row of 16-byte blocks, unrolled by four, entered in the middle: count and entry replace what the job has. */
#define PAIRS_ENTRY(block_bytes) \
  "ldr r2, [r0, #8]\n" EDGEC_MVE_PAIRS_ENTRY(block_bytes) \
  "strd r2, r4, [sp, #.Lframe + 8]\n"

/* load: of the eight accumulators. */
#define PAIRS_CHANNELS(load)    \
  "ldrd r1, r11, [sp, #.Lframe + 32]\n" \
  "20:\n" load

#define PAIRS_START(load)       \
  "ldrd r3, r5, [r0, #52]\n"    \
  "ldr r7, [r0, #60]\n"         \
  "10:\n" PAIRS_CHANNELS(load)

#define PAIRS_WALK(block)       \
  "ldr r9, [sp, #.Lframe + 8]\n"        \
  "ldr pc, [sp, #.Lframe + 12]\n"       \
  "30:\n"                       \
  ".rept 4\n" block ".endr\n"   \
  "subs r9, r9, #1\n"           \
  "bgt 30b\n"

/* At most four blocks, read at fixed places before the windows' ends: nothing to count or to step. */
#define PAIRS_START_SHORT(load) \
  "ldrd r3, r5, [r0, #52]\n"    \
  "ldr r7, [r0, #60]\n"         \
  "ldr r2, [r0, #4]\n"          \
  "subs r3, r3, r2\n"           \
  "subs r5, r5, r2\n"           \
  "10:\n" PAIRS_CHANNELS(load)
#define PAIRS_WALK_SHORT(block_at) \
  "ldr pc, [sp, #.Lframe + 12]\n"       \
  "30:\n" block_at(", #-64]") block_at(", #-48]") block_at(", #-32]") block_at(", #-16]")

/* A quarter of a block: one channel's weights, and that channel of the first window. product: VMLADAVA, or VMLADAV where nothing has been
 * summed yet. */
#define PAIRS_QUARTER(product, weights, offset, sum, window) \
  "vldrw.u32 " weights ", [r1" offset "\n"          \
  product " " sum ", " window ", " weights "\n"

#define PAIRS_SECOND(product, window)   \
  product " r8, " window ", q0\n"       \
  product " r10, " window ", q1\n"      \
  product " r12, " window ", q2\n"      \
  product " lr, " window ", q3\n"

#define PAIRS_QUARTERS(product, window)                   \
  PAIRS_QUARTER(product, "q0", "], #64", "r0", window)    \
  PAIRS_QUARTER(product, "q1", ", #-48]", "r2", window)   \
  PAIRS_QUARTER(product, "q2", ", #-32]", "r4", window)   \
  PAIRS_QUARTER(product, "q3", ", #-16]", "r6", window)

#define PAIRS_START_SINGLE      \
  "ldrd r3, r5, [r0, #52]\n"    \
  "ldr r7, [r0, #60]\n"         \
  "10:\n"                       \
  "vldrb.u8 q4, [r3]\n"         \
  "vldrb.u8 q5, [r5]\n"

/* r3, r5 and r9 point at the three rows of the first window here, and stay for all channels. */
#define PAIRS_START_16          \
  "ldr r3, [r0, #52]\n"         \
  "ldr r7, [r0, #60]\n"         \
  "ldr r2, [r0, #12]\n"         \
  "adds r2, r2, #48\n"          \
  "add r5, r3, r2\n"            \
  "add r9, r5, r2\n"            \
  "10:\n"

/* A block of the second window is the next block of the first. */
#define PAIRS_BLOCK_16(quarters, window, next, at) \
  quarters("vmladava.s8", window) "vldrb.u8 " next ", [\\row, #" at "]\n" PAIRS_SECOND("vmladava.s8", next)

/* .irp keeps the string below what C99 promises to take. */
#define PAIRS_WALK_16(quarters) \
  ".irp row, r3, r5, r9\n"      \
  "vldrb.u8 q4, [\\row]\n" PAIRS_BLOCK_16(quarters, "q4", "q5", "16") PAIRS_BLOCK_16(quarters, "q5", "q4", "32") \
  PAIRS_BLOCK_16(quarters, "q4", "q5", "48") \
  ".endr\n"

#define PAIRS_ROW(label, block) \
  "ldr r9, [sp, #.Lframe + 8]\n"        \
  label ":\n"                   \
  ".rept 3\n" block ".endr\n"   \
  "subs r9, r9, #3\n"           \
  "bgt " label "b\n"

#define PAIRS_HOP               \
  "ldr r9, [sp, #.Lframe + 12]\n"       \
  "add r3, r3, r9\n"            \
  "add r5, r5, r9\n"

#define PAIRS_WALK_ROWS(block) PAIRS_ROW("31", block) PAIRS_HOP PAIRS_ROW("32", block) PAIRS_HOP PAIRS_ROW("33", block)

/* Accumulators to q0 and q1, multipliers to q2; `zero`: zero_point to r0 and to r2 what the others step the input pointers back by, unless r9
 * has had zero_point since PAIRS_ZERO_KEPT. */
#define PAIRS_GATHER(zero, first, second) \
  "vmov q0[2], q0[0], r0, r4\n" \
  "vldrw.u32 q2, [r1], #16\n"   \
  "vmov q0[3], q0[1], r2, r6\n" zero \
  "vmov q1[2], q1[0], r8, r12\n" first \
  "vmov q1[3], q1[1], r10, lr\n" second
#define PAIRS_ZERO "ldrd r0, r2, [sp, #.Lframe]\n"
#define PAIRS_ZERO_KEPT "ldr r9, [r0]\n"

#define PAIRS_FIRST_BACK "add r3, r3, r2\n"
#define PAIRS_SECOND_BACK "add r5, r5, r2\n"

#define PAIRS_SHIFT             \
  "ldr r2, [sp, #.Lframe + 116]\n"      \
  "vldrw.u32 q3, [sp, #.Lframe + 96]\n" EDGEC_MVE_PAIRS_SHIFT("r2")

#define PAIRS_REQUANTIZE EDGEC_MVE_PAIRS_REQUANTIZE("r0")

/* The same with a residual, once for all functions; the job is in the frame. 12 fractional bits mostly take a layer shift, and no sum is saturated by it. `load` brings both positions' four bytes, at r4 and r6, to q3 and, once q0 is done, to q3 again. */
#define SUMS_LOAD "vldrb.s32 q3, [r4]\n"
#define SUMS_LOAD_SECOND "vldrb.s32 q3, [r6]\n"
#define SUMS_LOAD_TAIL "lsr r10, r11, #1\nvctp.32 r10\nvpst\nvldrbt.s32 q3, [r4]\n"
#define SUMS_LOAD_TAIL_SECOND "vpst\nvldrbt.s32 q3, [r6]\n"
#define SUMS_REQUANTIZE(load, load_second) \
  "ldr r2, [sp, #96]\n"         \
  "ldr r0, [sp]\n"              \
  "ldm r2, {r2, r4, r8}\n"      \
  "ldrh r6, [sp, #18]\n"        \
  "vshl.s32 q0, r2\n"           \
  "vshl.s32 q1, r2\n"           \
  "add r4, r4, r7\n"            \
  "add r6, r6, r4\n" load       \
  "vqrdmlash.s32 q0, q2, r0\n"  \
  "vmla.s32 q0, q3, r8\n" load_second \
  "vqrdmlash.s32 q1, q2, r0\n"  \
  "vmla.s32 q1, q3, r8\n"       \
  "vqrshrnb.s32 q0, q0, #12\n"  \
  "vqrshrnt.s32 q0, q1, #12\n"
#define SUMS_FINISH(load, load_second) SUMS_REQUANTIZE(load, load_second) "ldr pc, [sp, #100]\n"

#define PAIRS_CLAMP             \
  "vldrw.u32 q1, [sp, #.Lframe + 64]\n" \
  "vldrw.u32 q2, [sp, #.Lframe + 80]\n" \
  "vmax.s16 q0, q0, q1\n"       \
  "vmin.s16 q0, q0, q2\n"

#define PAIRS_SATURATE "vqmovnb.s16 q0, q0\n"

#define PAIRS_STORE "vstrb.16 q0, [r7, q7]\n"

#define PAIRS_STORE_TAIL        \
  "vctp.16 r11\n"               \
  "vpst\n"                      \
  "vstrbt.16 q0, [r7, q7]\n"

/* To the next block of channels, or to the next pair, or out. */
#define PAIRS_NEXT(again, second) \
  "subs r11, r11, #8\n"          \
  "add r7, r7, #4\n"             \
  "bgt 20b\n"                    \
  "ldrd r0, r2, [sp, #.Lframe + 40]\n"  \
  "ldr r4, [sp, #.Lframe + 48]\n"       \
  "add r3, r3, r0\n" second      \
  "add r7, r7, r2\n"             \
  "subs r4, r4, #1\n"            \
  "str r4, [sp, #.Lframe + 48]\n"       \
  "bgt " again "\n"              \
  "add sp, sp, #128 + .Lframe\n"        \
  "vpop {d8-d15}\n"              \
  "pop {r4-r11, pc}\n"

#define PAIRS_LEAVE PAIRS_NEXT("10b", "add r5, r5, r0\n")

#define PAIRS_FUNCTION(name, text) EDGEC_MVE_FUNCTION(edgec_mve_##name, (const edgec_mve_pairs *job), text)

/* For one form of weights: `sums` loads the accumulators, in single `single_sums` for single_product; `block_at` is as
 * EDGEC_MVE_PAIRS_BLOCK_AT, block_bytes together; `quarters` the part of it that meets the first window; `gather` as PAIRS_GATHER;
 * `hook` as PAIRS_HOOK, for which hook_enter and general_enter are ready; in short nothing is hooked in.
 * plain: clamp bounds are int8's own and channels come in fours; short: and windows have at most four blocks. general: any number of
 * channels, any clamp, any layer shift.
 * single: windows of one block, which stay in q4 and q5 for all channels. rows_plain and rows_general: windows of three rows, each a
 * multiple of three blocks, straight from the tensor. rows_16: rows of three blocks, the second window one block after the first: 16
 * channels and a stride of one. */
#define PAIRS_GATHER_BOTH(gather) gather(PAIRS_ZERO, PAIRS_FIRST_BACK, PAIRS_SECOND_BACK)
#define PAIRS_FINISH(requantize) requantize PAIRS_SATURATE PAIRS_STORE
#define PAIRS_FINISH_GENERAL(requantize) requantize PAIRS_CLAMP PAIRS_STORE_TAIL PAIRS_LEAVE

#define PAIRS_FUNCTIONS(form, enter, hook_enter, general_enter, sums, single_sums, single_product, block_at, block_bytes, quarters, gather, hook) \
  PAIRS_FUNCTION(form##_plain, hook_enter PAIRS_ENTRY(block_bytes) PAIRS_START(sums) PAIRS_WALK(block_at(EDGEC_MVE_STEP))       \
                                   PAIRS_GATHER_BOTH(gather) PAIRS_FINISH(hook(PAIRS_REQUANTIZE)) PAIRS_LEAVE)                  \
  PAIRS_FUNCTION(form##_short, enter PAIRS_ENTRY(block_bytes) PAIRS_ZERO_KEPT PAIRS_START_SHORT(sums) PAIRS_WALK_SHORT(block_at) \
                                   gather("", "", "") PAIRS_FINISH(EDGEC_MVE_PAIRS_REQUANTIZE("r9")) PAIRS_LEAVE)                      \
  PAIRS_FUNCTION(form##_general, general_enter PAIRS_ENTRY(block_bytes) PAIRS_START(sums) PAIRS_WALK(block_at(EDGEC_MVE_STEP))  \
                                     PAIRS_GATHER_BOTH(gather) PAIRS_FINISH_GENERAL(hook(PAIRS_SHIFT PAIRS_REQUANTIZE)))        \
  PAIRS_FUNCTION(form##_single, hook_enter PAIRS_ZERO_KEPT PAIRS_START_SINGLE PAIRS_CHANNELS(single_sums)                       \
                                    quarters(single_product, "q4") PAIRS_SECOND(single_product, "q5") gather("", "", "")        \
                                    PAIRS_FINISH(hook(EDGEC_MVE_PAIRS_REQUANTIZE("r9"))) PAIRS_LEAVE)                                  \
  PAIRS_FUNCTION(form##_rows_16, hook_enter PAIRS_START_16 PAIRS_CHANNELS(sums) PAIRS_WALK_16(quarters) gather(PAIRS_ZERO, "", "") \
                                     PAIRS_FINISH(hook(PAIRS_REQUANTIZE)) PAIRS_NEXT("10b", "add r5, r5, r0\nadd r9, r9, r0\n"))                                \
  PAIRS_FUNCTION(form##_rows_plain, hook_enter PAIRS_START(sums) PAIRS_WALK_ROWS(block_at(EDGEC_MVE_STEP)) PAIRS_GATHER_BOTH(gather) \
                                        PAIRS_FINISH(hook(PAIRS_REQUANTIZE)) PAIRS_LEAVE)                                       \
  PAIRS_FUNCTION(form##_rows_general, general_enter PAIRS_START(sums) PAIRS_WALK_ROWS(block_at(EDGEC_MVE_STEP))                 \
                                          PAIRS_GATHER_BOTH(gather) PAIRS_FINISH_GENERAL(hook(PAIRS_SHIFT PAIRS_REQUANTIZE)))

PAIRS_FUNCTIONS(pairs, PAIRS_ENTER(0), PAIRS_ENTER(0) PAIRS_ENTER_HOOK, PAIRS_ENTER(0) PAIRS_ENTER_GENERAL PAIRS_ENTER_HOOK, EDGEC_MVE_PAIRS_SUMS("r1!"),
                EDGEC_MVE_PAIRS_SUMS("r1!"), "vmladava.s8", EDGEC_MVE_PAIRS_BLOCK_AT, 56, PAIRS_QUARTERS, PAIRS_GATHER, PAIRS_HOOK)

EDGEC_MVE_FUNCTION(edgec_mve_sums_finish, (void), SUMS_FINISH(SUMS_LOAD, SUMS_LOAD_SECOND))
EDGEC_MVE_FUNCTION(edgec_mve_sums_finish_tail, (void), SUMS_FINISH(SUMS_LOAD_TAIL, SUMS_LOAD_TAIL_SECOND))

/* Any number of channels. */
PAIRS_FUNCTION(pairs_tail, PAIRS_ENTER(0) PAIRS_ENTRY(56) PAIRS_START(EDGEC_MVE_PAIRS_SUMS("r1!")) PAIRS_WALK(EDGEC_MVE_PAIRS_BLOCK) PAIRS_GATHER_BOTH(PAIRS_GATHER)
                               PAIRS_REQUANTIZE PAIRS_SATURATE PAIRS_STORE_TAIL PAIRS_LEAVE)

static int is_clamped(const edgec_mve_pairs *job) { return job->low[0] != INT8_MIN || job->high[0] != INT8_MAX; }

/* general: the clamp, the shift or the channels ask for it. */
EDGEC_COPIED void run_three_rows(const edgec_mve_pairs *job, int general, void (*any)(const edgec_mve_pairs *job),
                                 void (*of_16)(const edgec_mve_pairs *job), void (*plain)(const edgec_mve_pairs *job)) {
  if (general) {
    any(job);
  } else if (job->blocks == 3 && job->second - job->first == EDGEC_MVE_BLOCK) {
    of_16(job);
  } else {
    plain(job);
  }
}

EDGEC_COPIED void run_columns(const edgec_mve_pairs *job, int general, void (*any)(const edgec_mve_pairs *job),
                              void (*single)(const edgec_mve_pairs *job), void (*few)(const edgec_mve_pairs *job),
                              void (*plain)(const edgec_mve_pairs *job)) {
  if (general) {
    any(job);
  } else if (job->blocks == 1) {
    single(job);
  } else if (job->blocks <= 4) {
    few(job);
  } else {
    plain(job);
  }
}

/* Two functions are for no residual: most windows that end in a sum are longer. */
static void edgec_mve_run_pairs(const edgec_mve_pairs *job) {
  const int sum = job->finish != NULL;
  const int general = is_clamped(job) || (!sum && job->shift != 0);
  const int tail = job->channels % 8 != 0;
  if (job->rows == 3) {
    run_three_rows(job, general || tail, edgec_mve_pairs_rows_general, edgec_mve_pairs_rows_16, edgec_mve_pairs_rows_plain);
  } else if (!sum && !general && tail) {
    edgec_mve_pairs_tail(job);
  } else if (sum && !general && !tail && job->blocks > 1) {
    edgec_mve_pairs_plain(job);
  } else {
    run_columns(job, general || tail, edgec_mve_pairs_general, edgec_mve_pairs_single, edgec_mve_pairs_short, edgec_mve_pairs_plain);
  }
}

/* tail: channels may not come in fours. */
static edgec_mve_finish finish_of(int tail) { return tail ? edgec_mve_sums_finish_tail : edgec_mve_sums_finish; }

#else

/* The sum of channel `channel` of a block over one window; with weights of 4 bits (nibbles) 16 times that. weights: of the block. */
static int32_t pairs_sum(const edgec_mve_pairs *job, const int8_t *x, const int8_t *weights, int32_t channel, int nibbles, int32_t acc) {
  const int8_t *w = weights + (nibbles ? channel / 2 : channel) * EDGEC_MVE_BLOCK;
  for (int32_t row = 0; row < job->rows; row++) {
    for (int32_t block = 0; block < job->blocks; block++) {
      for (int32_t i = 0; i < EDGEC_MVE_BLOCK; i++) {
        const int32_t nibble = channel % 2 == 0 ? edgec_high_nibble(w[i]) : edgec_low_nibble(w[i]);
        acc = edgec_mac(acc, x[i], nibbles ? 16 * nibble : w[i]);
      }
      x += EDGEC_MVE_BLOCK;
      w += (nibbles ? 2 : 4) * EDGEC_MVE_BLOCK;
    }
    x += job->hop;
  }
  return acc;
}

/* nibbles: of weights of 4 bits. */
static void run_pairs_portable(const edgec_mve_pairs *job, int nibbles) {
  const int32_t head = nibbles ? 0 : 32; /* bytes of biases in front of the weights; those of 16 bits lie behind them */
  const int32_t multipliers = head + (nibbles ? 32 : 64) * job->rows * job->blocks + (nibbles ? 8 : 0);
  const int32_t blocks = (job->channels + 7) / 8;
  for (int32_t pair = 0; pair < job->pairs; pair++) {
    int8_t *y = job->output + pair * (job->output_step + 4 * blocks);
    const int8_t *weights = job->weights;
    for (int32_t left = job->channels; left > 0; left -= 8) {
      int8_t result[8]; /* stored together, as the assembly does: the output may overlap the input */
      for (int32_t i = 0; i < 8 && i < left; i++) {
        const int8_t *const x = (i % 2 == 0 ? job->first : job->second) + pair * job->input_step;
        const int32_t products = pairs_sum(job, x, weights + head, i / 2, nibbles, nibbles ? 0 : edgec_mve_word(weights + i / 2 * 4));
        const int32_t bias = (int32_t)((uint32_t)edgec_mve_word(weights + multipliers - 8 + i / 2 * 2) << 16) >> 16; /* of 16 bits */
        const int32_t acc = nibbles ? edgec_wrapping_add(products >> 4, bias) : products;
        const int32_t multiplier = (int32_t)(2u * (uint32_t)edgec_mve_word(weights + multipliers + i / 2 * 4));
        if (job->finish != NULL) {
          const int32_t residual = *(const int8_t *)((uintptr_t)(y + job->place[i]) + job->residual);
          const int32_t addend = edgec_mac(job->zero_point + SUM_HALF, residual, job->residual_multiplier);
          result[i] = edgec_requantize_sum(acc, multiplier, job->shift, addend, job->low[0], job->high[0]);
        } else {
          result[i] = edgec_requantize(acc, multiplier, job->shift, job->zero_point, job->low[0], job->high[0]);
        }
      }
      for (int32_t i = 0; i < 8 && i < left; i++) {
        y[job->place[i]] = result[i];
      }
      y += 4;
      weights += multipliers + 16;
    }
  }
}

static void edgec_mve_run_pairs(const edgec_mve_pairs *job) { run_pairs_portable(job, 0); }

static void finish(void) {}

static edgec_mve_finish finish_of(int tail) {
  (void)tail;
  return finish;
}

#endif

#endif
