// What a tier offers for operators that run on the artifact's own bytes; as host/tier.h, for files built with a tier's CPU flags.
#ifndef EDGEC_HOST_PLAIN_TIER_H
#define EDGEC_HOST_PLAIN_TIER_H

#include "host/tier.h"

extern "C" {

// Parameters of a step: a record's own, and its constants.
struct edgec_host_plain_step {
  const void *params;
  const void *constant[2];
};

// conv2d_s16: the input becomes an image of int16 with its padding, of rows by columns pixels. A window is `segments` runs of dwords.
struct edgec_host_wide_conv {
  const void *params;
  const int16_t *weights;                    // [block][segment][dword][register][lanes] dwords; depthwise: [lanes' block][tap][lanes]
  const int32_t *bias, *multiplier;          // [block][register][lanes]
  const int32_t *in_offset, *segment_offset; // bytes: of a position in the image, of a run in a window
  int32_t segments, dwords, registers, blocks;
  int32_t rows, columns;
  int32_t direct;                            // nonzero: the input is its own image
};

enum { edgec_wide_registers = 2 };  // of a block of more channels than one register holds

// operands: inputs 0 and 1, output, scratch. conv and depthwise want an edgec_host_wide_conv, the others an edgec_host_plain_step.
struct edgec_host_wide {
  int32_t lanes;
  int32_t pairs;  // nonzero: a dword of weights has two taps of a channel; else a register has one tap of all, then the next
  edgec_host_step conv, depthwise, average_pool, add, rescale;
};

extern const edgec_host_wide edgec_wide__avx2, edgec_wide__avxvnni, edgec_wide__avx512vnni;
extern const edgec_host_wide edgec_wide__neon, edgec_wide__neondot, edgec_wide__neoni8mm;

// operands: inputs 0 and 1, output, as the reference kernels have them.
struct edgec_host_plain {
  edgec_host_step mul, minimum, maximum, add_wide, resize, softmax, div, argmax, table_pool;
};

extern const edgec_host_plain edgec_plain__avx2, edgec_plain__avxvnni, edgec_plain__avx512vnni;
extern const edgec_host_plain edgec_plain__neon, edgec_plain__neondot, edgec_plain__neoni8mm;
}

#endif
