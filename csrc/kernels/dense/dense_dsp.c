/* dense with the DSP extension: eight output features at a time straight from the row, then the rest in pairs.
 *
 * Weights, in constant[0]: for each eight features their biases, eight words (dsp.h) for every four inputs, their multipliers;
 * then for each pair of the rest its biases, its multipliers, two words for every four inputs. Inputs and features are padded
 * with zeros. Of 4-bit weights there is one word for two features, and behind the words of a block or a pair low halves of heads, then multipliers.
 * The row is unpacked again for every block: that is 5 instructions in 33, and a row of unpacked inputs would take more RAM than the layer itself.
 */
#include "../dsp.h"
#include "dense.h"

void edgec_s8_dense_8x1c4__dsp(const void *params, const edgec_operands *operands);
void edgec_s8w4_dense_8x1n4__dsp(const void *params, const edgec_operands *operands);

enum { BLOCK = 8 };

/* Blocks of one row; one member a word, in the order of the assembly's stack frame. */
typedef struct row_blocks {
  const int8_t *x, *x_end; /* whole words of the row */
  uintptr_t entry;         /* of the assembly */
  int32_t zero_point;
  int8_t *y;
  const int8_t *y_end;
  int32_t correction; /* of the even inputs, the same for every feature */
  int32_t correction_b; /* with 4-bit weights, of the second feature of a pair */
  int32_t has_tail;
  uint32_t tail; /* the bytes behind the last whole word, padded with zeros */
  const uint32_t *weights;
  int32_t shift; /* of the layer */
} row_blocks;

static int8_t requantized(const row_blocks *r, int32_t acc, uint32_t multiplier) {
  return (int8_t)edgec_ssat8(edgec_smmlar(edgec_scale_up(acc, r->shift), (int32_t)multiplier, r->zero_point));
}

/* What is left of the sums of two features with 4-bit weights, a's of both: accumulators. */
static void add_heads(int32_t *a, int32_t *b, uint32_t lows, const uint32_t *highs) {
  *a = edgec_wrapping_add((int32_t)((uint32_t)*a - (uint32_t)*b) >> 4, edgec_nibble_head(lows, highs, 0));
  *b = edgec_wrapping_add(*b, edgec_nibble_head(lows, highs, 1));
}

#if EDGEC_DSP

/* All blocks from y to y_end; returns the weights behind them. highs: high halves of heads, or null. */
const uint32_t *edgec_dsp_dense(const row_blocks *r);
const uint32_t *edgec_dsp_dense_nibbles(const row_blocks *r, const uint32_t *highs);

/* Four inputs to two features, whose words `load` brings to r4 and r5. */
#define DENSE_TWO(load, a, b) load \
  "smlad " a ", r4, r2, " a "\n" \
  "smlad " b ", r5, r2, " b "\n" \
  "sxtb16 r4, r4, ror #8\n"      \
  "sxtb16 r5, r5, ror #8\n"      \
  "smlad " a ", r4, r3, " a "\n" \
  "smlad " b ", r5, r3, " b "\n"

#define DENSE_STEP(load)         \
  "ldr.w r2, [r1], #4\n"         \
  "rev16.w r3, r2\n"             \
  "sxtb16 r2, r2\n"              \
  "eor.w r3, r3, #0x00800080\n"  \
  "eor.w r3, r3, #0xff00ff00\n"  \
  DENSE_TWO(load, "r6", "r7") DENSE_TWO(load, "r8", "r9") DENSE_TWO(load, "r10", "r11") DENSE_TWO(load, "r12", "lr")

#define DENSE_FINISH(acc, m, at)   \
  "smmlar " acc ", " acc ", " m ", r1\n" \
  "ssat " acc ", #8, " acc "\n"    \
  "strb " acc ", [r2, #" at "]\n"

/* The function for one form of weights: the registers from r1 to r12 hold the frame, which takes `frame` bytes; DENSE_STEPs take step_bytes;
 * `enter` may keep r1; `start` and `split` stand before and behind the sums of eight features.
 * Frame: x 0, x_end 4, entry 8, zero_point 12, y 16, y_end 20, correction 24, correction_b 28, has_tail 32, tail 36, weights 40,
 * shift 44; with 4-bit weights highs 48. */
#define DENSE_FUNCTION(name, frame, enter, step_bytes, load, start, split) \
  __asm__(EDGEC_DSP_BEGIN(name)             \
          "push {r4-r11, lr}\n"             \
          "sub sp, sp, #" #frame "\n" enter \
          "ldmia.w r0, {r1-r12}\n"          \
          "stmia.w sp, {r1-r12}\n"          \
          "mov r0, r11\n"                   \
          "subs r2, r2, r1\n" /* 4 * words */ \
          "lsrs r2, r2, #2\n"               \
          "negs r2, r2\n"                   \
          "and r2, r2, #3\n"                \
          "adr r3, 2f\n"                    \
          "movs r4, #" #step_bytes "\n"     \
          "mla r2, r2, r4, r3\n"            \
          "adds r2, r2, #1\n"               \
          "str r2, [sp, #8]\n"              \
          "1:\n" start                      \
          "ldr r1, [sp]\n"                  \
          "ldr pc, [sp, #8]\n"              \
          ".p2align 2\n"                    \
          "2:\n" DENSE_STEP(load) DENSE_STEP(load) DENSE_STEP(load) DENSE_STEP(load) \
          "ldr r2, [sp, #4]\n"              \
          "cmp r1, r2\n"                    \
          "bne.w 2b\n"                      \
          "ldr r2, [sp, #32]\n"             \
          "cmp r2, #0\n"                    \
          "beq 3f\n"                        \
          "add r1, sp, #36\n" DENSE_STEP(load) \
          "3:\n" split                      \
          "ldr r2, [sp, #44]\n"             \
          "cmp r2, #0\n"                    \
          "bne.w 5f\n"                      \
          "4:\n"                            \
          "ldrd r1, r2, [sp, #12]\n"        \
          "ldmia r0!, {r3, r4, r5}\n"       \
          DENSE_FINISH("r6", "r3", "0") DENSE_FINISH("r7", "r4", "1") DENSE_FINISH("r8", "r5", "2")   \
          "ldmia r0!, {r3, r4, r5, r6, r7}\n" \
          DENSE_FINISH("r9", "r3", "3") DENSE_FINISH("r10", "r4", "4") DENSE_FINISH("r11", "r5", "5") \
          DENSE_FINISH("r12", "r6", "6") DENSE_FINISH("lr", "r7", "7") \
          "adds r2, r2, #8\n"               \
          "ldr r3, [sp, #20]\n"             \
          "str r2, [sp, #16]\n"             \
          "cmp r2, r3\n"                    \
          "bne.w 1b\n"                      \
          "add sp, sp, #" #frame "\n"       \
          "pop {r4-r11, pc}\n"              \
          "5:\n"                            \
          EDGEC_DSP_DOUBLE_EIGHT            \
          "subs r2, r2, #1\n"               \
          "bne 5b\n"                        \
          "b 4b\n" EDGEC_DSP_END(name))

#define DENSE_START              \
  "ldmia.w r0!, {r6-r12, lr}\n"  \
  "ldr r2, [sp, #24]\n"          \
  "add r6, r6, r2\n"             \
  "add r7, r7, r2\n"             \
  "add r8, r8, r2\n"             \
  "add r9, r9, r2\n"             \
  "add r10, r10, r2\n"           \
  "add r11, r11, r2\n"           \
  "add r12, r12, r2\n"           \
  "add lr, lr, r2\n"

/* 33 instructions a step. */
DENSE_FUNCTION(edgec_dsp_dense, 48, "", 132, "ldrd r4, r5, [r0], #8\n", DENSE_START, "");

#define NIBBLE_START             \
  "ldrd r6, r7, [sp, #24]\n"     \
  "ldrd r8, r9, [sp, #24]\n"     \
  "ldrd r10, r11, [sp, #24]\n"   \
  "ldrd r12, lr, [sp, #24]\n"
#define NIBBLE_LOAD "ldr r4, [r0], #4\nand r5, r4, #0x0f0f0f0f\n"
#define NIBBLE_HEADS(a, b)       \
  "ldr r2, [r0], #4\n"           \
  "ldr r3, [r1], #4\n"           \
  "pkhbt r4, r2, r3, lsl #16\n"  \
  "pkhtb r3, r3, r2, asr #16\n"  \
  "add " a ", r4\n"              \
  "add " b ", r3\n"
#define NIBBLE_SPLIT             \
  "sub r6, r6, r7\n"             \
  "sub r8, r8, r9\n"             \
  "sub r10, r10, r11\n"          \
  "sub r12, r12, lr\n"           \
  "asr r6, r6, #4\n"             \
  "asr r8, r8, #4\n"             \
  "asr r10, r10, #4\n"           \
  "asr r12, r12, #4\n"           \
  "ldr r1, [sp, #48]\n"          \
  "cbz r1, 6f\n" NIBBLE_HEADS("r6", "r7") NIBBLE_HEADS("r8", "r9") NIBBLE_HEADS("r10", "r11") NIBBLE_HEADS("r12", "lr") \
  "str r1, [sp, #48]\n"          \
  "b 7f\n"                       \
  "6:\n"                         \
  "ldmia r0!, {r2-r5}\n"         \
  "sxtah r6, r6, r2\n"           \
  "sxtah r7, r7, r2, ror #16\n"  \
  "sxtah r8, r8, r3\n"           \
  "sxtah r9, r9, r3, ror #16\n"  \
  "sxtah r10, r10, r4\n"         \
  "sxtah r11, r11, r4, ror #16\n" \
  "sxtah r12, r12, r5\n"         \
  "sxtah lr, lr, r5, ror #16\n"  \
  "7:\n"

/* 37 instructions a step. */
DENSE_FUNCTION(edgec_dsp_dense_nibbles, 52, "str r1, [sp, #48]\n", 148, NIBBLE_LOAD, NIBBLE_START, NIBBLE_SPLIT);

#else

static const uint32_t *run_blocks(const row_blocks *r, const uint32_t *highs, int nibbles) {
  const uint32_t *w = r->weights;
  for (int8_t *y = r->y; y != r->y_end; y += BLOCK) {
    int32_t acc[BLOCK];
    for (int32_t i = 0; i < BLOCK; i++) {
      acc[i] = nibbles ? (i % 2 != 0 ? r->correction_b : r->correction) : edgec_wrapping_add((int32_t)*w++, r->correction);
    }
    const int32_t words = (int32_t)(r->x_end - r->x) / 4;
    for (int32_t k = 0; k < words + r->has_tail; k++) {
      const uint32_t word = k == words ? r->tail : edgec_load_word(r->x + 4 * k);
      for (int32_t i = 0; i < BLOCK; i++) {
        const uint32_t weights = nibbles && i % 2 != 0 ? *w & 0x0f0f0f0fu : *w;
        acc[i] = edgec_smlad(weights, edgec_sxtb16(word), acc[i]);
        acc[i] = edgec_smlad(edgec_sxtb16_high(weights), edgec_odd(word), acc[i]);
        w += nibbles ? i % 2 : 1;
      }
    }
    for (int32_t i = 0; nibbles && i < BLOCK; i += 2) {
      add_heads(acc + i, acc + i + 1, *w++, highs);
      highs += highs != NULL;
    }
    for (int32_t i = 0; i < BLOCK; i++) {
      y[i] = requantized(r, acc[i], *w++);
    }
  }
  return w;
}

static const uint32_t *edgec_dsp_dense(const row_blocks *r) { return run_blocks(r, NULL, 0); }

static const uint32_t *edgec_dsp_dense_nibbles(const row_blocks *r, const uint32_t *highs) { return run_blocks(r, highs, 1); }

#endif

/* The features behind the last block, `count` of them; nibbles: of weights of 4 bits. */
EDGEC_COPIED void run_pairs(const row_blocks *r, const uint32_t *w, const uint32_t *highs, int8_t *y, int32_t count, int nibbles) {
  for (int32_t n = 0; n < count; n += 2) {
    const uint32_t *multiplier = w + 2;
    const int8_t *x = r->x;
    int32_t a = nibbles ? r->correction : edgec_wrapping_add((int32_t)w[0], r->correction);
    int32_t b = nibbles ? r->correction_b : edgec_wrapping_add((int32_t)w[1], r->correction);
    w += nibbles ? 0 : 4;
    for (int32_t tail = 0; tail <= r->has_tail; tail++) {
      const int8_t *const end = tail ? (const int8_t *)(&r->tail + 1) : r->x_end;
      for (x = tail ? (const int8_t *)&r->tail : x; x != end; x += 4) {
        const uint32_t word = edgec_load_word(x);
        const uint32_t even = edgec_sxtb16(word);
        const uint32_t odd = edgec_odd(word);
        const uint32_t second = nibbles ? w[0] & 0x0f0f0f0fu : w[1];
        a = edgec_smlad(w[0], even, a);
        b = edgec_smlad(second, even, b);
        a = edgec_smlad(edgec_sxtb16_high(w[0]), odd, a);
        b = edgec_smlad(edgec_sxtb16_high(second), odd, b);
        w += nibbles ? 1 : 2;
      }
    }
    if (nibbles) {
      add_heads(&a, &b, *w, highs);
      highs += highs != NULL;
      multiplier = w + 1;
      w += 3;
    }
    y[n] = requantized(r, a, multiplier[0]);
    if (n + 1 < count) {
      y[n + 1] = requantized(r, b, multiplier[1]);
    }
  }
}

/* Of the second feature of a pair. */
static int32_t row_correction(const row_blocks *r) {
  int32_t odd = r->has_tail ? edgec_smlad(edgec_odd(r->tail), 0x00010001u, 0) : 0;
  for (const int8_t *x = r->x; x != r->x_end; x += 4) {
    odd = edgec_smlad(edgec_odd(edgec_load_word(x)), 0x00010001u, odd);
  }
  return edgec_nibble_correction(odd, r->correction);
}

EDGEC_COPIED void run_rows(const edgec_dense_params *p, const edgec_operands *operands, int nibbles) {
  const int32_t left = p->in_features % 4;
  const int32_t blocks = p->out_features / BLOCK;
  int8_t *y = operands->output[0];
  for (int32_t row = 0; row < p->rows; row++) {
    row_blocks r;
    r.x = operands->input[0] + row * p->in_features;
    r.x_end = r.x + p->in_features - left;
    r.entry = 0;
    r.zero_point = p->out_zero_point;
    r.y = y;
    r.y_end = y + BLOCK * blocks;
    r.has_tail = left != 0;
    r.tail = 0;
    r.weights = operands->constant[0];
    r.shift = p->shift;
    memcpy(&r.tail, r.x_end, (size_t)left);
    r.correction = edgec_smlad(edgec_sxtb16(r.tail), EDGEC_EVEN_CORRECTION, 0);
    for (const int8_t *x = r.x; x != r.x_end; x += 4) {
      r.correction = edgec_smlad(edgec_sxtb16(edgec_load_word(x)), EDGEC_EVEN_CORRECTION, r.correction);
    }
    r.correction_b = 0;
    if (nibbles) {
      r.correction_b = row_correction(&r);
      r.correction = edgec_wrapping_add(r.correction, r.correction_b);
    }
    const uint32_t *highs = nibbles ? operands->constant[1] : NULL;
    if (blocks != 0) {
      r.weights = nibbles ? edgec_dsp_dense_nibbles(&r, highs) : edgec_dsp_dense(&r);
    }
    highs = highs != NULL ? highs + BLOCK / 2 * blocks : NULL;
    run_pairs(&r, r.weights, highs, y + BLOCK * blocks, p->out_features - BLOCK * blocks, nibbles);
    y += p->out_features;
  }
  edgec_clamp_bytes(operands->output[0], p->rows * p->out_features, p->clamp_min, p->clamp_max);
}

void edgec_s8_dense_8x1c4__dsp(const void *params, const edgec_operands *operands) { run_rows(params, operands, 0); }

void edgec_s8w4_dense_8x1n4__dsp(const void *params, const edgec_operands *operands) { run_rows(params, operands, 1); }

static int check_rows(const edgec_dense_params *p, const edgec_sizes *s, uint32_t words_of_two) {
  edgec_sizes canonical = *s;
  if (s->param_count != sizeof *p / 4 || !edgec_within(p->shift, 0, EDGEC_DSP_MAX_SHIFT) || !edgec_within(p->in_features, 4, 0xfffff) ||
      !edgec_within(p->out_features, 1, 0xfffff) || s->constant[2] != 0u) {
    return 0;
  }
  const uint64_t words = ((uint32_t)p->in_features + 3u) / 4u;
  const uint32_t pairs = ((uint32_t)p->out_features + 1u) / 2u;
  const uint32_t others = words_of_two == 1u ? 3u : 4u; /* words of biases and multipliers of two features */
  if (s->constant[0] != pairs * 4u * (words_of_two * words + others) ||
      (s->constant[1] != 0u && (words_of_two != 1u || s->constant[1] != 4u * pairs))) {
    return 0;
  }
  canonical.constant[1] = 4u * (uint32_t)p->out_features;
  canonical.constant[2] = 4u * (uint32_t)p->out_features;
  if (words_of_two == 1u) {
    canonical.constant[0] = edgec_area(p->out_features, (p->in_features + 1) / 2);
    canonical.constant[1] = 2u * (uint32_t)p->out_features;
    return (uint32_t)p->in_features < EDGEC_NIBBLE_TAPS && edgec_dense_nibbles_check(p, &canonical);
  }
  canonical.constant[0] = edgec_area(p->out_features, p->in_features);
  return edgec_dense_check(p, &canonical);
}

static int check_dense(const void *params, const edgec_sizes *s) { return check_rows(params, s, 2); }

static int check_dense_nibbles(const void *params, const edgec_sizes *s) { return check_rows(params, s, 1); }

const edgec_kernel edgec_s8w4_dense_8x1n4__dsp_kernel = {0x0390, 1, edgec_s8w4_dense_8x1n4__dsp, check_dense_nibbles};

const edgec_kernel edgec_s8_dense_8x1c4__dsp_kernel = {0x0310, 1, edgec_s8_dense_8x1c4__dsp, check_dense};
