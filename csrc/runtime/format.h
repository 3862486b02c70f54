/* The bytes of an artifact: docs/SPEC.md section 2. Little-endian, read by load only, never by cast. */
#ifndef EDGEC_FORMAT_H
#define EDGEC_FORMAT_H

#include <stdint.h>

enum {
  EDGEC_FORMAT_VERSION = 1,
  EDGEC_FORMAT_MINOR = 1,
  EDGEC_HEADER_BYTES = 128,
  EDGEC_HEADER_TOTAL = 12,
  EDGEC_HEADER_ARENA = 20,
  EDGEC_HEADER_COUNTER = 28,
  EDGEC_HEADER_SECTIONS = 36,
  EDGEC_HEADER_RESERVED = 40,
  EDGEC_HEADER_HASH = 96,
  EDGEC_HASH_BYTES = 32,
  EDGEC_SECTION_BYTES = 64,
  EDGEC_SECTION_HASH = 32,
  EDGEC_MAX_SECTIONS = 8,
  EDGEC_SECTION_PROGRAM = 1,
  EDGEC_SECTION_WEIGHTS = 2,
  EDGEC_SECTION_MANIFEST = 3,
  EDGEC_SECTION_SIGNATURE = 4,
  EDGEC_PORT_BYTES = 16,
  EDGEC_RECORD_BYTES = 16
};

static inline uint32_t edgec_load_le32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint32_t edgec_load_le16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

#endif
