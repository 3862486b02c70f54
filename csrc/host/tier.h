// What a host tier offers the planner: plain structs and functions, so that files built with a tier's CPU flags share no
// inline code with the rest of the program (they may include this file, <cstdint> and intrinsics, nothing else).
//
// Activations between steps are held in the tier's own element: one byte u = q + 128 where the tier multiplies unsigned bytes
// (vpdpbusd), one byte q where it multiplies signed ones (AArch64), or int16 q where it multiplies words (vpmaddwd). A dword of K
// is 4 or 2 elements: `group`.
#ifndef EDGEC_HOST_TIER_H
#define EDGEC_HOST_TIER_H

#include <cstdint>

extern "C" {

// How an element is stored: as the artifact has it, or as one of the tiers' elements.
// Q8 is S8 in the arena: kernels read beyond it and lay it out as they like, which a caller's buffer does not allow.
enum edgec_host_kind { EDGEC_KIND_S8 = 0, EDGEC_KIND_U8 = 1, EDGEC_KIND_S16 = 2, EDGEC_KIND_Q8 = 3 };

// How weights lie in the registers of a block of convolution channels.
enum edgec_host_order {
  EDGEC_ORDER_DWORDS = 0,  // a lane: `group` taps of one channel
  EDGEC_ORDER_PAIRS = 1,   // the two first taps of each of 4 channels, then their two last ones (smull, smlal, sadalp)
  EDGEC_ORDER_OCTETS = 2   // 8 taps of a channel, then of the next one (smmla); two dwords of K go together
};

// How a convolution's epilogue adds a residual: to what is rounded already (an `add` behind it), or before the only rounding (conv2d_add).
enum edgec_host_residual { EDGEC_RESIDUAL_NONE = 0, EDGEC_RESIDUAL_ADDED = 1, EDGEC_RESIDUAL_SUMMED = 2 };

// From an int32 accumulator to a stored element: docs/SPEC.md requantize, then the add of a fused residual.
struct edgec_host_requantize {
  int32_t zero_point, low, high, shift;
  int32_t narrow;  // nonzero: the multipliers stored are 2M (every M < 2^30), rounding happens in 16 bits
  int32_t kind;    // of the output
  int32_t add;     // edgec_host_residual; its elements are the tier's own
  int32_t add_own, add_other, add_offset, add_shift, add_low, add_high;  // add_offset: for int8 operands; summed: add_other, add_offset alone
};

// Multipliers of a channel block of NV registers: for each register M of the even lanes, then M of the odd lanes moved to even ones.
// (AArch64: M / 2 of all registers, and as many bytes unused.)
// With two positions in a register the channels of the lower half are repeated in the upper.
// Channel of register n, 128-bit lane l, element i: (n / G * G * lanes) + l * 4G + (n % G) * 4 + i with G = min(NV, 4).
struct edgec_host_conv {
  int32_t positions;       // output pixels
  int32_t channel_blocks;  // of NV registers each
  int32_t segments, segment_dwords;
  const int32_t *segment_offset;  // bytes from a position's first tap
  const int32_t *in_offset, *out_offset, *residual_offset;  // bytes, one a position
  const uint8_t *weights;         // [block][segment][dword][NV][lanes] dwords
  const int32_t *bias;            // [block][NV][lanes]
  const int32_t *multiplier;      // [block][NV][2][lanes]
  int32_t channels;               // elements stored for each position, over all blocks
  int32_t out_runs, residual_runs;  // nonzero: positions of a tile whose results fill a register lie side by side in the output, in the residual
  int32_t pair_bytes;             // from a position to the next, for tiles with two positions in a register
  int32_t least;                  // nonzero: a weight is -128, whose products fill int16
  edgec_host_requantize q;
};

// One output row is a flat run of elements; weights repeat with `period` blocks of group registers.
// Vertical taps lie in groups of `group`, interleaved into dwords. `pair` kernels make two rows from the same registers.
struct edgec_host_depthwise {
  int32_t rows, row_elements, period;
  int32_t in_row_bytes, out_row_bytes;  // from one output row to the next
  int32_t groups, columns;
  const int32_t *row_offset;     // [groups][group] bytes
  const int32_t *column_offset;  // [columns] bytes
  const uint8_t *weights;        // [period][groups][columns][rows at once][group registers][lanes] dwords
  const int32_t *bias;           // [period][group registers][lanes]
  const int32_t *multiplier;     // [period][group registers][2][lanes]
  int32_t least;                 // as above
  edgec_host_requantize q;
};

struct edgec_host_max_pool {
  int32_t rows, row_elements, in_row_bytes, out_row_bytes;
  int32_t taps;
  const int32_t *tap_offset;  // bytes
  int32_t low, high, kind;    // kind of the output
};

struct edgec_host_add {
  int32_t rows, row_elements, a_row_bytes, b_row_bytes, out_row_bytes;
  edgec_host_requantize q;  // its add fields and kind
};

struct edgec_host_lookup {
  int32_t rows, row_elements, in_row_bytes, out_row_bytes;
  int32_t kind;         // of the output
  uint8_t table[256];   // u8 form: table[q + 128] = y + 128
};

// The channels of pixels from one layout and kind to another; no byte beside them is touched.
struct edgec_host_pixels {
  int32_t rows, pixels, channels;
  int32_t from_row_bytes, from_pixel_bytes, to_row_bytes, to_pixel_bytes;
  int32_t from_kind, to_kind;
};

typedef void (*edgec_host_step)(const void *params, uint8_t *const *operands);

struct edgec_host_tile {
  int32_t rows, registers;  // positions and registers of output channels at once
  int32_t halves;           // 2: a register holds two neighbouring positions of up to lanes / 2 channels; else 1
  edgec_host_step run;      // edgec_host_conv; operands: input, output, residual
  int32_t order = EDGEC_ORDER_DWORDS;
};

struct edgec_host_plain;
struct edgec_host_wide;

struct edgec_host_tier {
  const char *name;
  int32_t lanes, group, kind;
  const edgec_host_tile *tiles;  // ends with rows = 0
  edgec_host_step depthwise, depthwise_pair;   // edgec_host_depthwise; operands: input, output
  // As depthwise_pair (rows = 2, three neighbouring columns) or depthwise (rows = 1, three columns of which the last is one pixel
  // further than the first: stride 2 on split columns), for one group of rows, keeping what is interleaved in registers.
  // Null where the tier has none for pixels of that many bytes.
  edgec_host_step (*depthwise_ring)(int32_t pixel_bytes, int32_t rows);
  edgec_host_step max_pool, add, lookup;       // operands: input(s), output
  void (*peak)(int32_t iterations);  // 12 dot products of registers an iteration and nothing else: the ceiling of every kernel
  edgec_host_step pixels;            // edgec_host_pixels; operands: input, output
  const edgec_host_plain *plain;     // on the artifact's own bytes: host/plain_tier.h
  const edgec_host_wide *wide;
  // As depthwise, tap by tap: groups are single taps, columns is 1, weights are [period][groups][group * lanes] bytes. Runs every
  // depthwise convolution where it is `depthwise` too, else the windows of 9 taps that depthwise_pair does not take.
  edgec_host_step depthwise_taps = nullptr;
};

// What the files of a tier define; csrc/host/tiers.cpp makes an edgec_host_tier of them.
#define EDGEC_HOST_TIER_SYMBOLS(tier)                                                     \
  extern const edgec_host_tile edgec_conv_tiles__##tier[];                                \
  void edgec_depthwise__##tier(const void *params, uint8_t *const *operands);             \
  void edgec_depthwise_pair__##tier(const void *params, uint8_t *const *operands);        \
  edgec_host_step edgec_depthwise_ring__##tier(int32_t pixel_bytes, int32_t rows);        \
  void edgec_peak__##tier(int32_t iterations);                                            \
  void edgec_max_pool__##tier(const void *params, uint8_t *const *operands);              \
  void edgec_add__##tier(const void *params, uint8_t *const *operands);                   \
  void edgec_lookup__##tier(const void *params, uint8_t *const *operands);                \
  void edgec_pixels__##tier(const void *params, uint8_t *const *operands);
EDGEC_HOST_TIER_SYMBOLS(avx2)
EDGEC_HOST_TIER_SYMBOLS(avxvnni)
EDGEC_HOST_TIER_SYMBOLS(avx512vnni)
EDGEC_HOST_TIER_SYMBOLS(neon)
EDGEC_HOST_TIER_SYMBOLS(neondot)
EDGEC_HOST_TIER_SYMBOLS(neoni8mm)
void edgec_depthwise_taps__neondot(const void *params, uint8_t *const *operands);
void edgec_depthwise_taps__neoni8mm(const void *params, uint8_t *const *operands);
}

#endif
