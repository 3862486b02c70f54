// What a host tier offers the planner: plain structs and functions, so that files built with a tier's CPU flags share no
// inline code with the rest of the program.
#ifndef EDGEC_HOST_TIER_H
#define EDGEC_HOST_TIER_H

#include <cstdint>

extern "C" {

struct edgec_host_tier {
  const char *name;
};

extern const edgec_host_tier edgec_host_tier_avx2, edgec_host_tier_avxvnni, edgec_host_tier_avx512vnni;
}

#endif
