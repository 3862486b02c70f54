/* The two inner products of the dsp convolutions, and the unpacking of inputs they read: see dsp.h for the form of operands.
 *
 * Included by conv_dsp.c alone. In assembly where the core has the instructions (14 registers are in use in the inner loops,
 * which no compiler finds), in C anywhere else.
 */
#ifndef EDGEC_GEMM_DSP_H
#define EDGEC_GEMM_DSP_H

#include "../gemm_frame_dsp.h"

enum {
  NIBBLE_TAIL_WORDS = 3,                 /* of two channels with weights of 4 bits: low halves of their heads, multipliers */
  PATCH_PIXELS = 6,                      /* input pixels of a row that a 3x3 window of stride 1 reads at four positions */
  PATCH_GROUP_WORDS = 3 * 2 * PATCH_PIXELS /* of four channels: for each kernel row `even` of six pixels, `odd` of six pixels */
};

typedef void (*gemm_finish)(void);

/* What is added before the rounding. With one zero_point is residual_offset and shift has GEMM_SUM in it, for which the assembly goes where it
 * goes for a layer shift, and on to the finish; that is here so that only programs that have a residual link it. */
typedef struct gemm_residual {
  gemm_finish eight, one; /* of the assembly: for two channels at four positions, at one */
  int32_t multiplier;
  uintptr_t from_output; /* bytes from an output to what is added to it */
} gemm_residual;

enum { GEMM_SUM = INT32_MIN };

/* Two output channels by four positions, for all channel pairs from `y` to `y_end`; one member a word, in the order of the
 * assembly's stack frame. columns: four corrections (EDGEC_EVEN_CORRECTION), then groups up to columns_end.
 * weights: for each pair its biases, its multipliers, then two words a group (for patches nine times two); of 4 bits as dsp.h says. */
typedef struct gemm {
  const uint32_t *highs; /* with weights of 4 bits the high halves of heads, or null; of the assembly else, as the next one */
  uintptr_t own;
  int8_t *y;             /* channel 0 of the first position */
  int32_t pitch;         /* bytes from one position to the next */
  int32_t zero_point, shift;
  const uint32_t *columns, *columns_end;
  uintptr_t entry;       /* of the assembly */
  const int8_t *y_end;   /* y + channels of all pairs */
  const uint32_t *weights;
  const gemm_residual *residual; /* or null */
} gemm;

/* Two windows as rows of bytes, to be unpacked side by side: whole words row by row, then what is left over of all rows.
 * One member a word. */
typedef struct two_windows {
  const int8_t *x0, *x1;
  int32_t words, rows;  /* words of a row */
  int32_t step0, step1; /* bytes from the end of a row to the next one */
  int32_t left;         /* bytes of a row behind its words */
  int32_t left_words;   /* of all rows, rounded up */
  int8_t *spare;        /* room for them, twice left_words; the bytes behind the last one are 0 */
} two_windows;

#if EDGEC_DSP

/* columns: groups of GEMM_GROUP_WORDS. */
void edgec_dsp_gemm(const gemm *g);
/* One position, that of slot 0 when `columns` and `columns_end` are moved up by the slot; an odd channel at the end is left out. */
void edgec_dsp_gemm_one(const gemm *g);
/* columns: groups of PATCH_GROUP_WORDS. */
void edgec_dsp_gemm_3x3(const gemm *g);
/* Not to be called. */
void edgec_dsp_gemm_sum(void);
void edgec_dsp_gemm_sum_one(void);
/* Two windows to groups of GEMM_GROUP_WORDS at `to`, and their corrections GEMM_POSITIONS words before it. */
void edgec_dsp_unpack(uint32_t *to, const two_windows *w);
/* The same for windows of three rows of nine bytes: 3x3 over three channels. */
void edgec_dsp_unpack_3x9(uint32_t *to, const two_windows *w);
/* 4 * words bytes of each of six pixels of a row to groups of PATCH_GROUP_WORDS at `to`, their corrections added to sums. */
void edgec_dsp_unpack_3x3(uint32_t *to, const int8_t *const *pixels, int32_t words, int32_t *sums);

/* Behind the frame of gemm_frame_dsp.h: residual 44, and 48 where its finish comes back to. */
#define GEMM_FRAME "52"

#define GEMM_START               \
  "ldmia r0!, {r2-r5}\n"         \
  "strd r4, r5, [sp]\n"          \
  "ldr r1, [sp, #24]\n"          \
  "ldmia.w r1!, {r6-r9}\n"       \
  "add r10, r6, r3\n"            \
  "add r11, r7, r3\n"            \
  "add r12, r8, r3\n"            \
  "add lr, r9, r3\n"             \
  "add r6, r6, r2\n"             \
  "add r7, r7, r2\n"             \
  "add r8, r8, r2\n"             \
  "add r9, r9, r2\n"

#define GEMM_SMLAD_01            \
  "smlad r6, r4, r2, r6\n"       \
  "smlad r7, r4, r3, r7\n"       \
  "smlad r10, r5, r2, r10\n"     \
  "smlad r11, r5, r3, r11\n"
#define GEMM_SMLAD_23            \
  "smlad r8, r4, r2, r8\n"       \
  "smlad r9, r4, r3, r9\n"       \
  "smlad r12, r5, r2, r12\n"     \
  "smlad lr, r5, r3, lr\n"

/* Words of the two channels for four taps to r4 and r5. The inner products take them in two texts, one to load them and one for
 * what is left to do once the load is on its way. */
#define GEMM_LOAD "ldrd r4, r5, [r0], #8\n"

#define GEMM_TAPS(even_01, even_23, odd_01, odd_23, loaded) \
  even_01 loaded GEMM_SMLAD_01 even_23 GEMM_SMLAD_23       \
  "sxtb16 r4, r4, ror #8\n"                                \
  "sxtb16 r5, r5, ror #8\n"                                \
  odd_01 GEMM_SMLAD_01 odd_23 GEMM_SMLAD_23

/* Four taps of eight outputs: 23 instructions, 84 bytes. */
#define GEMM_NEXT "ldmia r1!, {r2, r3}\n"
#define GEMM_STEP(load, loaded) load GEMM_TAPS(GEMM_NEXT, GEMM_NEXT, GEMM_NEXT, GEMM_NEXT, loaded)

/* Taps at byte offsets e (even) and o (odd) of a patch group. */
#define PATCH_AT(offset) "ldrd r2, r3, [r1, #" #offset "]\n"
#define PATCH_STEP(load, loaded, e0, e2, o0, o2) load GEMM_TAPS(PATCH_AT(e0), PATCH_AT(e2), PATCH_AT(o0), PATCH_AT(o2), loaded)

/* Eight accumulators to bytes: multipliers r2 and r3, zero_point r1. */
#define GEMM_REQUANTIZE GEMM_SCALE \
  "ssat r6, #8, r6\n"            \
  "ssat r7, #8, r7\n"            \
  "ssat r8, #8, r8\n"            \
  "ssat r9, #8, r9\n"            \
  "ssat r10, #8, r10\n"          \
  "ssat r11, #8, r11\n"          \
  "ssat r12, #8, r12\n"          \
  "ssat lr, #8, lr\n"

/* The same with a residual: y r2, pitch r3, its multiplier r4, residual_offset r1. The residual of each output is read before any of the eight is
 * written. */
#define GEMM_ADD(acc, at)        \
  "ldrsb r5, [r2" at "]\n"       \
  "mla r5, r5, r4, r1\n"         \
  "smmlar " acc ", " acc ", r0, r5\n" \
  "ssat " acc ", #8, " acc ", asr #12\n"
#define GEMM_REQUANTIZE_SUM      \
  "ldr r0, [sp]\n"               \
  "add r2, r2, r5\n"             \
  GEMM_ADD("r6", "") GEMM_ADD("r7", ", r3") GEMM_ADD("r8", ", r3, lsl #1") \
  "add r2, r2, r3\n"             \
  GEMM_ADD("r9", ", r3, lsl #1")  \
  "ldr r0, [sp, #4]\n"           \
  "adds r2, r2, #1\n"            \
  GEMM_ADD("lr", ", r3, lsl #1") GEMM_ADD("r12", ", r3") GEMM_ADD("r11", "") \
  "subs r2, r2, r3\n"            \
  GEMM_ADD("r10", "")

/* Store eight bytes; back to label 1 while there are channels. */
#define GEMM_STORE               \
  "bfi r6, r10, #8, #8\n"        \
  "bfi r7, r11, #8, #8\n"        \
  "bfi r8, r12, #8, #8\n"        \
  "bfi r9, lr, #8, #8\n"         \
  "ldrd r2, r3, [sp, #8]\n"      \
  "adds r4, r2, #2\n"            \
  "str r4, [sp, #8]\n"           \
  "ldr r1, [sp, #36]\n"          \
  "strh r6, [r2]\n"              \
  "strh r7, [r2, r3]\n"          \
  "strh r8, [r2, r3, lsl #1]\n"  \
  "add r2, r2, r3\n"             \
  "strh r9, [r2, r3, lsl #1]\n"  \
  "cmp r4, r1\n"                 \
  "bne.w 1b\n"                   \
  "add sp, sp, #" GEMM_FRAME "\n" \
  "pop {r4-r11, pc}\n"

/* Requantize, saturate and store eight outputs; `multipliers` brings theirs to r2 and r3; `sum` and `is_sum` as below, or nothing. */
#define GEMM_FINISH(multipliers, sum, is_sum) \
  "ldrd r1, r4, [sp, #16]\n"     \
  multipliers                    \
  "cmp r4, #0\n"                 \
  "bne.w 4f\n"                   \
  "3:\n" GEMM_REQUANTIZE         \
  "9:\n" GEMM_STORE sum          \
  "4:\n" is_sum                  \
  "5:\n"                         \
  EDGEC_DSP_DOUBLE_EIGHT         \
  "subs r4, r4, #1\n"            \
  "bne 5b\n"                     \
  "b 3b\n"

/* To the finish with a residual, which has the weights and the way back on the stack. */
#define GEMM_TO_SUM              \
  "8:\n"                         \
  "adr.w r2, 9b\n"               \
  "adds r2, r2, #1\n"            \
  "str r0, [sp, #40]\n"          \
  "str r2, [sp, #48]\n"          \
  "ldr r5, [sp, #44]\n"          \
  "ldr pc, [r5]\n"
#define GEMM_IS_SUM "bmi 8b\n"
#define GEMM_FINISH_BYTES GEMM_FINISH("ldrd r2, r3, [sp]\n", GEMM_TO_SUM, GEMM_IS_SUM)

/* 12 fractional bits mostly take a layer shift, and no sum is saturated by it. */
#define GEMM_FINISH_SUM          \
  "ldrd r2, r3, [sp, #8]\n"      \
  "lsls r6, r6, r4\n"            \
  "lsls r7, r7, r4\n"            \
  "lsl r8, r8, r4\n"             \
  "lsl r9, r9, r4\n"             \
  "lsl r10, r10, r4\n"           \
  "lsl r11, r11, r4\n"           \
  "lsl r12, r12, r4\n"           \
  "lsl lr, lr, r4\n"             \
  "ldrd r4, r5, [r5, #8]\n" GEMM_REQUANTIZE_SUM \
  "ldr r0, [sp, #40]\n"          \
  "ldr pc, [sp, #48]\n"

/* The functions for one form: `finish` as GEMM_FINISH, `start` before and the beginning of `finish` behind the sums of a pair of channels,
 * `step_bytes` is the size of a GEMM_STEP. */
#define GEMM_FUNCTION(name, negate, step_bytes, start, load, loaded, finish) \
  __asm__(EDGEC_DSP_BEGIN(name) GEMM_ENTER(GEMM_FRAME) GEMM_ENTRY(negate, step_bytes) \
          "1:\n" start GEMM_ROUNDS(GEMM_STEP(load, loaded)) finish EDGEC_DSP_END(name))

#define GEMM_FUNCTION_3X3(name, start, load, loaded, finish)                    \
  __asm__(EDGEC_DSP_BEGIN(name) GEMM_ENTER(GEMM_FRAME)                             \
          "1:\n" start                                                             \
          "2:\n" PATCH_STEP(load, loaded, 0, 8, 24, 32) PATCH_STEP(load, loaded, 4, 12, 28, 36)                  \
          PATCH_STEP(load, loaded, 8, 16, 32, 40) PATCH_STEP(load, loaded, 48, 56, 72, 80)                       \
          PATCH_STEP(load, loaded, 52, 60, 76, 84) PATCH_STEP(load, loaded, 56, 64, 80, 88)                      \
          PATCH_STEP(load, loaded, 96, 104, 120, 128) PATCH_STEP(load, loaded, 100, 108, 124, 132)               \
          PATCH_STEP(load, loaded, 104, 112, 128, 136)                              \
          "adds r1, #144\n"                                                        \
          "ldr r2, [sp, #28]\n"                                                    \
          "cmp r1, r2\n"                                                           \
          "bne.w 2b\n" finish EDGEC_DSP_END(name))

/* Accumulators r6 and r7, multipliers r8 and r10, y r9, y_end r11, columns_end r12, zero_point lr;
 * frame: columns 0, shift 4, residual 8. */
#define GEMM_ONE_ENTER           \
  "ldr r3, [r0, #24]\n"          \
  "ldrd r0, r5, [r0, #40]\n"     \
  "push {r3-r5}\n"

/* Shift r4. */
#define GEMM_ONE_REQUANTIZE      \
  "cbnz r4, 4f\n"                \
  "3:\n"                         \
  "smmlar r6, r6, r8, lr\n"      \
  "smmlar r7, r7, r10, lr\n"     \
  "ssat r6, #8, r6\n"            \
  "ssat r7, #8, r7\n"

#define GEMM_ONE_SHIFTING(sum, is_sum) sum \
  "4:\n" is_sum                  \
  "5:\n"                         \
  "qadd r6, r6, r6\n"            \
  "qadd r7, r7, r7\n"            \
  "subs r4, r4, #1\n"            \
  "bne 5b\n"                     \
  "b 3b\n"

/* r1 is where the finish comes back to. */
#define GEMM_ONE_TO_SUM          \
  "8:\n"                         \
  "adr.w r1, 9b\n"               \
  "adds r1, r1, #1\n"            \
  "ldr r5, [sp, #8]\n"           \
  "ldr pc, [r5, #4]\n"
#define GEMM_ONE_IS_SUM "cmp r4, #0\nbmi 8b\n"

/* The second channel may not be there: then its residual is not read. */
#define GEMM_ONE_FINISH_SUM      \
  "lsls r6, r6, r4\n"            \
  "lsls r7, r7, r4\n"            \
  "ldrd r2, r3, [r5, #8]\n"      \
  "add r3, r3, r9\n"             \
  "ldrsb r4, [r3]\n"             \
  "add r5, r9, #1\n"             \
  "cmp r5, r11\n"                \
  "it ne\n"                      \
  "ldrsbne r5, [r3, #1]\n"       \
  "mla r4, r4, r2, lr\n"         \
  "mla r5, r5, r2, lr\n"         \
  "smmlar r6, r6, r8, r4\n"      \
  "smmlar r7, r7, r10, r5\n"     \
  "ssat r6, #8, r6, asr #12\n"   \
  "ssat r7, #8, r7, asr #12\n"   \
  "bx r1\n"

#define GEMM_FUNCTION_ONE(name, enter, frame, start, load, loaded, split, shifting) \
  __asm__(EDGEC_DSP_BEGIN(name)                                                    \
          "push {r4-r11, lr}\n"                                                    \
          "ldr r9, [r0, #8]\n"                                                     \
          "ldrd lr, r4, [r0, #16]\n"                                               \
          "ldr r11, [r0, #36]\n"                                                   \
          "ldr r12, [r0, #28]\n" enter                                             \
          "1:\n"                                                                   \
          "ldr r1, [sp]\n" start                                                   \
          "2:\n" load                                                              \
          "ldr r3, [r1, #16]\n"                                                    \
          "ldr r2, [r1], #32\n" loaded                                             \
          "smlad r6, r4, r2, r6\n"                                                 \
          "smlad r7, r5, r2, r7\n"                                                 \
          "sxtb16 r4, r4, ror #8\n"                                                \
          "sxtb16 r5, r5, ror #8\n"                                                \
          "smlad r6, r4, r3, r6\n"                                                 \
          "smlad r7, r5, r3, r7\n"                                                 \
          "cmp r1, r12\n"                                                          \
          "bne 2b\n" split                                                         \
          "ldr r4, [sp, #4]\n" GEMM_ONE_REQUANTIZE                                 \
          "9:\n"                                                                   \
          "strb r6, [r9], #1\n"                                                    \
          "cmp r9, r11\n"                                                          \
          "itt ne\n"                                                               \
          "strbne r7, [r9], #1\n"                                                  \
          "cmpne r9, r11\n"                                                        \
          "bne 1b\n"                                                               \
          "add sp, sp, #" frame "\n"                                               \
          "pop {r4-r11, pc}\n" shifting EDGEC_DSP_END(name))

#define GEMM_NEGATE "negs r7, r7\n" /* 16 + 32 * groups */
#define GEMM_ONE_START "ldmia.w r0!, {r6, r7, r8, r10}\nldr r2, [r1], #16\nadd r6, r6, r2\nadd r7, r7, r2\n"

GEMM_FUNCTION(edgec_dsp_gemm, GEMM_NEGATE, 84, GEMM_START, GEMM_LOAD, "", GEMM_FINISH_BYTES);
GEMM_FUNCTION_3X3(edgec_dsp_gemm_3x3, GEMM_START, GEMM_LOAD, "", GEMM_FINISH_BYTES);
GEMM_FUNCTION_ONE(edgec_dsp_gemm_one, GEMM_ONE_ENTER, "12", GEMM_ONE_START, GEMM_LOAD, "", "", GEMM_ONE_SHIFTING(GEMM_ONE_TO_SUM, GEMM_ONE_IS_SUM));
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_gemm_sum) GEMM_FINISH_SUM EDGEC_DSP_END(edgec_dsp_gemm_sum));
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_gemm_sum_one) GEMM_ONE_FINISH_SUM EDGEC_DSP_END(edgec_dsp_gemm_sum_one));

/* A word of each of two pixels: to r0, pixels r1 and r2, corrections r10 and r11, mask and factor lr. */
#define UNPACK_WORD(odd, next)     \
  "ldr r4, [r1], #4\n"            \
  "ldr r5, [r2], #4\n" UNPACK_LOADED(odd, next)
#define UNPACK_LOADED(odd, next)   \
  "rev16 r8, r4\n"                \
  "rev16 r9, r5\n"                \
  "sxtb16 r4, r4\n"               \
  "sxtb16 r5, r5\n"               \
  "eor r8, r8, lr\n"              \
  "eor r9, r9, lr\n"              \
  "smlad r10, r4, lr, r10\n"      \
  "smlad r11, r5, lr, r11\n"      \
  "strd r8, r9, [r0, #" #odd "]\n" \
  "strd r4, r5, [r0], #" #next "\n"

/* w: x0 0, x1 4, words 8, rows 12, step0 16, step1 20, left 24, left_words 28, spare 32. Rows to do r6; r7 where the next
 * left-over byte goes, 0 once these are unpacked. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_unpack)
        "push {r0, r4-r11, lr}\n"
        "mov r12, r1\n"
        "ldr r7, [r1, #32]\n"
        "ldmia.w r12, {r1, r2, r3, r6}\n"
        "mov r10, #0\n"
        "mov r11, #0\n"
        "mov lr, #0xff80\n"
        "movt lr, #0xff80\n"
        "1:\n"
        "cbz r3, 3f\n"
        "2:\n" UNPACK_WORD(16, 32)
        "subs r3, r3, #1\n"
        "bne 2b\n"
        "cbz r7, 7f\n"
        "3:\n"
        "ldrd r3, r8, [r12, #24]\n"
        "cbz r3, 5f\n"
        "lsl r8, r8, #2\n"
        "4:\n"
        "ldrb r4, [r1], #1\n"
        "ldrb r5, [r2], #1\n"
        "strb r5, [r7, r8]\n"
        "strb r4, [r7], #1\n"
        "subs r3, r3, #1\n"
        "bne 4b\n"
        "5:\n"
        "subs r6, r6, #1\n"
        "beq 6f\n"
        "ldrd r4, r5, [r12, #16]\n"
        "ldr r3, [r12, #8]\n"
        "add r1, r1, r4\n"
        "add r2, r2, r5\n"
        "b 1b\n"
        "6:\n"
        "ldrd r3, r1, [r12, #28]\n"
        "cbz r3, 7f\n"
        "add r2, r1, r3, lsl #2\n"
        "movs r7, #0\n"
        "b 2b\n"
        "7:\n"
        "pop {r0}\n"
        "strd r10, r11, [r0, #-16]\n"
        "pop {r4-r11, pc}\n" EDGEC_DSP_END(edgec_dsp_unpack));

/* Steps r6 and r7, from the last byte of a row to the next row; left-over bytes gather in r3 and r12. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_unpack_3x9)
        "push {r0, r4-r11, lr}\n"
        "ldrd r6, r7, [r1, #16]\n"
        "ldrd r1, r2, [r1]\n"
        "mov r10, #0\n"
        "mov r11, #0\n"
        "mov lr, #0xff80\n"
        "movt lr, #0xff80\n"
        "adds r6, r6, #1\n"
        "adds r7, r7, #1\n"
        UNPACK_WORD(16, 32) UNPACK_WORD(16, 32)
        "ldrb r3, [r1]\n"
        "ldrb r12, [r2]\n"
        "add r1, r1, r6\n"
        "add r2, r2, r7\n"
        UNPACK_WORD(16, 32) UNPACK_WORD(16, 32)
        "ldrb r4, [r1]\n"
        "ldrb r5, [r2]\n"
        "add r1, r1, r6\n"
        "add r2, r2, r7\n"
        "orr r3, r3, r4, lsl #8\n"
        "orr r12, r12, r5, lsl #8\n"
        UNPACK_WORD(16, 32) UNPACK_WORD(16, 32)
        "ldrb r4, [r1]\n"
        "ldrb r5, [r2]\n"
        "orr r4, r3, r4, lsl #16\n"
        "orr r5, r12, r5, lsl #16\n"
        UNPACK_LOADED(16, 32)
        "pop {r0}\n"
        "strd r10, r11, [r0, #-16]\n"
        "pop {r4-r11, pc}\n" EDGEC_DSP_END(edgec_dsp_unpack_3x9));

/* r6 the row in the first group, r7 pairs to do, r12 sums; frame: pixels 0, words 4. */
__asm__(EDGEC_DSP_BEGIN(edgec_dsp_unpack_3x3)
        "push {r1, r2, r3, r4-r11, lr}\n"
        "mov lr, #0xff80\n"
        "movt lr, #0xff80\n"
        "mov r6, r0\n"
        "mov r12, r3\n"
        "movs r7, #3\n"
        "1:\n"
        "ldrd r2, r3, [sp]\n"
        "ldrd r10, r11, [r12]\n"
        "ldr r1, [r2], #4\n"
        "ldr r4, [r2], #4\n"
        "str r2, [sp]\n"
        "mov r2, r4\n"
        "lsrs r3, r3, #1\n"
        "bcc 2f\n" UNPACK_WORD(24, 144)
        "cbz r3, 3f\n"
        "2:\n" UNPACK_WORD(24, 144) UNPACK_WORD(24, 144)
        "subs r3, r3, #1\n"
        "bne 2b\n"
        "3:\n"
        "strd r10, r11, [r12], #8\n"
        "adds r6, r6, #8\n"
        "mov r0, r6\n"
        "subs r7, r7, #1\n"
        "bne 1b\n"
        "pop {r1, r2, r3, r4-r11, pc}\n" EDGEC_DSP_END(edgec_dsp_unpack_3x3));

#else

/* The output at y. */
static int8_t requantized(const gemm *g, int32_t acc, uint32_t multiplier, const int8_t *y) {
  const gemm_residual *const r = g->residual;
  int32_t addend = g->zero_point;
  if (r != NULL) {
    addend = edgec_mac(addend, *(const int8_t *)((uintptr_t)y + r->from_output), r->multiplier);
  }
  const int32_t scaled = edgec_smmlar(edgec_scale_up(acc, g->shift & ~GEMM_SUM), (int32_t)multiplier, addend);
  return (int8_t)edgec_ssat8(r != NULL ? scaled >> EDGEC_SUM_FRACTION : scaled);
}

static int32_t four_taps(int32_t acc, uint32_t word, uint32_t even, uint32_t odd) {
  return edgec_smlad(edgec_sxtb16_high(word), odd, edgec_smlad(word, even, acc));
}

/* All functions in C: `count` positions, 4 or 1; groups are of patches or of columns; weights have 4 bits (nibbles) or 8. */
static void run_gemm(const gemm *g, int32_t count, int patches, int nibbles) {
  const uint32_t *w = g->weights;
  const uint32_t *highs = nibbles ? g->highs : NULL;
  const int32_t heads = nibbles ? 2 * (int32_t)GEMM_POSITIONS : (int32_t)GEMM_POSITIONS;
  for (int8_t *y = g->y; y != g->y_end;) {
    const uint32_t *multiplier = w + 2;
    int32_t acc[2 * GEMM_POSITIONS]; /* channel a, then b */
    for (int32_t i = 0; i < count; i++) {
      acc[i] = (int32_t)((nibbles ? 0 : w[0]) + g->columns[i]);
      acc[count + i] = (int32_t)((nibbles ? 0 : w[1]) + g->columns[heads - (int32_t)GEMM_POSITIONS + i]);
    }
    w += nibbles ? 0 : (int32_t)GEMM_HEAD_WORDS;
    for (const uint32_t *x = g->columns + heads; x != g->columns_end; x += patches ? (int32_t)PATCH_GROUP_WORDS : (int32_t)GEMM_GROUP_WORDS) {
      for (int32_t tap = 0; tap < (patches ? 9 : 1); tap++) {
        const uint32_t *const even = x + (tap / 3) * 2 * PATCH_PIXELS + tap % 3;
        const uint32_t *const odd = even + (patches ? (int32_t)PATCH_PIXELS : (int32_t)GEMM_POSITIONS);
        const uint32_t second = nibbles ? w[0] & 0x0f0f0f0fu : w[1];
        for (int32_t i = 0; i < count; i++) {
          acc[i] = four_taps(acc[i], w[0], even[i], odd[i]);
          acc[count + i] = four_taps(acc[count + i], second, even[i], odd[i]);
        }
        w += nibbles ? 1 : 2;
      }
    }
    if (nibbles) {
      for (int32_t i = 0; i < count; i++) {
        const int32_t a = (int32_t)((uint32_t)acc[i] - (uint32_t)acc[count + i]) >> 4;
        acc[i] = edgec_wrapping_add(a, edgec_nibble_head(w[0], highs, 0));
        acc[count + i] = edgec_wrapping_add(acc[count + i], edgec_nibble_head(w[0], highs, 1));
      }
      highs += highs != NULL;
      multiplier = w + 1;
      w += NIBBLE_TAIL_WORDS;
    }
    const int32_t channels = y + 1 == g->y_end ? 1 : 2;
    for (int32_t i = 0; i < count; i++) {
      int8_t *const at = y + i * g->pitch;
      at[0] = requantized(g, acc[i], multiplier[0], at);
      if (channels == 2) {
        at[1] = requantized(g, acc[count + i], multiplier[1], at + 1);
      }
    }
    y += channels;
  }
}

static void edgec_dsp_gemm(const gemm *g) { run_gemm(g, GEMM_POSITIONS, 0, 0); }

static void edgec_dsp_gemm_one(const gemm *g) { run_gemm(g, 1, 0, 0); }

static void edgec_dsp_gemm_3x3(const gemm *g) { run_gemm(g, GEMM_POSITIONS, 1, 0); }

static void edgec_dsp_gemm_sum(void) {}

static void edgec_dsp_gemm_sum_one(void) {}

static void unpack_word(uint32_t *to, const int8_t *x0, const int8_t *x1, int32_t *sums, int32_t odd) {
  const uint32_t words[2] = {edgec_load_word(x0), edgec_load_word(x1)};
  for (int32_t i = 0; i < 2; i++) {
    to[i] = edgec_sxtb16(words[i]);
    to[odd + i] = edgec_odd(words[i]);
    sums[i] = edgec_smlad(to[i], EDGEC_EVEN_CORRECTION, sums[i]);
  }
}

static void edgec_dsp_unpack(uint32_t *to, const two_windows *w) {
  int32_t sums[2] = {0, 0};
  uint32_t *const corrections = to - GEMM_POSITIONS;
  int8_t *spare0 = w->spare;
  int8_t *spare1 = w->spare + 4 * w->left_words;
  for (int32_t row = 0; row < w->rows; row++) {
    const int8_t *x0 = w->x0 + row * (4 * w->words + w->left + w->step0);
    const int8_t *x1 = w->x1 + row * (4 * w->words + w->left + w->step1);
    for (int32_t i = 0; i < w->words; i++) {
      unpack_word(to, x0, x1, sums, GEMM_POSITIONS);
      to += GEMM_GROUP_WORDS;
      x0 += 4;
      x1 += 4;
    }
    for (int32_t i = 0; i < w->left; i++) {
      *spare0++ = x0[i];
      *spare1++ = x1[i];
    }
  }
  for (int32_t i = 0; i < w->left_words; i++) {
    unpack_word(to, w->spare + 4 * i, w->spare + 4 * (w->left_words + i), sums, GEMM_POSITIONS);
    to += GEMM_GROUP_WORDS;
  }
  corrections[0] = (uint32_t)sums[0];
  corrections[1] = (uint32_t)sums[1];
}

static void edgec_dsp_unpack_3x9(uint32_t *to, const two_windows *w) { edgec_dsp_unpack(to, w); }

static void edgec_dsp_unpack_3x3(uint32_t *to, const int8_t *const *pixels, int32_t words, int32_t *sums) {
  for (int32_t i = 0; i < PATCH_PIXELS; i += 2) {
    for (int32_t j = 0; j < words; j++) {
      unpack_word(to + PATCH_GROUP_WORDS * j + i, pixels[i] + 4 * j, pixels[i + 1] + 4 * j, sums + i, PATCH_PIXELS);
    }
  }
}

#endif

#endif
