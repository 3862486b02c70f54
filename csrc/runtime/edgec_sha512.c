/* SHA-512: FIPS 180-4, sections 5 and 6.4. */
#include "edgec_sha512.h"

/* Fractional parts of the cube roots of the first 80 primes, 64 bits. */
static const uint64_t round_constant[80] = {
    UINT64_C(0x428a2f98d728ae22), UINT64_C(0x7137449123ef65cd), UINT64_C(0xb5c0fbcfec4d3b2f), UINT64_C(0xe9b5dba58189dbbc),
    UINT64_C(0x3956c25bf348b538), UINT64_C(0x59f111f1b605d019), UINT64_C(0x923f82a4af194f9b), UINT64_C(0xab1c5ed5da6d8118),
    UINT64_C(0xd807aa98a3030242), UINT64_C(0x12835b0145706fbe), UINT64_C(0x243185be4ee4b28c), UINT64_C(0x550c7dc3d5ffb4e2),
    UINT64_C(0x72be5d74f27b896f), UINT64_C(0x80deb1fe3b1696b1), UINT64_C(0x9bdc06a725c71235), UINT64_C(0xc19bf174cf692694),
    UINT64_C(0xe49b69c19ef14ad2), UINT64_C(0xefbe4786384f25e3), UINT64_C(0x0fc19dc68b8cd5b5), UINT64_C(0x240ca1cc77ac9c65),
    UINT64_C(0x2de92c6f592b0275), UINT64_C(0x4a7484aa6ea6e483), UINT64_C(0x5cb0a9dcbd41fbd4), UINT64_C(0x76f988da831153b5),
    UINT64_C(0x983e5152ee66dfab), UINT64_C(0xa831c66d2db43210), UINT64_C(0xb00327c898fb213f), UINT64_C(0xbf597fc7beef0ee4),
    UINT64_C(0xc6e00bf33da88fc2), UINT64_C(0xd5a79147930aa725), UINT64_C(0x06ca6351e003826f), UINT64_C(0x142929670a0e6e70),
    UINT64_C(0x27b70a8546d22ffc), UINT64_C(0x2e1b21385c26c926), UINT64_C(0x4d2c6dfc5ac42aed), UINT64_C(0x53380d139d95b3df),
    UINT64_C(0x650a73548baf63de), UINT64_C(0x766a0abb3c77b2a8), UINT64_C(0x81c2c92e47edaee6), UINT64_C(0x92722c851482353b),
    UINT64_C(0xa2bfe8a14cf10364), UINT64_C(0xa81a664bbc423001), UINT64_C(0xc24b8b70d0f89791), UINT64_C(0xc76c51a30654be30),
    UINT64_C(0xd192e819d6ef5218), UINT64_C(0xd69906245565a910), UINT64_C(0xf40e35855771202a), UINT64_C(0x106aa07032bbd1b8),
    UINT64_C(0x19a4c116b8d2d0c8), UINT64_C(0x1e376c085141ab53), UINT64_C(0x2748774cdf8eeb99), UINT64_C(0x34b0bcb5e19b48a8),
    UINT64_C(0x391c0cb3c5c95a63), UINT64_C(0x4ed8aa4ae3418acb), UINT64_C(0x5b9cca4f7763e373), UINT64_C(0x682e6ff3d6b2b8a3),
    UINT64_C(0x748f82ee5defb2fc), UINT64_C(0x78a5636f43172f60), UINT64_C(0x84c87814a1f0ab72), UINT64_C(0x8cc702081a6439ec),
    UINT64_C(0x90befffa23631e28), UINT64_C(0xa4506cebde82bde9), UINT64_C(0xbef9a3f7b2c67915), UINT64_C(0xc67178f2e372532b),
    UINT64_C(0xca273eceea26619c), UINT64_C(0xd186b8c721c0c207), UINT64_C(0xeada7dd6cde0eb1e), UINT64_C(0xf57d4f7fee6ed178),
    UINT64_C(0x06f067aa72176fba), UINT64_C(0x0a637dc5a2c898a6), UINT64_C(0x113f9804bef90dae), UINT64_C(0x1b710b35131c471b),
    UINT64_C(0x28db77f523047d84), UINT64_C(0x32caab7b40c72493), UINT64_C(0x3c9ebe0a15c9bebc), UINT64_C(0x431d67c49c100d4c),
    UINT64_C(0x4cc5d4becb3e42b6), UINT64_C(0x597f299cfc657e2a), UINT64_C(0x5fcb6fab3ad6faec), UINT64_C(0x6c44198c4a475817),
};

/* Fractional parts of the square roots of the first eight primes, 64 bits. */
static const uint64_t initial_state[8] = {
    UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b), UINT64_C(0x3c6ef372fe94f82b), UINT64_C(0xa54ff53a5f1d36f1),
    UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f), UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179),
};

static uint64_t rotate_right(uint64_t x, unsigned bits) { return (x >> bits) | (x << (64u - bits)); }

static uint64_t load_be64(const uint8_t *p) {
  uint64_t x = 0;
  for (int i = 0; i < 8; i++) {
    x = (x << 8) | p[i];
  }
  return x;
}

static void store_be64(uint8_t *p, uint64_t x) {
  for (int i = 0; i < 8; i++) {
    p[i] = (uint8_t)(x >> (56 - 8 * i));
  }
}

static void compress(uint64_t *state, const uint8_t *block) {
  uint64_t w[16]; /* the last 16 words of the message schedule, a ring */
  uint64_t v[8];  /* a to h */
  for (int i = 0; i < 8; i++) {
    v[i] = state[i];
  }
  for (unsigned t = 0; t < 80u; t++) {
    uint64_t *const wt = &w[t % 16u];
    if (t < 16u) {
      *wt = load_be64(block + 8u * t);
    } else {
      const uint64_t w2 = w[(t - 2u) % 16u];
      const uint64_t w15 = w[(t - 15u) % 16u];
      *wt += (rotate_right(w2, 19) ^ rotate_right(w2, 61) ^ (w2 >> 6)) + w[(t - 7u) % 16u] +
             (rotate_right(w15, 1) ^ rotate_right(w15, 8) ^ (w15 >> 7));
    }
    const uint64_t a = v[0];
    const uint64_t e = v[4];
    const uint64_t t1 = v[7] + (rotate_right(e, 14) ^ rotate_right(e, 18) ^ rotate_right(e, 41)) +
                        ((e & v[5]) ^ (~e & v[6])) + round_constant[t] + *wt;
    const uint64_t t2 =
        (rotate_right(a, 28) ^ rotate_right(a, 34) ^ rotate_right(a, 39)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
    for (int i = 7; i > 0; i--) {
      v[i] = v[i - 1];
    }
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) {
    state[i] += v[i];
  }
}

void edgec_sha512_begin(edgec_sha512 *hash) {
  for (int i = 0; i < 8; i++) {
    hash->state[i] = initial_state[i];
  }
  hash->total = 0;
}

void edgec_sha512_add(edgec_sha512 *hash, const uint8_t *message, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) {
    hash->block[hash->total % (uint64_t)EDGEC_SHA512_BLOCK] = message[i];
    hash->total++;
    if (hash->total % (uint64_t)EDGEC_SHA512_BLOCK == 0u) {
      compress(hash->state, hash->block);
    }
  }
}

void edgec_sha512_end(edgec_sha512 *hash, uint8_t digest[EDGEC_SHA512_BYTES]) {
  const uint64_t bits = hash->total * 8u;
  uint8_t length[16] = {0}; /* big-endian; the high half stays zero */
  const uint8_t one = 0x80;
  const uint8_t zero = 0;
  store_be64(length + 8, bits);
  edgec_sha512_add(hash, &one, 1);
  while (hash->total % (uint64_t)EDGEC_SHA512_BLOCK != (uint64_t)(EDGEC_SHA512_BLOCK - 16)) {
    edgec_sha512_add(hash, &zero, 1);
  }
  edgec_sha512_add(hash, length, sizeof length);
  for (int i = 0; i < 8; i++) {
    store_be64(digest + 8 * i, hash->state[i]);
  }
}
