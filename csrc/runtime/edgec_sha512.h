/* SHA-512 (FIPS 180-4), small rather than fast: one 80-round loop over a window of 16 words. C99, no state of its own. */
#ifndef EDGEC_SHA512_H
#define EDGEC_SHA512_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EDGEC_SHA512_BYTES = 64, EDGEC_SHA512_BLOCK = 128 };

typedef struct edgec_sha512 {
  uint64_t state[8];
  uint64_t total; /* bytes so far; a message has less than 2^61 */
  uint8_t block[EDGEC_SHA512_BLOCK];
} edgec_sha512;

void edgec_sha512_begin(edgec_sha512 *hash);
void edgec_sha512_add(edgec_sha512 *hash, const uint8_t *message, size_t bytes);
void edgec_sha512_end(edgec_sha512 *hash, uint8_t digest[EDGEC_SHA512_BYTES]);

#ifdef __cplusplus
}
#endif

#endif
