/* Small pieces that the Helium kernels share, each with a portable form for every other machine. */
#ifndef EDGEC_MVE_H
#define EDGEC_MVE_H

#include <stdint.h>

enum { EDGEC_MVE_BLOCK = 16 }; /* bytes of a vector: activations and weights are walked in blocks of it */

static inline int32_t edgec_mve_round_up(int32_t value, int32_t multiple) { return (value + multiple - 1) / multiple * multiple; }

#if defined(__ARM_FEATURE_MVE)

/* A function in assembly, of its own section so that the linker can leave it out. Not a naked C function: GCC would report a
 * frame of 0 bytes for it, where stack analysis finds the pushes of an assembly function in the disassembly. */
#define EDGEC_MVE_FUNCTION(name, arguments, text)                                                                    \
  void name arguments;                                                                                               \
  __asm__(".pushsection .text." #name ", \"ax\", %progbits\n.syntax unified\n.p2align 2\n.global " #name "\n"        \
          ".hidden " #name "\n.type " #name ", %function\n.thumb_func\n" #name ":\n" text ".size " #name ", . - " #name \
          "\n.popsection\n");

/* A block of sixteen taps: four channels (r1) at two positions, summed in r0, r2, r4, r6 and r8, r10, r12, lr. `at`: where the window of
 * each is, behind r3 and r5. Every instruction is four bytes, which those who enter a walk of blocks in its middle count on. */
#define EDGEC_MVE_STEP "], #16"
#define EDGEC_MVE_PAIRS_BLOCK EDGEC_MVE_PAIRS_BLOCK_AT(EDGEC_MVE_STEP)
#define EDGEC_MVE_PAIRS_BLOCK_AT(at) \
  "vldrb.u8 q4, [r3" at "\n"    \
  "vldrw.u32 q0, [r1], #64\n"   \
  "vmladava.s8 r0, q4, q0\n"    \
  "vldrw.u32 q1, [r1, #-48]\n"  \
  "vmladava.s8 r2, q4, q1\n"    \
  "vldrw.u32 q2, [r1, #-32]\n"  \
  "vmladava.s8 r4, q4, q2\n"    \
  "vldrw.u32 q3, [r1, #-16]\n"  \
  "vmladava.s8 r6, q4, q3\n"    \
  EDGEC_MVE_PAIRS_SECOND(at)

/* … of which the second position, where q0 to q3 are the weights. */
#define EDGEC_MVE_PAIRS_SECOND(at) \
  "vldrb.u8 q5, [r5" at "\n"    \
  "vmladava.s8 r8, q5, q0\n"    \
  "vmladava.s8 r10, q5, q1\n"   \
  "vmladava.s8 r12, q5, q2\n"   \
  "vmladava.s8 lr, q5, q3\n"

#define EDGEC_MVE_PAIRS_SUMS(from) "ldm " from ", {r0, r2, r4, r6, r8, r10, r12, lr}\n"

/* A walk of r2 blocks, unrolled by four at label 30, is entered in the middle: r2 becomes its rounds, r4 where the first one starts. */
#define EDGEC_MVE_PAIRS_ENTRY(block_bytes) \
  "rsbs r3, r2, #0\n"           \
  "and r3, r3, #3\n"            \
  "movs r4, #" #block_bytes "\n" \
  "muls r3, r4, r3\n"           \
  "adr.w r4, 30f\n"             \
  "orr r4, r4, #1\n"            \
  "add r4, r4, r3\n"            \
  "adds r2, r2, #3\n"           \
  "lsrs r2, r2, #2\n"

/* Sums in q0 and q1: the layer shift, of which q3 is the mask. */
#define EDGEC_MVE_PAIRS_SHIFT(shift) \
  "vqshl.s32 q0, " shift "\n"   \
  "vqshl.s32 q1, " shift "\n"   \
  "vand q0, q0, q3\n"           \
  "vand q1, q1, q3\n"

/* … and to int16, side by side in q0: halved multipliers q2. */
#define EDGEC_MVE_PAIRS_REQUANTIZE(zero_point) \
  "vqrdmlash.s32 q0, q2, " zero_point "\n" \
  "vqrdmlash.s32 q1, q2, " zero_point "\n" \
  "vqmovnb.s32 q0, q0\n"        \
  "vqmovnt.s32 q0, q1\n"

/* Copy bytes (0 and up); nothing beyond either end is touched. */
static inline void edgec_mve_copy(int8_t *to, const int8_t *from, int32_t bytes) {
  __asm__ volatile(
      "wlstp.8 lr, %[n], 2f\n"
      "1: vldrb.u8 q0, [%[from]], #16\n"
      "vstrb.8 q0, [%[to]], #16\n"
      "letp lr, 1b\n"
      "2:\n"
      : [to] "+r"(to), [from] "+r"(from)
      : [n] "r"(bytes)
      : "q0", "lr", "memory");
}

static inline void edgec_mve_fill(int8_t *to, int32_t value, int32_t bytes) {
  __asm__ volatile(
      "vdup.8 q0, %[value]\n"
      "wlstp.8 lr, %[n], 2f\n"
      "1: vstrb.8 q0, [%[to]], #16\n"
      "letp lr, 1b\n"
      "2:\n"
      : [to] "+r"(to)
      : [n] "r"(bytes), [value] "r"(value)
      : "q0", "lr", "memory");
}

#else

/* The little-endian word at any address. */
static inline int32_t edgec_mve_word(const int8_t *at) {
  const uint8_t *const b = (const uint8_t *)at;
  return (int32_t)((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
}

static inline void edgec_mve_copy(int8_t *to, const int8_t *from, int32_t bytes) {
  for (int32_t i = 0; i < bytes; i++) {
    to[i] = from[i];
  }
}

static inline void edgec_mve_fill(int8_t *to, int32_t value, int32_t bytes) {
  for (int32_t i = 0; i < bytes; i++) {
    to[i] = (int8_t)value;
  }
}

#endif

#endif
