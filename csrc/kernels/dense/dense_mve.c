/* dense with Helium (Armv8.1-M MVE): eight output features by one row, weights walked once by one pointer.
 *
 * Packed stream of eight features: eight int32 biases, then for each 16 input features 8 x 16 weights, then eight int32
 * multipliers, halved, those of features 0, 2, 4, 6 first. Of 4-bit weights there are 4 x 16 bytes: the high halves hold those of the
 * even features, the low halves those of the odd ones plus 8. Bytes as they are sum up 16 times an even feature and the odd one,
 * masked with 15 the odd one and 8 times the sum of all inputs, which is taken off behind; a program of 4-bit weights keeps
 * accumulators within 28 bits. As in conv_mve_pairs.h, one VQRDMLASH is the whole requantization,
 * and eight accumulators are all the even registers.
 */
#include "../fixed.h"
#include "../mve.h"
#include "../nibbles.h"
#include "dense.h"

void edgec_s8_dense_8x1c16__mve(const void *params, const edgec_operands *operands);
void edgec_s8w4_dense_8x1n16__mve(const void *params, const edgec_operands *operands);

enum { FEATURES = 8 };

/* Byte offsets are known to the assembly below. */
typedef struct dense_row {
  int32_t zero_point;    /* 0: of the output */
  const int8_t *input;   /* 4 */
  int32_t blocks;        /* 8: 16-byte blocks of a row */
  int32_t entry;         /* 12: set by the assembly, in its own copy */
  const int8_t *weights; /* 16 */
  int32_t features;      /* 20 */
  int8_t *output;        /* 24 */
  int32_t shift;         /* 28 */
  int32_t low[4];        /* 32: clamp bounds in every 16-bit lane */
  int32_t high[4];       /* 48 */
  int32_t mask[4];       /* 64: minus 2^shift in every lane */
  int32_t correction;    /* 80: of odd features with 4-bit weights: -8 times the sum of the row */
} dense_row;

#if defined(__ARM_FEATURE_MVE)

typedef char assert_row_layout[sizeof(dense_row) == 84 ? 1 : -1];

/* Every instruction is four bytes: ENTER counts on it. */
#define STEP(register, vector) "vldrw.u32 " vector ", [r1], #16\nvmladava.s8 " register ", q0, " vector "\n"
#define BLOCK                                                                                               \
  "vldrb.u8 q0, [r3], #16\n" STEP("r0", "q1") STEP("r2", "q2") STEP("r4", "q3") STEP("r6", "q4") STEP("r8", "q1") \
      STEP("r10", "q2") STEP("r12", "q3") STEP("lr", "q4")

/* r0: the row. r1 weights, r3 input, r5 its start, r7 output, r9 blocks left, r11 features left. */
#define ENTER(block_bytes)    \
  "push {r4-r11, lr}\n"       \
  "vpush {d8-d15}\n"          \
  "sub sp, sp, #32\n"         \
  "vldrh.u16 q6, [r0, #32]\n" \
  "vldrh.u16 q7, [r0, #48]\n" \
  "vldrw.u32 q5, [r0, #64]\n" \
  "ldrd r1, r11, [r0, #16]\n" \
  "ldrd r7, r8, [r0, #24]\n"  \
  "ldrd r4, r5, [r0]\n"       \
  "ldr r2, [r0, #8]\n"        \
  "strd r4, r8, [sp]\n"       \
  EDGEC_MVE_PAIRS_ENTRY(block_bytes) \
  "strd r2, r4, [sp, #8]\n"

#define WALK(block)                             \
  "20:\n"                                       \
  "ldm r1!, {r0, r2, r4, r6, r8, r10, r12, lr}\n" \
  "mov r3, r5\n"                                \
  "ldr r9, [sp, #8]\n"                          \
  "ldr pc, [sp, #12]\n"                         \
  "30:\n"                                       \
  ".rept 4\n" block ".endr\n"                   \
  "subs r9, r9, #1\n"                           \
  "bgt 30b\n"                                   \
  "vmov q0[2], q0[0], r0, r8\n"                 \
  "vldrw.u32 q2, [r1], #16\n"                   \
  "vmov q0[3], q0[1], r4, r12\n"                \
  "vldrw.u32 q3, [r1], #16\n"                   \
  "vmov q1[2], q1[0], r2, r10\n"                \
  "ldrd r0, r8, [sp]\n"                         \
  "vmov q1[3], q1[1], r6, lr\n"

#define SHIFT             \
  "vqshl.s32 q0, r8\n"    \
  "vqshl.s32 q1, r8\n"    \
  "vand q0, q0, q5\n"     \
  "vand q1, q1, q5\n"

#define LEAVE(frame)             \
  "vqrdmlash.s32 q0, q2, r0\n"   \
  "vqrdmlash.s32 q1, q3, r0\n"   \
  "vqmovnb.s32 q0, q0\n"         \
  "vqmovnt.s32 q0, q1\n"         \
  "vmax.s16 q0, q0, q6\n"        \
  "vmin.s16 q0, q0, q7\n"        \
  "vctp.16 r11\n"                \
  "vpst\n"                       \
  "vstrbt.16 q0, [r7], #8\n"     \
  "subs r11, r11, #8\n"          \
  "bgt 20b\n"                    \
  "add sp, sp, #" frame "\n"     \
  "vpop {d8-d15}\n"              \
  "pop {r4-r11, pc}\n"

EDGEC_MVE_FUNCTION(edgec_mve_dense_plain, (const dense_row *row), ENTER(68) WALK(BLOCK) LEAVE("32"))
EDGEC_MVE_FUNCTION(edgec_mve_dense_shifted, (const dense_row *row), ENTER(68) WALK(BLOCK) SHIFT LEAVE("32"))

/* As many instructions; q4 is the mask, and the stack has the correction behind what ENTER puts there. */
#define NIBBLES(even, odd) \
  "vldrw.u32 q1, [r1], #16\nvmladava.s8 " even ", q0, q1\nvand q1, q1, q4\nvmladava.s8 " odd ", q0, q1\n"
#define NIBBLES_BLOCK "vldrb.u8 q0, [r3], #16\n" NIBBLES("r0", "r2") NIBBLES("r4", "r6") NIBBLES("r8", "r10") NIBBLES("r12", "lr")
#define NIBBLES_ENTER ENTER(68) "ldr r2, [r0, #80]\nsub sp, sp, #16\nldrd r3, r4, [sp, #16]\nldrd r6, r8, [sp, #24]\n" \
  "strd r3, r4, [sp]\nstrd r6, r8, [sp, #8]\nstr r2, [sp, #16]\nvmov.i8 q4, #15\n"
#define NIBBLES_SPLIT \
  "ldr r9, [sp, #16]\nvsub.i32 q0, q0, q1\nvshr.s32 q0, q0, #4\nvadd.i32 q1, q1, r9\n"

EDGEC_MVE_FUNCTION(edgec_mve_dense_nibbles_plain, (const dense_row *row), NIBBLES_ENTER WALK(NIBBLES_BLOCK) NIBBLES_SPLIT LEAVE("48"))
EDGEC_MVE_FUNCTION(edgec_mve_dense_nibbles_shifted, (const dense_row *row), NIBBLES_ENTER WALK(NIBBLES_BLOCK) NIBBLES_SPLIT SHIFT LEAVE("48"))

static void run_row_nibbles(const dense_row *row) {
  if (row->shift != 0) {
    edgec_mve_dense_nibbles_shifted(row);
  } else {
    edgec_mve_dense_nibbles_plain(row);
  }
}

static int32_t sum_of(const int8_t *x, int32_t count) {
  register int32_t sum __asm__("r0") = 0;
  __asm__("wlstp.8 lr, %[n], 2f\n"
          "1: vldrb.u8 q0, [%[x]], #16\n"
          "vaddva.s8 %[sum], q0\n"
          "letp lr, 1b\n"
          "2:\n"
          : [sum] "+r"(sum), [x] "+r"(x)
          : [n] "r"(count)
          : "q0", "lr", "memory");
  return sum;
}

static void run_row(const dense_row *row) {
  if (row->shift != 0) {
    edgec_mve_dense_shifted(row);
  } else {
    edgec_mve_dense_plain(row);
  }
}

#else

static int32_t sum_of(const int8_t *x, int32_t count) {
  int32_t sum = 0;
  for (int32_t i = 0; i < count; i++) {
    sum += x[i];
  }
  return sum;
}

/* Feature n of the eight at `stream` from its accumulator. */
static int8_t finished(const dense_row *row, const int8_t *multipliers, int32_t n, int32_t acc) {
  const int32_t multiplier = (int32_t)(2u * (uint32_t)edgec_mve_word(multipliers + 4 * (n / 2 + n % 2 * 4)));
  return edgec_requantize(acc, multiplier, row->shift, row->zero_point, (int16_t)row->low[0], (int16_t)row->high[0]);
}

static void run_portable(const dense_row *row, int nibbles) {
  const int32_t step = (nibbles ? FEATURES / 2 : (int32_t)FEATURES) * EDGEC_MVE_BLOCK; /* bytes for 16 inputs */
  const int8_t *stream = row->weights;
  for (int32_t first = 0; first < row->features; first += FEATURES) {
    const int8_t *const multipliers = stream + 4 * FEATURES + row->blocks * step;
    int8_t result[FEATURES]; /* stored together, as the assembly does: the output may overlap the input */
    for (int32_t n = 0; n < FEATURES; n += 2) {
      const int8_t *const w = stream + 4 * FEATURES + (nibbles ? n / 2 : n) * EDGEC_MVE_BLOCK;
      int32_t even = edgec_mve_word(stream + 4 * n); /* with nibbles 16 times the even feature and the odd one */
      int32_t odd = edgec_mve_word(stream + 4 * (n + 1));
      for (int32_t k = 0; k < row->blocks * EDGEC_MVE_BLOCK; k++) {
        const int8_t *const at = w + k / EDGEC_MVE_BLOCK * step + k % EDGEC_MVE_BLOCK;
        even = edgec_mac(even, row->input[k], *at);
        odd = edgec_mac(odd, row->input[k], nibbles ? *at & 15 : at[EDGEC_MVE_BLOCK]);
      }
      if (nibbles) {
        even = (int32_t)((uint32_t)even - (uint32_t)odd) >> 4;
        odd = edgec_wrapping_add(odd, row->correction);
      }
      result[n] = finished(row, multipliers, n, even);
      result[n + 1] = finished(row, multipliers, n + 1, odd);
    }
    for (int32_t n = 0; n < FEATURES && first + n < row->features; n++) {
      row->output[first + n] = result[n];
    }
    stream = multipliers + 4 * FEATURES;
  }
}

static void run_row(const dense_row *row) { run_portable(row, 0); }

static void run_row_nibbles(const dense_row *row) { run_portable(row, 1); }

#endif

static int32_t in_both_halves(int32_t value) { return (int32_t)(((uint32_t)value & 0xffffu) * 0x10001u); }

/* nibbles: weights have 4 bits. */
EDGEC_COPIED void run_rows(const edgec_dense_params *p, const edgec_operands *operands, int nibbles) {
  dense_row row;
  row.zero_point = p->out_zero_point;
  row.blocks = edgec_mve_round_up(p->in_features, EDGEC_MVE_BLOCK) / EDGEC_MVE_BLOCK;
  row.entry = 0;
  row.weights = operands->constant[0];
  row.features = p->out_features;
  row.shift = p->shift;
  for (int32_t i = 0; i < 4; i++) {
    row.low[i] = in_both_halves(p->clamp_min);
    row.high[i] = in_both_halves(p->clamp_max);
    row.mask[i] = -(int32_t)((uint32_t)1 << p->shift);
  }
  for (int32_t i = 0; i < p->rows; i++) {
    row.input = operands->input[0] + i * p->in_features;
    row.output = operands->output[0] + i * p->out_features;
    if (p->in_features % EDGEC_MVE_BLOCK != 0) { /* the last block would read beyond the row */
      edgec_mve_copy(operands->scratch, row.input, p->in_features);
      row.input = operands->scratch;
    }
    if (nibbles) {
      row.correction = -8 * sum_of(row.input, p->in_features);
      run_row_nibbles(&row);
    } else {
      run_row(&row);
    }
  }
}

void edgec_s8_dense_8x1c16__mve(const void *params, const edgec_operands *operands) { run_rows(params, operands, 0); }

void edgec_s8w4_dense_8x1n16__mve(const void *params, const edgec_operands *operands) { run_rows(params, operands, 1); }

/* feature_bytes: of a feature's weights for 16 inputs. */
static int check_stream(const edgec_dense_params *p, const edgec_sizes *sizes, uint32_t feature_bytes) {
  edgec_sizes canonical = *sizes;
  if (sizes->param_count != sizeof *p / 4 || !edgec_within(p->in_features, 1, 0xfffff) ||
      !edgec_within(p->out_features, 1, 0xfffff)) {
    return 0;
  }
  const uint32_t padded = ((uint32_t)p->in_features + 15u) / 16u * 16u;
  const uint64_t stream = ((uint64_t)(uint32_t)p->out_features + 7u) / 8u * (64u + padded / 2u * feature_bytes);
  const uint32_t scratch = p->in_features % EDGEC_MVE_BLOCK != 0 ? padded : 0u;
  if (sizes->constant[0] != stream || sizes->constant[1] != 0u || sizes->constant[2] != 0u || sizes->scratch != scratch) {
    return 0;
  }
  canonical.constant[1] = (uint32_t)p->out_features * 4u;
  canonical.constant[2] = (uint32_t)p->out_features * 4u;
  if (feature_bytes == 8u) {
    canonical.constant[0] = edgec_area(p->out_features, (p->in_features + 1) / 2);
    canonical.constant[1] = (uint32_t)p->out_features * 2u;
    return edgec_dense_nibbles_check(p, &canonical);
  }
  canonical.constant[0] = edgec_area(p->out_features, p->in_features);
  return edgec_dense_check(p, &canonical);
}

static int check(const void *params, const edgec_sizes *sizes) { return check_stream(params, sizes, 16u); }

static int check_nibbles(const void *params, const edgec_sizes *sizes) { return check_stream(params, sizes, 8u); }

const edgec_kernel edgec_s8w4_dense_8x1n16__mve_kernel = {0x03c0, 1, edgec_s8w4_dense_8x1n16__mve, check_nibbles};

const edgec_kernel edgec_s8_dense_8x1c16__mve_kernel = {0x0340, 1, edgec_s8_dense_8x1c16__mve, check};
