#include "host/tiers.h"

#include <algorithm>
#include <cstdlib>

#include "host/error.h"
#include "host/plain_tier.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace edgec {

namespace {

#define EDGEC_TIER(tier, lanes, group, kind, taps)                                                                                       \
  {#tier, lanes, group, kind, edgec_conv_tiles__##tier, &edgec_depthwise__##tier, &edgec_depthwise_pair__##tier,                      \
   &edgec_depthwise_ring__##tier,                                                                                                     \
   &edgec_max_pool__##tier, &edgec_add__##tier, &edgec_lookup__##tier, &edgec_peak__##tier, &edgec_pixels__##tier,                           \
   &edgec_plain__##tier, &edgec_wide__##tier, taps}

#ifdef EDGEC_TIER_avx2
const edgec_host_tier avx2_kernels = EDGEC_TIER(avx2, 8, 2, EDGEC_KIND_S16, nullptr);
#endif
#ifdef EDGEC_TIER_avxvnni
const edgec_host_tier avxvnni_kernels = EDGEC_TIER(avxvnni, 8, 4, EDGEC_KIND_U8, nullptr);
#endif
#ifdef EDGEC_TIER_avx512vnni
const edgec_host_tier avx512vnni_kernels = EDGEC_TIER(avx512vnni, 16, 4, EDGEC_KIND_U8, nullptr);
#endif
#ifdef EDGEC_TIER_neon
const edgec_host_tier neon_kernels = EDGEC_TIER(neon, 4, 4, EDGEC_KIND_Q8, &edgec_depthwise__neon);
#endif
#ifdef EDGEC_TIER_neondot
const edgec_host_tier neondot_kernels = EDGEC_TIER(neondot, 4, 4, EDGEC_KIND_Q8, &edgec_depthwise_taps__neondot);
#endif
#ifdef EDGEC_TIER_neoni8mm
const edgec_host_tier neoni8mm_kernels = EDGEC_TIER(neoni8mm, 4, 4, EDGEC_KIND_Q8, &edgec_depthwise_taps__neoni8mm);
#endif

struct Entry {
  const char *name;
  const edgec_host_tier *kernels;
  bool (*runs_here)();
};

#if defined(__x86_64__)
[[maybe_unused]] bool has_avx2() { return __builtin_cpu_supports("avx2"); }
[[maybe_unused]] bool has_avxvnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1u) != 0;
}
[[maybe_unused]] bool has_avx512vnni() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__) && defined(__linux__)
// Bits of the auxiliary vector (Linux, Documentation/arch/arm64/elf_hwcaps.rst), by number: older headers lack the newer names.
[[maybe_unused]] bool has_neondot() { return (getauxval(AT_HWCAP) >> 20 & 1u) != 0; }                          // ASIMDDP
[[maybe_unused]] bool has_neoni8mm() { return has_neondot() && (getauxval(AT_HWCAP2) >> 13 & 1u) != 0; }  // I8MM
#else
[[maybe_unused]] bool has_neondot() { return false; }
[[maybe_unused]] bool has_neoni8mm() { return false; }
#endif
bool always() { return true; }

const std::vector<Entry> &entries() {
  static const std::vector<Entry> all = {
      {"ref", nullptr, &always},
#ifdef EDGEC_TIER_avx2
      {"avx2", &avx2_kernels, &has_avx2},
#endif
#ifdef EDGEC_TIER_avxvnni
      {"avxvnni", &avxvnni_kernels, &has_avxvnni},
#endif
#ifdef EDGEC_TIER_avx512vnni
      {"avx512vnni", &avx512vnni_kernels, &has_avx512vnni},
#endif
#ifdef EDGEC_TIER_neon
      {"neon", &neon_kernels, &always},
#endif
#ifdef EDGEC_TIER_neondot
      {"neondot", &neondot_kernels, &has_neondot},
#endif
#ifdef EDGEC_TIER_neoni8mm
      {"neoni8mm", &neoni8mm_kernels, &has_neoni8mm},
#endif
  };
  return all;
}

std::string joined(const std::vector<std::string> &names) {
  std::string text;
  for (const std::string &n : names) {
    text += (text.empty() ? "" : ", ") + n;
  }
  return text;
}

}  // namespace

std::vector<std::string> compiled_tiers() {
  std::vector<std::string> names;
  for (const Entry &e : entries()) {
    names.emplace_back(e.name);
  }
  return names;
}

std::vector<std::string> available_tiers() {
  std::vector<std::string> names;
  for (const Entry &e : entries()) {
    if (e.runs_here()) {
      names.emplace_back(e.name);
    }
  }
  return names;
}

std::string choose_tier(const std::string &asked) {
  const std::vector<std::string> here = available_tiers();
  const char *const mask = std::getenv("EDGEC_CPU");
  const bool masked = asked.empty() && mask != nullptr && *mask != '\0';
  const std::string name = masked ? std::string(mask) : asked;
  if (name.empty()) {
    return here.back();
  }
  if (std::find(here.begin(), here.end(), name) == here.end()) {
    throw Error(ErrorKind::usage, "tier " + name + " cannot run here", masked ? "environment variable EDGEC_CPU" : "tier",
                "this machine and build have " + joined(here), "name one of them, or leave it empty for the best");
  }
  return name;
}

const edgec_host_tier *tier_kernels(const std::string &name) {
  for (const Entry &e : entries()) {
    if (name == e.name) {
      return e.kernels;
    }
  }
  return nullptr;
}

}  // namespace edgec
