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

// operands: inputs 0 and 1, output, as the reference kernels have them.
struct edgec_host_plain {
  edgec_host_step mul, minimum, maximum, add_wide, resize;
};

extern const edgec_host_plain edgec_plain__avx2, edgec_plain__avxvnni, edgec_plain__avx512vnni;
extern const edgec_host_plain edgec_plain__neon, edgec_plain__neondot, edgec_plain__neoni8mm;
}

#endif
