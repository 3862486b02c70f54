/* The inner engine of the Helium depthwise convolution: one channel at a time, as a padded plane in scratch.
 *
 * A patch is up to 16 bytes of the plane, gathered by one load: all that two or four neighbouring outputs read. Each of these
 * outputs has the taps at other lanes of the patch, and its weight vector is the same 16 packed bytes loaded from a few bytes
 * earlier (zeros lie before and behind). So a 3x3 layer costs one load and four VMLADAV per 2x2 outputs. Where patches and
 * their outputs lie is a table in scratch, the same for every channel: groups of eight outputs.
 *
 * A channel's plane is complete in scratch before its first output is written: the output may lie exactly over the input.
 */
#ifndef EDGEC_CONV_MVE_PATCHES_H
#define EDGEC_CONV_MVE_PATCHES_H

#include "../fixed.h"
#include "../mve.h"

/* One group: plane offsets of two patches of four outputs or four patches of two, then output offsets in the order in which
 * two narrowing moves leave them: outputs of the first half and of the second half, interleaved. */
typedef struct edgec_mve_group4 {
  uint32_t patch[2];
  uint16_t place[8];
} edgec_mve_group4;

typedef struct edgec_mve_group2 {
  uint32_t patch[4];
  uint16_t place[8];
} edgec_mve_group2;

/* Byte offsets are known to the assembly below, which also steps input, output, weights and epilogue. */
typedef struct edgec_mve_patches {
  const int8_t *input;     /* 0: of the channel */
  int8_t *output;          /* 4 */
  const int8_t *weights;   /* 8: record of the channel */
  const int32_t *epilogue; /* 12: bias and halved multiplier */
  int32_t channels;        /* 16: left */
  int32_t zero_point;      /* 20: of the output */
  int8_t *inside;          /* 24: plane, where the input's first pixel goes */
  int32_t columns;         /* 28: pixels of a row that are copied; of the whole plane where there is a map */
  const uint16_t *map;     /* 32: plane offset of every pixel, or NULL: row by row */
  int32_t rows;            /* 36 */
  int32_t row_step;        /* 40: of the input */
  int32_t plane_step;      /* 44: of the plane */
  int32_t vector_step;     /* 48: eight pixels of the input */
  const void *table;       /* 52 */
  int32_t groups;          /* 56 */
  int32_t bands;           /* 60 */
  int32_t band_input;      /* 64: plane bytes from one band to the next */
  int32_t band_output;     /* 68: the same of the output */
  const int8_t *plane;     /* 72: NULL where the table has addresses, not offsets */
  int32_t shift;           /* 76: layer shift */
  int32_t record[4];       /* 80: where in a record the weight vector of each output starts */
  uint16_t lanes[8];       /* 96: input offsets of eight pixels */
  uint8_t gather[16];      /* 112: plane offsets of a patch's lanes */
  int16_t low[8];          /* 128: clamp bounds in every lane */
  int16_t high[8];         /* 144 */
  int32_t mask[4];         /* 160: minus 2^shift in every lane */
  int32_t outputs;         /* 176: of a patch, 4 or 2; below, of the portable form only */
  int32_t pixel;           /* 180: input bytes of a pixel */
} edgec_mve_patches;

#if defined(__ARM_FEATURE_MVE)

typedef char edgec_assert_patches_layout[sizeof(edgec_mve_patches) == 184 ? 1 : -1];

/* r1: the job. Copy the channel into the plane. */
#define PATCHES_COPY             \
  "push {r4-r11, lr}\n"          \
  "vpush {d8-d15}\n"             \
  "mov r1, r0\n"                 \
  "10:\n"                        \
  "vldrh.u16 q7, [r1, #96]\n"    \
  "ldr r0, [r1]\n"               \
  "ldrd r5, r2, [r1, #24]\n"     \
  "ldrd r3, r9, [r1, #32]\n"     \
  "ldr r4, [r1, #48]\n"          \
  "cbz r3, 13f\n"                \
  "wlstp.16 lr, r2, 16f\n"       \
  "12:\n"                        \
  "vldrb.u16 q0, [r0, q7]\n"     \
  "vldrh.u16 q1, [r3], #16\n"    \
  "vstrb.16 q0, [r5, q1]\n"      \
  "add r0, r0, r4\n"             \
  "letp lr, 12b\n"               \
  "b 16f\n"                      \
  "13:\n"                        \
  "ldrd r8, r10, [r1, #40]\n"    \
  "14:\n"                        \
  "mov r6, r0\n"                 \
  "mov r7, r5\n"                 \
  "wlstp.16 lr, r2, 17f\n"       \
  "15:\n"                        \
  "vldrb.u16 q0, [r6, q7]\n"     \
  "vstrb.16 q0, [r7], #8\n"      \
  "add r6, r6, r4\n"             \
  "letp lr, 15b\n"               \
  "17:\n"                        \
  "add r0, r0, r8\n"             \
  "add r5, r5, r10\n"            \
  "subs r9, r9, #1\n"            \
  "bgt 14b\n"                    \
  "16:\n"

/* q0-q3 weights, q6 lanes of a patch, q7 multiplier, r11 bias, r9 zero_point, r5 plane, r7 output, r3 table. */
#define PATCHES_SETUP            \
  "ldrd r7, r0, [r1, #4]\n"      \
  "ldrd r2, r3, [r1, #80]\n"     \
  "ldrd r4, r5, [r1, #88]\n"     \
  "add r2, r2, r0\n"             \
  "vldrb.u8 q0, [r2]\n"          \
  "add r3, r3, r0\n"             \
  "vldrb.u8 q1, [r3]\n"          \
  "add r4, r4, r0\n"             \
  "vldrb.u8 q2, [r4]\n"          \
  "add r5, r5, r0\n"             \
  "vldrb.u8 q3, [r5]\n"          \
  "ldr r2, [r1, #12]\n"          \
  "ldrd r11, r4, [r2]\n"         \
  "vdup.32 q7, r4\n"             \
  "vldrw.u32 q6, [r1, #112]\n"   \
  "ldr r9, [r1, #20]\n"          \
  "ldr r5, [r1, #72]\n"          \
  "ldr r12, [r1, #60]\n"         \
  "20:\n"                        \
  "ldrd r3, r0, [r1, #52]\n"     \
  "dls lr, r0\n"                 \
  "21:\n"

#define PATCHES_LOAD_2           \
  "ldrd r0, r2, [r3], #8\n"      \
  "add r0, r0, r5\n"             \
  "add r2, r2, r5\n"

#define PATCHES_SUMS_4(address)  \
  "vldrb.u8 q4, [" address ", q6]\n" \
  "vmladav.s8 r4, q4, q0\n"      \
  "vmladav.s8 r6, q4, q1\n"      \
  "vmladav.s8 r8, q4, q2\n"      \
  "vmladav.s8 r10, q4, q3\n"

#define PATCHES_SUMS_2_2         \
  PATCHES_LOAD_2                 \
  "vldrb.u8 q4, [r0, q6]\n"      \
  "vmladav.s8 r4, q4, q0\n"      \
  "vmladav.s8 r6, q4, q1\n"      \
  "vldrb.u8 q4, [r2, q6]\n"      \
  "vmladav.s8 r8, q4, q0\n"      \
  "vmladav.s8 r10, q4, q1\n"

#define PATCHES_TO(vector)       \
  "vmov " vector "[2], " vector "[0], r4, r8\n" \
  "vmov " vector "[3], " vector "[1], r6, r10\n" \
  "vadd.i32 " vector ", " vector ", r11\n"

#define PATCHES_FOURS_AT PATCHES_SUMS_4("r0") PATCHES_TO("q5") PATCHES_SUMS_4("r2") PATCHES_TO("q4")

#define PATCHES_FOURS PATCHES_LOAD_2 PATCHES_FOURS_AT

#define PATCHES_TWOS PATCHES_SUMS_2_2 PATCHES_TO("q5") PATCHES_SUMS_2_2 PATCHES_TO("q4")

#define PATCHES_SHIFT            \
  "ldr r0, [r1, #76]\n"          \
  "vldrw.u32 q6, [r1, #160]\n"   \
  "vqshl.s32 q5, r0\n"           \
  "vqshl.s32 q4, r0\n"           \
  "vand q5, q5, q6\n"            \
  "vand q4, q4, q6\n"

#define PATCHES_REQUANTIZE       \
  "vqrdmlash.s32 q5, q7, r9\n"   \
  "vqrdmlash.s32 q4, q7, r9\n"   \
  "vqmovnb.s32 q5, q5\n"         \
  "vqmovnt.s32 q5, q4\n"

#define PATCHES_SATURATE "vqmovnb.s16 q5, q5\n"

#define PATCHES_CLAMP            \
  "vldrw.u32 q4, [r1, #128]\n"   \
  "vldrw.u32 q6, [r1, #144]\n"   \
  "vmax.s16 q5, q5, q4\n"        \
  "vmin.s16 q5, q5, q6\n"        \
  "vldrw.u32 q6, [r1, #112]\n"

#define PATCHES_STORE            \
  "vldrh.u16 q4, [r3], #16\n"    \
  "vstrb.16 q5, [r7, q4]\n"      \
  "le lr, 21b\n"                 \
  "ldrd r0, r2, [r1, #64]\n"     \
  "add r5, r5, r0\n"             \
  "add r7, r7, r2\n"             \
  "subs r12, r12, #1\n"          \
  "bgt 20b\n"                    \
  "ldm r1, {r0, r2, r3, r4, r5}\n" \
  "adds r0, r0, #1\n"            \
  "adds r2, r2, #1\n"            \
  "adds r3, r3, #16\n"           \
  "adds r4, r4, #8\n"            \
  "subs r5, r5, #1\n"            \
  "stm r1, {r0, r2, r3, r4, r5}\n" \
  "bgt 10b\n"                    \
  "vpop {d8-d15}\n"              \
  "pop {r4-r11, pc}\n"

#define PATCHES_FUNCTION(name, text) EDGEC_MVE_FUNCTION(edgec_mve_##name, (edgec_mve_patches *job), text)

PATCHES_FUNCTION(patches_4_plain, PATCHES_COPY PATCHES_SETUP PATCHES_FOURS PATCHES_REQUANTIZE PATCHES_SATURATE PATCHES_STORE)
/* One band: the table has addresses. */
PATCHES_FUNCTION(patches_4_single, PATCHES_COPY PATCHES_SETUP "ldrd r0, r2, [r3], #8\n" PATCHES_FOURS_AT PATCHES_REQUANTIZE PATCHES_SATURATE
                                       PATCHES_STORE)
PATCHES_FUNCTION(patches_4_general, PATCHES_COPY PATCHES_SETUP PATCHES_FOURS PATCHES_SHIFT PATCHES_REQUANTIZE PATCHES_CLAMP PATCHES_STORE)
PATCHES_FUNCTION(patches_2_plain, PATCHES_COPY PATCHES_SETUP PATCHES_TWOS PATCHES_REQUANTIZE PATCHES_SATURATE PATCHES_STORE)
PATCHES_FUNCTION(patches_2_general, PATCHES_COPY PATCHES_SETUP PATCHES_TWOS PATCHES_SHIFT PATCHES_REQUANTIZE PATCHES_CLAMP PATCHES_STORE)

static void edgec_mve_run_patches(edgec_mve_patches *job) {
  const int plain = job->low[0] == INT8_MIN && job->high[0] == INT8_MAX && job->shift == 0;
  if (job->outputs == 4) {
    if (plain && job->plane == NULL) {
      edgec_mve_patches_4_single(job);
    } else if (plain) {
      edgec_mve_patches_4_plain(job);
    } else {
      edgec_mve_patches_4_general(job);
    }
  } else if (plain) {
    edgec_mve_patches_2_plain(job);
  } else {
    edgec_mve_patches_2_general(job);
  }
}

#else

static void copy_channel(const edgec_mve_patches *job) {
  if (job->map != NULL) {
    for (int32_t i = 0; i < job->columns; i++) {
      job->inside[job->map[i]] = job->input[i * job->pixel];
    }
    return;
  }
  for (int32_t row = 0; row < job->rows; row++) {
    for (int32_t i = 0; i < job->columns; i++) {
      job->inside[row * job->plane_step + i] = job->input[row * job->row_step + i * job->pixel];
    }
  }
}

static void run_group(const edgec_mve_patches *job, const uint32_t *patches, const uint16_t *place, int32_t band) {
  for (int32_t i = 0; i < 8; i++) {
    const int32_t at = i % 2 * 4 + i / 2; /* first half of the outputs in even places */
    const int8_t *const patch = job->plane + band * job->band_input + patches[at / job->outputs];
    const int8_t *const weights = job->weights + job->record[at % job->outputs];
    int32_t acc = job->epilogue[0];
    for (int32_t lane = 0; lane < EDGEC_MVE_BLOCK; lane++) {
      acc = edgec_mac(acc, patch[job->gather[lane]], weights[lane]);
    }
    job->output[band * job->band_output + place[i]] =
        edgec_requantize(acc, (int32_t)(2u * (uint32_t)job->epilogue[1]), job->shift, job->zero_point, job->low[0], job->high[0]);
  }
}

static void edgec_mve_run_patches(edgec_mve_patches *job) {
  for (; job->channels > 0; job->channels--) {
    copy_channel(job);
    for (int32_t band = 0; band < job->bands; band++) {
      for (int32_t group = 0; group < job->groups; group++) {
        if (job->outputs == 4) {
          const edgec_mve_group4 *const g = (const edgec_mve_group4 *)job->table + group;
          run_group(job, g->patch, g->place, band);
        } else {
          const edgec_mve_group2 *const g = (const edgec_mve_group2 *)job->table + group;
          run_group(job, g->patch, g->place, band);
        }
      }
    }
    job->input++;
    job->output++;
    job->weights += EDGEC_MVE_BLOCK;
    job->epilogue += 2;
  }
}

#endif

#endif
