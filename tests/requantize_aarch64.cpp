// The epilogue of the AArch64 tiers against csrc/kernels/fixed.h: extremes, exact ties, and pseudo-random values. Prints the number of
// cases, or the first mismatch and exits with 1. Arguments: rounds of pseudo-random values.
#include <cstdio>
#include <cstdlib>

#include "kernels/fixed.h"
#include "kernels/simd/simd_neon.h"
#include "kernels/simd/epilogue_s8.h"

namespace {

uint64_t state = 0x9e3779b97f4a7c15u;
uint32_t next() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<uint32_t>(state >> 32);
}

uint64_t cases = 0;

void requantize(const int32_t (&acc)[16], const int32_t (&multiplier)[16], const edgec_host_requantize &q) {
  const Epilogue e(q);
  int32_t half[16];
  int8_t got[16];
  V a[1][4];
  for (int i = 0; i < 16; i++) {
    half[i] = multiplier[i] / 2;
  }
  for (int i = 0; i < 4; i++) {
    a[0][i] = Simd::load(acc + 4 * i);
  }
  __asm__ volatile("" ::: "memory");  // load_constants does not say what it reads
  e.scale<true>(a, half);
  Simd::store(got, e.pack<true>(a[0][0], a[0][1], a[0][2], a[0][3]));
  for (int i = 0; i < 16; i++, cases++) {
    const int8_t wanted = edgec_requantize(acc[i], multiplier[i], q.shift, q.zero_point, q.low, q.high);
    if (got[i] != wanted) {
      std::printf("requantize(%d, %d, shift %d, zero_point %d, %d, %d) is %d, not %d\n", acc[i], multiplier[i], q.shift, q.zero_point, q.low, q.high,
                  wanted, got[i]);
      std::exit(1);
    }
  }
}

void add(const edgec_host_requantize &q) {
  const Epilogue e(q);
  int8_t own[16], other[16], got[16];
  for (int i = 0; i < 16; i++) {
    own[i] = static_cast<int8_t>(next() % 8 == 0 ? -128 : next());
    other[i] = static_cast<int8_t>(next() % 8 == 0 ? -128 : next());
  }
  Simd::store(got, e.with_residual(Simd::load(own), Simd::load(other)));
  for (int i = 0; i < 16; i++, cases++) {
    const int32_t sum = edgec_mac(edgec_mac(q.add_offset, own[i], q.add_own), other[i], q.add_other);
    const int32_t wanted = edgec_clamp(sum >> q.add_shift, q.add_low, q.add_high);
    if (got[i] != wanted) {
      std::printf("add(%d, %d) is %d, not %d\n", own[i], other[i], wanted, got[i]);
      std::exit(1);
    }
  }
}

}  // namespace

int main(int argc, char **argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 100000;
  static const int32_t accumulators[] = {INT32_MIN, INT32_MIN + 1, -65537, -65536, -256, -3, -2, -1, 0, 1, 2, 3, 255, 65536, INT32_MAX - 1, INT32_MAX};
  static const int32_t multipliers[] = {0, 2, 4, 65536, 1 << 24, 1 << 29, (1 << 30) - 2, 1 << 30, (1 << 30) + 2, INT32_MAX - 1};
  for (const int32_t m : multipliers) {
    for (int32_t z = -128; z <= 127; z += 15) {
      for (int32_t shift = 0; shift <= 16; shift += shift < 4 ? 1 : 6) {
        int32_t all[16];
        for (int32_t &x : all) {
          x = m;
        }
        requantize(accumulators, all, {z, -128, 127, shift, 1, EDGEC_KIND_Q8, 0, 0, 0, 0, 0, 0, 0});
      }
    }
  }
  for (int i = 0; i < rounds; i++) {
    int32_t acc[16], m[16];
    for (int k = 0; k < 16; k++) {
      m[k] = static_cast<int32_t>((next() >> 1 >> next() % 24) & ~1u);
      const int32_t size = static_cast<int32_t>(next() % 32);
      acc[k] = static_cast<int32_t>(next()) >> size;
      if (m[k] != 0 && k % 2 != 0) {  // near a tie: (j + 1/2) · 2^32 / M
        const int64_t j = static_cast<int32_t>(next() % 260) - 130;
        const int64_t near = ((2 * j + 1) << 31) / m[k] + static_cast<int32_t>(next() % 3) - 1;
        acc[k] = near >= INT32_MIN && near <= INT32_MAX ? static_cast<int32_t>(near) : acc[k];
      }
    }
    const int32_t low = static_cast<int32_t>(next() % 256) - 128;
    requantize(acc, m, {static_cast<int32_t>(next() % 256) - 128, low, low + static_cast<int32_t>(next() % static_cast<uint32_t>(128 - low)),
                        next() % 4 == 0 ? static_cast<int32_t>(next() % 17) : 0, 1, EDGEC_KIND_Q8, 0, 0, 0, 0, 0, 0, 0});
    const int32_t shift = 1 + static_cast<int32_t>(next() % 22);
    add({0, 0, 0, 0, 1, EDGEC_KIND_Q8, 1, static_cast<int16_t>(next()), static_cast<int16_t>(next()), static_cast<int32_t>(next()) >> 4, shift, low,
         low + static_cast<int32_t>(next() % static_cast<uint32_t>(128 - low))});
  }
  std::printf("%llu cases\n", static_cast<unsigned long long>(cases));
  return 0;
}
