/* Cycles of a Cortex-M4 for the stream of executed instructions, memory without wait states: docs/cycles.md has the rules,
 * which are those of Arm's Technical Reference Manual (DDI 0439D, tables 3-1 and 3-2, section 3.3.2, table 7-1).
 *
 * `edgec_m4_decode` looks at an instruction once. `edgec_m4_next` is told each executed instruction, `edgec_m4_access` each
 * address it reads or writes. An instruction is charged when its successor is known: only then has a branch been taken.
 */
#ifndef EDGEC_CYCLES_CORTEX_M4_H
#define EDGEC_CYCLES_CORTEX_M4_H

#include <stdint.h>

enum {
  M4_REFILL = 2, /* of a branch whose target is in the instruction or in a register; 1 to 3 in the manual */
  M4_REFILL_LEAST = 1,
  M4_REFILL_MOST = 3,
  M4_RELOAD = 3, /* of a branch whose target comes from memory: the manual gives this number */
  M4_DIVIDE = 12, /* 2 to 12 in the manual, by the operands, which are not seen here */
  M4_DIVIDE_LEAST = 2
};

typedef enum m4_kind { M4_PLAIN, M4_LOAD, M4_STORE, M4_STORE_INDEXED, M4_BLOCK, M4_DIVISION, M4_IF_THEN } m4_kind;

typedef struct m4_instruction {
  uint32_t address, next; /* next: the one behind it */
  uint8_t kind;
  uint8_t cost;     /* cycles where nothing is pipelined; of a branch, where it is not taken */
  uint8_t extra;    /* more cycles of a branch that is taken, beside the refill */
  uint8_t reload;   /* 1: a target from memory */
  uint8_t size;     /* bytes of a single load, for unaligned ones */
  uint8_t guarded;  /* of an IT instruction: how many follow under its conditions */
  uint16_t address_registers, computed, loaded; /* bit sets: used for an address, written by data processing, by a single load */
} m4_instruction;

typedef struct m4_state {
  uint64_t instructions, cycles, least, most;
  const m4_instruction *last, *before;
  uint32_t guarded;   /* instructions still under an IT instruction's conditions, `last` included */
  int accessed;       /* memory, by `last` */
  uint32_t penalty;   /* of its unaligned accesses */
  int before_skipped; /* its condition failed */
} m4_state;

static inline uint16_t m4_bit(uint32_t reg) { return (uint16_t)(1u << (reg & 15u)); }

static inline uint8_t m4_ones(uint32_t bits) {
  uint8_t n = 0;
  for (; bits != 0u; bits &= bits - 1u) {
    n++;
  }
  return n;
}

/* Loads and stores of one register. `index`: the bit of a register offset, 0 where the offset is a constant. */
static inline void m4_single(m4_instruction *i, int load, uint32_t size, uint32_t rt, uint32_t rn, uint16_t index) {
  i->kind = (uint8_t)(load ? M4_LOAD : index != 0u ? M4_STORE_INDEXED : M4_STORE);
  i->cost = (uint8_t)(load || index != 0u ? 2 : 1);
  i->size = (uint8_t)size;
  i->address_registers = (uint16_t)((rn == 15u ? 0u : m4_bit(rn)) | index);
  i->loaded = load ? m4_bit(rt) : (uint16_t)0;
  i->reload = (uint8_t)(load && rt == 15u);
}

/* Several words by one instruction. */
static inline void m4_block(m4_instruction *i, uint32_t rn, uint32_t words, int to_pc) {
  i->kind = M4_BLOCK;
  i->cost = (uint8_t)(1u + words);
  i->address_registers = rn == 15u ? (uint16_t)0 : m4_bit(rn);
  i->reload = (uint8_t)to_pc;
}

static inline void m4_decode_16(m4_instruction *i, uint32_t h) {
  const uint32_t low = h & 7u, mid = (h >> 3) & 7u, high = (h >> 8) & 7u, top = h >> 11;
  if (top < 4u) { /* shifts, three-operand additions */
    i->computed = m4_bit(low);
  } else if (top < 8u) {
    i->computed = top == 5u ? (uint16_t)0 : m4_bit(high); /* all but CMP */
  } else if ((h >> 10) == 16u) {
    const uint32_t op = (h >> 6) & 15u;
    i->computed = op == 8u || op == 10u || op == 11u ? (uint16_t)0 : m4_bit(low); /* all but TST, CMP, CMN */
  } else if ((h >> 10) == 17u) {
    const uint32_t op = (h >> 8) & 3u, rd = low | ((h >> 4) & 8u);
    i->computed = (op == 0u || op == 2u) && rd != 15u ? m4_bit(rd) : (uint16_t)0;
  } else if (top == 9u) {
    m4_single(i, 1, 4, high, 15, 0);
  } else if (top < 12u) { /* register offset: STR STRH STRB LDRSB LDR LDRH LDRB LDRSH */
    static const uint8_t sizes[8] = {4, 2, 1, 1, 4, 2, 1, 2};
    const uint32_t op = (h >> 9) & 7u;
    m4_single(i, op >= 3u, sizes[op], low, mid, m4_bit((h >> 6) & 7u));
  } else if (top < 18u) {
    m4_single(i, (int)(top & 1u), top < 14u ? 4u : top < 16u ? 1u : 2u, low, mid, 0);
  } else if (top < 20u) {
    m4_single(i, (int)(top & 1u), 4, high, 13, 0);
  } else if (top < 22u) {
    i->computed = m4_bit(high);
  } else if ((h & 0xff00u) == 0xb000u) {
    i->computed = m4_bit(13);
  } else if ((h & 0xff00u) == 0xb200u || (h & 0xff00u) == 0xba00u) {
    i->computed = m4_bit(low);
  } else if ((h & 0xf600u) == 0xb400u) { /* PUSH, POP; with the ninth bit LR or PC */
    m4_block(i, 13, m4_ones(h & 0x1ffu), (h & 0x0900u) == 0x0900u);
  } else if ((h & 0xffe8u) == 0xb660u) {
    i->cost = 2; /* CPS */
  } else if ((h & 0xff00u) == 0xbf00u && (h & 15u) != 0u) {
    i->kind = M4_IF_THEN;
    i->guarded = (uint8_t)((h & 1u) != 0u ? 4 : (h & 2u) != 0u ? 3 : (h & 4u) != 0u ? 2 : 1);
  } else if (top == 24u || top == 25u) {
    m4_block(i, high, m4_ones(h & 0xffu), 0);
  }
}

static inline void m4_decode_float(m4_instruction *i, uint32_t h, uint32_t g) {
  if ((h & 0xffe0u) == 0xec40u) { /* VMOV of two core registers */
    i->cost = 2;
    i->computed = (h & 0x10u) != 0u ? (uint16_t)(m4_bit(h) | m4_bit(g >> 12)) : (uint16_t)0;
  } else if ((h & 0xfe00u) == 0xec00u) { /* VLDR, VSTR, VLDM, VSTM: words in the low byte, but for VLDR and VSTR */
    const int single = (h & 0x0120u) == 0x0100u;
    m4_block(i, h & 15u, single ? 1u + ((g >> 8) & 1u) : g & 0xffu, 0); /* a double has coprocessor 11 */
  } else if ((g & 0x10u) != 0u) { /* VMOV, VMRS, VMSR */
    i->computed = (h & 0x10u) != 0u && (g >> 12) != 15u ? m4_bit(g >> 12) : (uint16_t)0;
  } else {
    const uint32_t op = (h >> 4) & 11u;
    const int root = op == 11u && (h & 15u) == 1u && (g & 0xc0u) == 0xc0u;
    i->cost = (uint8_t)(op == 8u || root ? 14 : op < 2u || op == 9u || op == 10u ? 3 : 1);
  }
}

static inline void m4_decode_32(m4_instruction *i, uint32_t h, uint32_t g) {
  const uint32_t rd = (g >> 8) & 15u, rn = h & 15u, rt = g >> 12;
  if ((h & 0xec00u) == 0xec00u) {
    m4_decode_float(i, h, g);
  } else if ((h & 0xfe40u) == 0xe800u) { /* LDM, STM */
    m4_block(i, rn, m4_ones(g), (h & 0x10u) != 0u && rt >= 8u);
  } else if ((h & 0xfff0u) == 0xe8d0u && (g & 0xffe0u) == 0xf000u) { /* TBB, TBH: load, addition, reload */
    m4_block(i, rn, 1, 1);
    i->extra = 1;
    i->address_registers |= m4_bit(g);
  } else if ((h & 0xfe40u) == 0xe840u) {
    if ((h & 0x0120u) == 0u) { /* exclusive ones */
      m4_single(i, (h & 0x10u) != 0u, 1, rt, rn, 0);
      i->cost = 2;
    } else {
      m4_block(i, rn, 2, 0); /* LDRD, STRD */
    }
  } else if ((h & 0xf800u) == 0xf000u && (g & 0x8000u) != 0u) { /* branches and control */
    if ((g & 0x5000u) == 0u && (h & 0x0380u) == 0x0380u) {
      const int barrier = h == 0xf3bfu, moves = (h & 0xffe0u) == 0xf3e0u || (h & 0xffe0u) == 0xf380u;
      i->cost = (uint8_t)(barrier && (g & 0xf0u) == 0x60u ? 1 + M4_RELOAD : moves ? 2 : 1);
      i->computed = (h & 0xffe0u) == 0xf3e0u ? m4_bit(rd) : (uint16_t)0;
    }
  } else if ((h & 0xfe00u) == 0xf800u) { /* loads and stores of one register */
    const int load = (h & 0x10u) != 0u, indexed = (h & 0x80u) == 0u && rn != 15u && (g & 0x0800u) == 0u;
    const uint32_t size = 1u << ((h >> 5) & 3u);
    m4_single(i, load, size, rt, rn, indexed ? m4_bit(g) : (uint16_t)0);
    if (rt == 15u && size < 4u) { /* PLD and its like */
      i->reload = 0;
      i->loaded = 0;
    }
  } else if ((h & 0xff80u) == 0xfb80u) { /* long multiplications and divisions */
    const int divides = (g & 0xf0u) == 0xf0u;
    i->kind = (uint8_t)(divides ? M4_DIVISION : M4_PLAIN);
    i->cost = (uint8_t)(divides ? M4_DIVIDE : 1);
    i->computed = (uint16_t)(m4_bit(rd) | (divides ? 0u : m4_bit(rt)));
  } else {
    i->computed = rd == 15u ? (uint16_t)0 : m4_bit(rd);
  }
}

/* h, g: the halfwords, g counting only where the instruction has two. */
static inline m4_instruction edgec_m4_decode(uint32_t address, uint32_t h, uint32_t g) {
  const uint32_t bytes = (h >> 11) >= 29u ? 4u : 2u;
  m4_instruction i = {address, address + bytes, M4_PLAIN, 1, 0, 0, 0, 0, 0, 0, 0};
  if (bytes == 4u) {
    m4_decode_32(&i, h, g);
  } else {
    m4_decode_16(&i, h);
  }
  return i;
}

/* Charge `last`, now that the instruction behind it is known to be at `successor`. */
static inline void m4_charge(m4_state *s, uint32_t successor) {
  const m4_instruction *const i = s->last, *const before = s->before;
  const int memory = i->kind == M4_LOAD || i->kind == M4_STORE || i->kind == M4_STORE_INDEXED || i->kind == M4_BLOCK;
  const int skipped = s->guarded != 0u && memory && !s->accessed;
  uint32_t cycles = i->cost, least, most;
  if (i->kind == M4_IF_THEN) {
    cycles = before != NULL && before->next - before->address == 2u ? 0 : 1; /* folded */
  } else if (skipped) {
    cycles = 1;
  } else if (memory) {
    const int after_load = before != NULL && !s->before_skipped && before->kind == M4_LOAD && before->reload == 0u &&
                           (before->loaded & i->address_registers) == 0u;
    cycles -= after_load && cycles == 2u && (i->kind == M4_LOAD || i->kind == M4_STORE_INDEXED) ? 1u : 0u;
    cycles += before != NULL && (before->computed & i->address_registers) != 0u ? 1u : 0u;
    cycles += i->kind == M4_LOAD ? s->penalty : 0u;
  }
  least = cycles - (i->kind == M4_DIVISION ? (uint32_t)(M4_DIVIDE - M4_DIVIDE_LEAST) : 0u);
  most = cycles;
  if (successor != i->next) {
    const uint32_t extra = i->extra;
    cycles += extra + (i->reload != 0u ? (uint32_t)M4_RELOAD : (uint32_t)M4_REFILL);
    least += extra + (i->reload != 0u ? (uint32_t)M4_RELOAD : (uint32_t)M4_REFILL_LEAST);
    most += extra + (i->reload != 0u ? (uint32_t)M4_RELOAD : (uint32_t)M4_REFILL_MOST);
  }
  s->instructions++;
  s->cycles += cycles;
  s->least += least;
  s->most += most;
  s->before_skipped = skipped;
}

/* The next instruction begins. */
static inline void edgec_m4_next(m4_state *s, const m4_instruction *now) {
  if (s->last != NULL) {
    m4_charge(s, now->address);
    s->guarded = s->last->kind == M4_IF_THEN ? s->last->guarded : s->guarded != 0u ? s->guarded - 1u : 0u;
  }
  s->before = s->last;
  s->last = now;
  s->accessed = 0;
  s->penalty = 0;
}

/* The instruction that began last reads or writes. */
static inline void edgec_m4_access(m4_state *s, uint32_t address) {
  const uint32_t size = s->last != NULL ? s->last->size : 0u;
  s->accessed = 1;
  if (size == 2u) {
    s->penalty = address & 1u;
  } else if (size == 4u) {
    s->penalty = (address & 1u) != 0u ? 2u : (address >> 1) & 1u;
  }
}

#endif
