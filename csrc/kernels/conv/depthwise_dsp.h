/* Depthwise 3x3, stride 1 or 2: two channels at a time into planes of int16 pairs, then 2x2 outputs a block.
 *
 * A plane holds the padded rows of a strip column by column: word (j, r) has the pixels 2j and 2j + 1 of row r, so that the rows
 * of a block lie side by side. Strips keep scratch small; the rows that the next strip needs again are moved, not read again,
 * so that the output may lie exactly over the input: a channel's bytes are overwritten only once they are in its plane.
 *
 * Included by conv_dsp.c alone.
 */
#ifndef EDGEC_DEPTHWISE_DSP_H
#define EDGEC_DEPTHWISE_DSP_H

#include "../dsp.h"
#include "conv.h"

enum {
  PLANE_BUDGET = 3072,      /* bytes of both planes, unless two rows of outputs need more */
  DEPTHWISE_CHANNEL_WORDS = 5, /* bias, multiplier, and for each kernel row [w0, w1, w1, w2] */
  DEPTHWISE_NIBBLE_SHIFT = 4
};

/* The geometry of planes and strips. */
typedef struct strips {
  int32_t columns;     /* words across */
  int32_t rows;        /* padded rows of a strip */
  int32_t out_rows;    /* output rows of a strip, even but for the last one */
  int32_t plane_words;
} strips;

static strips strips_of(const edgec_depthwise_conv2d_params *p) {
  strips s;
  const int32_t pairs = (p->out_w + 1) / 2;
  s.columns = p->stride_w * pairs + 1;
  const int32_t budget_rows = PLANE_BUDGET / (8 * s.columns);
  const int32_t fit = budget_rows < 3 ? 0 : ((budget_rows - 3) / p->stride_h + 1) & ~1;
  const int32_t all = (p->out_h + 1) & ~1;
  s.out_rows = fit < 2 ? 2 : fit;
  if (s.out_rows > all) {
    s.out_rows = all;
  }
  s.rows = (s.out_rows - 1) * p->stride_h + 3;
  s.plane_words = s.columns * s.rows;
  return s;
}

/* A rectangle of blocks. */
typedef struct region {
  int32_t right;        /* bytes from an output to the one on its right; 0: there is none, and only the left ones are wanted */
  int32_t columns;      /* of blocks */
  int32_t y_offset;     /* bytes to the first output */
  int32_t below;        /* bytes from an output to the one below; 0: that one is not wanted */
  int32_t plane_offset; /* bytes to the first word */
  int32_t read_bytes;   /* of a column of the plane: rows of blocks times rows a block moves on */
} region;

/* What is the same for all channels of a strip: whole blocks, and those that hang over the right or lower edge. */
typedef struct strip {
  int32_t zero_point;
  int32_t step;         /* bytes down two rows of outputs */
  int32_t column_bytes; /* of the plane */
  int32_t regions;
  region region[4];
} strip;

/* Two channels of pixel pairs to two planes. */
typedef struct pixel_pairs {
  uint32_t *to;
  const int8_t *from;
  int32_t pixel, pitch;              /* bytes from a pixel to its neighbour, and down a row */
  int32_t rows, columns;             /* at least 1 */
  int32_t column_bytes, plane_bytes; /* of the planes */
} pixel_pairs;

#if EDGEC_DSP

/* One channel of a strip. channel: DEPTHWISE_CHANNEL_WORDS. */
void edgec_dsp_depthwise_s1(const strip *s, const uint32_t *channel, const uint32_t *plane, int8_t *y);
void edgec_dsp_depthwise_s2(const strip *s, const uint32_t *channel, const uint32_t *plane, int8_t *y);

/* Frame: multiplier 0, zero_point 4, right 8, y_below 12, y 16, step 20, end 24, bias 28, column_bytes 32, columns 36,
 * y_column 40, below 44, column of the plane 48, read_bytes 52, next region 56, regions 60, plane 64, y of the strip 68.
 * Accumulators r4-r7, weights from r8; (w1, w2) of the rows in r5-r7 until they are moved. */
#define BLOCKS_ENTER             \
  "push {r4-r11, lr}\n"          \
  "sub sp, sp, #72\n"            \
  "strd r2, r3, [sp, #64]\n"     \
  "ldmia r0!, {r2, r3, r4, r5}\n" \
  "str r2, [sp, #4]\n"           \
  "str r3, [sp, #20]\n"          \
  "str r4, [sp, #32]\n"          \
  "strd r0, r5, [sp, #56]\n"     \
  "ldmia.w r1, {r2-r6}\n"        \
  "str r2, [sp, #28]\n"          \
  "str r3, [sp]\n"               \
  "sxtb16 r8, r4\n"              \
  "sxtb16 r9, r5\n"              \
  "sxtb16 r10, r6\n"

/* r0: this column of the plane; r1 the next; r2 column_bytes; the flags say whether `right` is 0. */
#define BLOCKS_COLUMN            \
  "0:\n"                         \
  "ldr r0, [sp, #56]\n"          \
  "ldr r7, [sp, #68]\n"          \
  "ldmia r0!, {r1, r2, r3, r4, r5, r6}\n" \
  "str r0, [sp, #56]\n"          \
  "ldr r0, [sp, #64]\n"          \
  "add r3, r3, r7\n"             \
  "add r5, r5, r0\n"             \
  "str r1, [sp, #8]\n"           \
  "str r2, [sp, #36]\n"          \
  "strd r3, r4, [sp, #40]\n"     \
  "strd r5, r6, [sp, #48]\n"     \
  "1:\n"                         \
  "ldrd r0, r3, [sp, #48]\n"     \
  "ldr r2, [sp, #32]\n"          \
  "ldrd r4, r5, [sp, #40]\n"     \
  "ldr r6, [sp, #8]\n"           \
  "add r3, r3, r0\n"             \
  "add r1, r0, r2\n"             \
  "str r3, [sp, #24]\n"          \
  "add r5, r5, r4\n"             \
  "strd r5, r4, [sp, #12]\n"     \
  "add r4, r4, r6, lsl #1\n"     \
  "str r4, [sp, #40]\n"

/* The lower outputs first and the right ones before the left: with right or below 0 the wanted one is written last. */
#define BLOCKS_STORE             \
  "ldrd r2, r3, [sp]\n"          \
  "smmlar r4, r4, r2, r3\n"      \
  "smmlar r5, r5, r2, r3\n"      \
  "smmlar r6, r6, r2, r3\n"      \
  "smmlar r7, r7, r2, r3\n"      \
  "ldrd r2, r3, [sp, #8]\n"      \
  "ssat r4, #8, r4\n"            \
  "ssat r5, #8, r5\n"            \
  "ssat r6, #8, r6\n"            \
  "ssat r7, #8, r7\n"            \
  "strb r7, [r3, r2]\n"          \
  "strb r6, [r3]\n"              \
  "ldrd r6, r7, [sp, #16]\n"     \
  "strb r5, [r6, r2]\n"          \
  "strb r4, [r6]\n"              \
  "add r3, r3, r7\n"             \
  "add r6, r6, r7\n"             \
  "strd r3, r6, [sp, #12]\n"     \
  "ldr r2, [sp, #24]\n"          \
  "cmp r0, r2\n"                 \
  "bne 2b\n"                     \
  "ldr r2, [sp, #36]\n"          \
  "subs r2, r2, #1\n"            \
  "str r2, [sp, #36]\n"          \
  "bne 1b\n"                     \
  "3:\n"                         \
  "ldr r2, [sp, #60]\n"          \
  "subs r2, r2, #1\n"            \
  "str r2, [sp, #60]\n"          \
  "bne.w 0b\n"                   \
  "add sp, sp, #72\n"            \
  "pop {r4-r11, pc}\n"

/* Weights (w0, w1) of the three rows in r8-r10, (w1, w2) in r11, r12, lr. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_depthwise_s1) BLOCKS_ENTER
        "sxtb16 r11, r4, ror #8\n"
        "sxtb16 r12, r5, ror #8\n"
        "sxtb16 lr, r6, ror #8\n" BLOCKS_COLUMN
        "str r1, [sp, #48]\n"
        "cmp r6, #0\n"
        "beq.w 4f\n"
        "2:\n"
        "ldrd r2, r3, [r0], #8\n"
        "ldr r6, [sp, #28]\n"
        "smlad r4, r2, r8, r6\n"
        "smlatb r5, r2, r8, r6\n"
        "smlatb r7, r3, r8, r6\n"
        "smlad r6, r3, r8, r6\n"
        "smlad r4, r3, r9, r4\n"
        "smlatb r5, r3, r9, r5\n"
        "ldrd r2, r3, [r0]\n"
        "smlad r4, r2, r10, r4\n"
        "smlatb r5, r2, r10, r5\n"
        "smlad r6, r2, r9, r6\n"
        "smlatb r7, r2, r9, r7\n"
        "smlad r6, r3, r10, r6\n"
        "smlatb r7, r3, r10, r7\n"
        "ldrd r2, r3, [r1], #8\n"
        "smlabt r4, r2, r11, r4\n"
        "smlad r5, r2, r11, r5\n"
        "smlabt r6, r3, r11, r6\n"
        "smlad r7, r3, r11, r7\n"
        "smlabt r4, r3, r12, r4\n"
        "smlad r5, r3, r12, r5\n"
        "ldrd r2, r3, [r1]\n"
        "smlabt r4, r2, lr, r4\n"
        "smlad r5, r2, lr, r5\n"
        "smlabt r6, r2, r12, r6\n"
        "smlad r7, r2, r12, r7\n"
        "smlabt r6, r3, lr, r6\n"
        "smlad r7, r3, lr, r7\n" BLOCKS_STORE
        "4:\n" /* a column of which only the left outputs are wanted: it is the only one */
        "ldrd r2, r3, [r0], #8\n"
        "ldr r6, [sp, #28]\n"
        "smlad r4, r2, r8, r6\n"
        "smlad r6, r3, r8, r6\n"
        "smlad r4, r3, r9, r4\n"
        "ldrd r2, r3, [r0]\n"
        "smlad r4, r2, r10, r4\n"
        "smlad r6, r2, r9, r6\n"
        "smlad r6, r3, r10, r6\n"
        "ldrd r2, r3, [r1], #8\n"
        "smlabt r4, r2, r11, r4\n"
        "smlabt r6, r3, r11, r6\n"
        "smlabt r4, r3, r12, r4\n"
        "ldrd r2, r3, [r1]\n"
        "smlabt r4, r2, lr, r4\n"
        "smlabt r6, r2, r12, r6\n"
        "smlabt r6, r3, lr, r6\n"
        "ldrd r2, r3, [sp]\n"
        "smmlar r4, r4, r2, r3\n"
        "smmlar r6, r6, r2, r3\n"
        "ldrd r2, r3, [sp, #12]\n"
        "ldr r5, [sp, #20]\n"
        "ssat r4, #8, r4\n"
        "ssat r6, #8, r6\n"
        "strb r6, [r2]\n"
        "strb r4, [r3]\n"
        "add r2, r2, r5\n"
        "add r3, r3, r5\n"
        "strd r2, r3, [sp, #12]\n"
        "ldr r2, [sp, #24]\n"
        "cmp r0, r2\n"
        "bne 4b\n"
        "b 3b\n" EDGEC_DSP_END(edgec_dsp_depthwise_s1));

/* Weights (w0, w1) of the three rows in r8-r10, the w2 of rows 0 and 1 in r11, of row 2 in the upper half of r12. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_depthwise_s2) BLOCKS_ENTER
        "sxtb16 r11, r4, ror #8\n"
        "sxtb16 r12, r5, ror #8\n"
        "pkhtb r11, r12, r11, asr #16\n"
        "sxtb16 r12, r6, ror #8\n" BLOCKS_COLUMN
        "add lr, r1, r2\n"
        "str lr, [sp, #48]\n"
        "2:\n"
        "ldrd r2, r3, [r0], #8\n"
        "ldr r7, [sp, #28]\n"
        "smlad r4, r2, r8, r7\n"
        "smlad r4, r3, r9, r4\n"
        "ldrd r2, r3, [r0], #8\n"
        "smlad r4, r2, r10, r4\n"
        "smlad r6, r2, r8, r7\n"
        "ldr r2, [r0]\n"
        "smlad r6, r3, r9, r6\n"
        "smlad r6, r2, r10, r6\n"
        "ldrd r2, r3, [r1], #8\n"
        "smlad r5, r2, r8, r7\n"
        "smlabb r4, r2, r11, r4\n"
        "smlad r5, r3, r9, r5\n"
        "smlabt r4, r3, r11, r4\n"
        "ldrd r2, r3, [r1], #8\n"
        "smlad r5, r2, r10, r5\n"
        "smlabt r4, r2, r12, r4\n"
        "smlad r7, r2, r8, r7\n"
        "smlabb r6, r2, r11, r6\n"
        "ldr r2, [r1]\n"
        "smlad r7, r3, r9, r7\n"
        "smlabt r6, r3, r11, r6\n"
        "smlad r7, r2, r10, r7\n"
        "smlabt r6, r2, r12, r6\n"
        "ldrd r2, r3, [lr], #8\n"
        "smlabb r5, r2, r11, r5\n"
        "smlabt r5, r3, r11, r5\n"
        "ldrd r2, r3, [lr], #8\n"
        "smlabt r5, r2, r12, r5\n"
        "smlabb r7, r2, r11, r7\n"
        "ldr r2, [lr]\n"
        "smlabt r7, r3, r11, r7\n"
        "smlabt r7, r2, r12, r7\n" BLOCKS_STORE EDGEC_DSP_END(edgec_dsp_depthwise_s2));

void edgec_dsp_gather(const pixel_pairs *g);
/* r0, r5: the planes; r1 from; r2 pixel; r3 pitch; r4 rows; frame: to 0, from 4, rows 16, columns 20, column_bytes 24, plane 28. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_gather)
        "push {r4-r9, lr}\n"
        "sub sp, sp, #36\n"
        "ldmia.w r0, {r1-r8}\n"
        "stmia.w sp, {r1-r8}\n"
        "mov r2, r3\n"
        "mov r3, r4\n"
        "add lr, r2, r3\n"
        "0:\n"
        "ldrd r0, r1, [sp]\n"
        "ldrd r7, r5, [sp, #24]\n"
        "ldr r4, [sp, #16]\n"
        "add r7, r7, r0\n"
        "add r8, r1, r2, lsl #1\n"
        "strd r7, r8, [sp]\n"
        "add r5, r5, r0\n"
        "lsrs r4, r4, #1\n"
        "bcc 1f\n"
        "ldrh r6, [r1]\n"
        "ldrh r7, [r1, r2]\n"
        "add r1, r1, r3\n"
        "orr r6, r6, r7, lsl #16\n"
        "sxtb16 r7, r6\n"
        "sxtb16 r6, r6, ror #8\n"
        "str r7, [r0], #4\n"
        "str r6, [r5], #4\n"
        "1:\n"
        "cbz r4, 3f\n"
        "2:\n"
        "ldrh r6, [r1]\n"
        "ldrh r7, [r1, r2]\n"
        "ldrh r8, [r1, r3]\n"
        "ldrh r9, [r1, lr]\n"
        "add r1, r1, r3, lsl #1\n"
        "orr r6, r6, r7, lsl #16\n"
        "orr r8, r8, r9, lsl #16\n"
        "sxtb16 r7, r6\n"
        "sxtb16 r9, r8\n"
        "sxtb16 r6, r6, ror #8\n"
        "sxtb16 r8, r8, ror #8\n"
        "strd r7, r9, [r0], #8\n"
        "strd r6, r8, [r5], #8\n"
        "subs r4, r4, #1\n"
        "bne 2b\n"
        "3:\n"
        "ldr r4, [sp, #20]\n"
        "subs r4, r4, #1\n"
        "str r4, [sp, #20]\n"
        "bne 0b\n"
        "add sp, sp, #36\n"
        "pop {r4-r9, pc}\n" EDGEC_DSP_END(edgec_dsp_gather));

#else

static void run_region(const strip *s, const region *r, const uint32_t *channel, const uint32_t *plane, int8_t *y, int32_t stride) {
  const int32_t column_words = s->column_bytes / 4;
  const int32_t block_rows = r->read_bytes / (8 * stride);
  plane += r->plane_offset / 4;
  y += r->y_offset;
  for (int32_t at = 0; at < 4 * r->columns * block_rows; at++) { /* of a block: lower right, lower left, upper right, upper left */
    const int32_t lower = 1 - at / 2 % 2;
    const int32_t right = 1 - at % 2;
    const int32_t i = at / 4 % block_rows;
    const int32_t j = at / 4 / block_rows;
    int32_t acc = (int32_t)channel[0];
    for (int32_t ky = 0; ky < 3; ky++) {
      const uint32_t w = channel[2 + ky];
      const int32_t taps[3] = {(int8_t)(uint8_t)w, (int8_t)(uint8_t)(w >> 8), (int8_t)(uint8_t)(w >> 24)};
      for (int32_t kx = 0; kx < 3; kx++) {
        const int32_t column = (2 * j + right) * stride + kx;
        if (right == 0 || r->right != 0) { /* the plane ends behind the last output */
          acc = edgec_mac(acc, edgec_half(plane[column / 2 * column_words + (2 * i + lower) * stride + ky], column % 2), taps[kx]);
        }
      }
    }
    y[j * 2 * r->right + i * s->step + lower * r->below + right * r->right] =
        (int8_t)edgec_ssat8(edgec_smmlar(acc, (int32_t)channel[1], s->zero_point));
  }
}

static void run_regions(const strip *s, const uint32_t *channel, const uint32_t *plane, int8_t *y, int32_t stride) {
  for (int32_t i = 0; i < s->regions; i++) {
    run_region(s, &s->region[i], channel, plane, y, stride);
  }
}

static void edgec_dsp_depthwise_s1(const strip *s, const uint32_t *channel, const uint32_t *plane, int8_t *y) {
  run_regions(s, channel, plane, y, 1);
}

static void edgec_dsp_depthwise_s2(const strip *s, const uint32_t *channel, const uint32_t *plane, int8_t *y) {
  run_regions(s, channel, plane, y, 2);
}

static void edgec_dsp_gather(const pixel_pairs *g) {
  for (int32_t i = 0; i < g->columns * g->rows; i++) {
    const int8_t *const from = g->from + i / g->rows * 2 * g->pixel + i % g->rows * g->pitch;
    uint32_t *const to = g->to + i / g->rows * g->column_bytes / 4 + i % g->rows;
    to[0] = edgec_pair(from[0], from[g->pixel]);
    to[g->plane_bytes / 4] = edgec_pair(from[1], from[g->pixel + 1]);
  }
}

#endif

/* A column of which one pixel lies in the padding: `half` is where the other one goes, 0 or 1. */
static void gather_edge(uint32_t *to, const int8_t *from, int32_t half, int32_t pitch, int32_t rows, int32_t plane_words,
                        int32_t zero_point) {
  const uint32_t padding = ((uint32_t)zero_point & 0xffffu) << (16 * (1 - half));
  const int32_t shift = 16 * half;
  for (int32_t i = 0; i < rows; i++) {
    to[i] = ((uint32_t)(uint16_t)from[0] << shift) | padding;
    to[plane_words + i] = ((uint32_t)(uint16_t)from[1] << shift) | padding;
    from += pitch;
  }
}

/* What a row of the planes is made of: columns of which the right pixel, both, or the left one lie in the input. */
typedef struct gathering {
  int32_t left_word, middle_word, right_word; /* from the start of a plane, or -1 */
  int32_t middle_byte, right_byte;            /* from the start of a row of the input */
  pixel_pairs middle;
} gathering;

static gathering gathering_of(const edgec_depthwise_conv2d_params *p, const strips *s) {
  gathering g = {-1, -1, -1, 0, 0, {NULL, NULL, p->in_c, p->in_w * p->in_c, 0, 0, 4 * s->rows, 4 * s->plane_words}};
  int32_t ix = -p->pad_left;
  int32_t j = 0;
  for (; j < s->columns && ix < 0; j++) {
    if (ix == -1) {
      g.left_word = j * s->rows;
    }
    ix += 2;
  }
  const int32_t inside = (p->in_w - ix) / 2;
  const int32_t columns = inside < s->columns - j ? inside : s->columns - j;
  if (columns > 0) {
    g.middle.columns = columns;
    g.middle_word = j * s->rows;
    g.middle_byte = ix * p->in_c;
    j += columns;
    ix += 2 * columns;
  }
  if (j < s->columns && ix == p->in_w - 1) {
    g.right_word = j * s->rows;
    g.right_byte = ix * p->in_c;
  }
  return g;
}

/* Rows of two channels from `row` on to planes whose row 0 is `to`. */
static void gather(gathering *g, uint32_t *to, const int8_t *row, int32_t rows, int32_t zero_point) {
  const int32_t plane_words = g->middle.plane_bytes / 4;
  if (g->left_word >= 0) {
    gather_edge(to + g->left_word, row, 1, g->middle.pitch, rows, plane_words, zero_point);
  }
  if (g->middle_word >= 0) {
    g->middle.to = to + g->middle_word;
    g->middle.from = row + g->middle_byte;
    g->middle.rows = rows;
    edgec_dsp_gather(&g->middle);
  }
  if (g->right_word >= 0) {
    gather_edge(to + g->right_word, row + g->right_byte, 0, g->middle.pitch, rows, plane_words, zero_point);
  }
}

static void fill(uint32_t *to, int32_t count, int32_t zero_point) {
  const uint32_t pair = ((uint32_t)zero_point & 0xffffu) * 0x00010001u;
  for (int32_t i = 0; i < count; i++) {
    to[i] = pair;
  }
}

static void fill_rows(const strips *s, uint32_t *planes, int32_t first, int32_t end, int32_t zero_point) {
  for (int32_t j = 0; first < end && j < 2 * s->columns; j++) {
    fill(planes + j * s->rows + first, end - first, zero_point);
  }
}

/* Where the blocks of `out_rows` rows lie. */
static strip strip_of(const edgec_depthwise_conv2d_params *p, const strips *s, int32_t out_rows) {
  strip result;
  const int32_t pitch = p->out_w * p->out_c;
  result.zero_point = p->out_zero_point;
  result.step = 2 * pitch;
  result.column_bytes = 4 * s->rows;
  result.regions = 0;
  for (int32_t i = 0; i < 4; i++) {
    const int32_t hangs_below = i / 2;
    const int32_t hangs_right = i % 2;
    const int32_t row = hangs_below ? out_rows - 1 : 0;
    const int32_t col = hangs_right ? p->out_w - 1 : 0;
    const int32_t block_rows = hangs_below ? out_rows % 2 : out_rows / 2;
    region *const r = &result.region[result.regions];
    r->columns = hangs_right ? p->out_w % 2 : p->out_w / 2;
    r->right = hangs_right ? 0 : p->out_c;
    r->below = hangs_below ? 0 : pitch;
    r->y_offset = row * pitch + col * p->out_c;
    r->plane_offset = (col / 2 * result.column_bytes + 4 * row) * p->stride_h;
    r->read_bytes = block_rows * 8 * p->stride_h;
    result.regions += r->columns > 0 && block_rows > 0;
  }
  return result;
}

/* The last rows of a strip to its first ones: the next strip needs them again. */
static void keep_rows(const strips *s, uint32_t *planes, int32_t keep) {
  for (uint32_t *to = planes; to != planes + 2 * s->plane_words; to += s->rows) {
    to[0] = to[s->rows - keep];
    if (keep == 2) {
      to[1] = to[s->rows - 1];
    }
  }
}

/* A channel of 4-bit weights in the form with 8, weights and bias times 2^shift. Accumulators of 4-bit weights have 28 bits, so that up to
 * DEPTHWISE_NIBBLE_SHIFT this is the layer shift, which then has nothing to saturate. */
static void widen_channel(uint32_t *to, const edgec_operands *o, int32_t channel, int32_t channels, int32_t shift) {
  const uint8_t *w = (const uint8_t *)o->constant[0] + channel / 2;
  const int32_t tap_bytes = (channels + 1) / 2;
  const int32_t half = channel % 2 * 4;
  const uint32_t kept = (0xffu >> shift) * 0x01010101u;
  *to++ = (uint32_t)((const int16_t *)o->constant[1])[channel] << shift;
  *to++ = (uint32_t)((const int32_t *)o->constant[2])[channel];
  for (int32_t row = 0; row < 3; row++) {
    const uint32_t bytes = w[0] | (uint32_t)w[tap_bytes] * 0x010100u | (uint32_t)w[2 * tap_bytes] << 24;
    const uint32_t extended = ((bytes >> half & 0x0f0f0f0fu) + 0x78787878u) ^ 0x78787878u; /* each byte sign-extended from its low half */
    *to++ = (extended & kept) << shift;
    w += 3 * tap_bytes;
  }
}

/* nibbles: weights have 4 bits. */
EDGEC_COPIED void depthwise_3x3(const edgec_depthwise_conv2d_params *p, const edgec_operands *o, int nibbles) {
  const strips s = strips_of(p);
  uint32_t *const planes = o->scratch;
  const int32_t keep = 3 - p->stride_h;
  const int32_t pitch = p->out_w * p->out_c;
  const int32_t last_rows = p->out_h - (p->out_h - 1) / s.out_rows * s.out_rows;
  const strip last = strip_of(p, &s, last_rows);
  const strip whole = strip_of(p, &s, s.out_rows);
  gathering g = gathering_of(p, &s);
  fill(planes, 2 * s.plane_words, p->in_zero_point);
  for (int32_t c = 0; c < p->in_c; c += 2) {
    const int32_t from = c + 1 < p->in_c ? c : c - 1; /* the last of an odd number is read with the one before it */
    const uint32_t *channels = (const uint32_t *)o->constant[0] + DEPTHWISE_CHANNEL_WORDS * from;
    uint32_t wide[2 * DEPTHWISE_CHANNEL_WORDS];
    if (nibbles) {
      widen_channel(wide, o, from, p->out_c, p->shift);
      widen_channel(wide + DEPTHWISE_CHANNEL_WORDS, o, from + 1, p->out_c, p->shift);
      channels = wide;
    }
    int32_t ready = 0;                                /* rows of the planes that are filled */
    int32_t next = -p->pad_top;                       /* input row of plane row `ready` */
    for (int32_t done = 0; done < p->out_h; done += s.out_rows) {
      const int32_t top = next < 0 ? -next : 0;
      int32_t rows = s.rows - ready - top;
      if (next + top + rows > p->in_h) {
        rows = p->in_h - next - top;
      }
      if (rows < 0) {
        rows = 0;
      }
      if (s.out_rows < p->out_h) { /* with one strip the padding rows stay as they were filled */
        fill_rows(&s, planes, ready, ready + top, p->in_zero_point);
        fill_rows(&s, planes, ready + top + rows, s.rows, p->in_zero_point);
      }
      if (rows > 0) {
        gather(&g, planes + ready + top, o->input[0] + (next + top) * g.middle.pitch + from, rows, p->in_zero_point);
      }
      for (int32_t i = c - from; i < 2; i++) {
        const uint32_t *const channel = channels + DEPTHWISE_CHANNEL_WORDS * i;
        const strip *const blocks = done + s.out_rows < p->out_h ? &whole : &last;
        int8_t *const y = o->output[0] + done * pitch + from + i;
        if (p->stride_h == 1) {
          edgec_dsp_depthwise_s1(blocks, channel, planes + i * s.plane_words, y);
        } else {
          edgec_dsp_depthwise_s2(blocks, channel, planes + i * s.plane_words, y);
        }
      }
      if (done + s.out_rows < p->out_h) {
        keep_rows(&s, planes, keep);
      }
      next += s.rows - ready;
      ready = keep;
    }
  }
  edgec_clamp_bytes(o->output[0], p->out_h * pitch, p->clamp_min, p->clamp_max);
}

#endif
