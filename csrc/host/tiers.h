// Which host tiers this library was built with, and which of them this processor runs.
#ifndef EDGEC_HOST_TIERS_H
#define EDGEC_HOST_TIERS_H

#include <string>
#include <vector>

#include "host/tier.h"

namespace edgec {

// Worst first; "ref" is always there and has no kernels of its own.
std::vector<std::string> compiled_tiers();
std::vector<std::string> available_tiers();

// A tier by name; "" takes the best that the environment variable EDGEC_CPU allows. Throws edgec::Error.
std::string choose_tier(const std::string &asked);

// Kernels of a tier, nullptr for "ref".
const edgec_host_tier *tier_kernels(const std::string &name);

}  // namespace edgec

#endif
