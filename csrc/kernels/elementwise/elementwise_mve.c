/* add and add_wide with Helium: sixteen elements a turn, in 32-bit lanes (both opcodes' sums fit), narrowed with saturation. */
#include "../fixed.h"
#include "elementwise.h"

void edgec_s8_add__mve(const void *params, const edgec_operands *operands);
void edgec_s8_add_wide__mve(const void *params, const edgec_operands *operands);

enum { TURN = 16 };

static int8_t add_one(const edgec_add_params *p, int32_t a, int32_t b) {
  const int32_t sum = edgec_mac(edgec_mac(p->offset, a, p->multiplier_a), b, p->multiplier_b);
  return (int8_t)edgec_clamp(sum >> p->shift, p->clamp_min, p->clamp_max);
}

#if defined(__ARM_FEATURE_MVE)

/* Four sums at [a] + [b]: VMLAS is a * multiplier_a + offset, VMLA adds b * multiplier_b. */
#define QUAD(vector)                        \
  "vldrb.s32 " vector ", [%[a]], #4\n"      \
  "vldrb.s32 q4, [%[b]], #4\n"              \
  "vmlas.s32 " vector ", q5, %[offset]\n"   \
  "vmla.s32 " vector ", q4, %[mb]\n"        \
  "vshl.s32 " vector ", %[shift]\n"

/* Whole turns. Two narrowing steps leave element 4 * i + j at byte 4 * j + (0, 2, 1, 3)[i]: the store puts them right. */
static void add_turns(const edgec_add_params *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t turns) {
  static const uint8_t order[TURN] = {0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15};
  const int32_t constants[6] = {p->offset, p->multiplier_b, -p->shift, p->multiplier_a, p->clamp_min, p->clamp_max};
  int32_t offset, mb, shift, high;
  __asm__ volatile(
      "dls lr, %[turns]\n"
      "vldrb.u8 q6, [%[order]]\n"
      "ldrd %[shift], %[mb], [%[constants], #8]\n"
      "vdup.32 q5, %[mb]\n"
      "ldrd %[mb], %[high], [%[constants], #16]\n"
      "vdup.8 q7, %[mb]\n"
      "ldrd %[offset], %[mb], [%[constants]]\n"
      "1:\n" QUAD("q0") QUAD("q1") QUAD("q2") QUAD("q3")
      "vqmovnb.s32 q0, q0\n"
      "vqmovnt.s32 q0, q1\n"
      "vqmovnb.s32 q2, q2\n"
      "vqmovnt.s32 q2, q3\n"
      "vdup.8 q1, %[high]\n"
      "vqmovnb.s16 q0, q0\n"
      "vqmovnt.s16 q0, q2\n"
      "vmin.s8 q0, q0, q1\n"
      "vmax.s8 q0, q0, q7\n"
      "vstrb.8 q0, [%[y], q6]\n"
      "add %[y], %[y], #16\n"
      "le lr, 1b\n"
      : [a] "+&l"(a), [b] "+&l"(b), [y] "+&r"(y), [offset] "=&r"(offset), [mb] "=&r"(mb), [shift] "=&r"(shift), [high] "=&r"(high)
      : [turns] "r"(turns), [order] "r"(order), [constants] "r"(constants)
      : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "memory");
}

#else

static void add_turns(const edgec_add_params *p, const int8_t *a, const int8_t *b, int8_t *y, int32_t turns) {
  for (int32_t i = 0; i < turns * TURN; i++) {
    y[i] = add_one(p, a[i], b[i]);
  }
}

#endif

void edgec_s8_add__mve(const void *params, const edgec_operands *operands) {
  const edgec_add_params *const p = params;
  const int8_t *const a = operands->input[0];
  const int8_t *const b = operands->input[1];
  int8_t *const y = operands->output[0];
  const int32_t turns = p->count / TURN;
  if (turns > 0) {
    add_turns(p, a, b, y, turns);
  }
  for (int32_t i = turns * TURN; i < p->count; i++) {
    y[i] = add_one(p, a[i], b[i]);
  }
}

void edgec_s8_add_wide__mve(const void *params, const edgec_operands *operands) { edgec_s8_add__mve(params, operands); }

const edgec_kernel edgec_s8_add__mve_kernel = {0x0440, 1, edgec_s8_add__mve, edgec_add_check};
const edgec_kernel edgec_s8_add_wide__mve_kernel = {0x0540, 1, edgec_s8_add_wide__mve, edgec_add_check};
