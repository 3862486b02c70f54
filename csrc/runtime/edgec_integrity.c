/* Optional: are these the bytes that were built (edgec_verify), and by whom (edgec_verify_signature)?
 *
 * Neither trusts a field before the hash that covers it: lengths are bounded first, then the header's hash is compared, which
 * covers every other field of header and section table. What a section holds is edgec_open's business.
 */
#include "edgec.h"
#include "edgec_sha512.h"
#include "format.h"

static int hash_matches(edgec_sha512 *hash, const uint8_t *expected) {
  uint8_t digest[EDGEC_SHA512_BYTES];
  uint32_t difference = 0;
  edgec_sha512_end(hash, digest);
  for (uint32_t i = 0; i < (uint32_t)EDGEC_HASH_BYTES; i++) {
    difference |= (uint32_t)digest[i] ^ expected[i];
  }
  return difference == 0u;
}

static uint32_t table_end(const uint8_t *artifact) {
  return (uint32_t)EDGEC_HEADER_BYTES + (uint32_t)EDGEC_SECTION_BYTES * edgec_load_le32(artifact + EDGEC_HEADER_SECTIONS);
}

static edgec_status verify_header(const uint8_t *artifact, size_t artifact_bytes) {
  if (artifact_bytes < (size_t)EDGEC_HEADER_BYTES) {
    return EDGEC_ERROR_TRUNCATED;
  }
  if (artifact[0] != 'E' || artifact[1] != 'D' || artifact[2] != 'G' || artifact[3] != 'C') {
    return EDGEC_ERROR_MAGIC;
  }
  if (edgec_load_le16(artifact + 4) != (uint32_t)EDGEC_FORMAT_VERSION || edgec_load_le16(artifact + 6) != (uint32_t)EDGEC_FORMAT_MINOR) {
    return EDGEC_ERROR_VERSION;
  }
  const uint32_t total = edgec_load_le32(artifact + EDGEC_HEADER_TOTAL);
  if (artifact_bytes < total) {
    return EDGEC_ERROR_TRUNCATED;
  }
  const uint32_t count = edgec_load_le32(artifact + EDGEC_HEADER_SECTIONS);
  if (count < 1u || count > (uint32_t)EDGEC_MAX_SECTIONS || table_end(artifact) > total) {
    return EDGEC_ERROR_HEADER;
  }
  edgec_sha512 hash;
  edgec_sha512_begin(&hash);
  edgec_sha512_add(&hash, artifact, EDGEC_HEADER_HASH);
  edgec_sha512_add(&hash, artifact + EDGEC_HEADER_BYTES, table_end(artifact) - (uint32_t)EDGEC_HEADER_BYTES);
  return hash_matches(&hash, artifact + EDGEC_HEADER_HASH) ? EDGEC_OK : EDGEC_ERROR_INTEGRITY;
}

/* Every byte behind the table is in a section, whose hash is compared, or zero; of a SIGNATURE section the signature vouches. */
static edgec_status verify_sections(const uint8_t *artifact, const uint8_t **signature) {
  const uint32_t total = edgec_load_le32(artifact + EDGEC_HEADER_TOTAL);
  uint32_t end = table_end(artifact);
  for (const uint8_t *entry = artifact + EDGEC_HEADER_BYTES; entry < artifact + table_end(artifact); entry += EDGEC_SECTION_BYTES) {
    const uint32_t offset = edgec_load_le32(entry + 4);
    const uint32_t bytes = edgec_load_le32(entry + 8);
    if (offset < end || offset > total || bytes > total - offset) {
      return EDGEC_ERROR_HEADER;
    }
    for (; end < offset; end++) {
      if (artifact[end] != 0u) {
        return EDGEC_ERROR_INTEGRITY;
      }
    }
    if (edgec_load_le32(entry) == (uint32_t)EDGEC_SECTION_SIGNATURE) {
      if (*signature != NULL || bytes != (uint32_t)(EDGEC_SIGNATURE_BYTES + EDGEC_PUBLIC_KEY_BYTES)) {
        return EDGEC_ERROR_HEADER;
      }
      *signature = artifact + offset;
    } else {
      edgec_sha512 hash;
      edgec_sha512_begin(&hash);
      edgec_sha512_add(&hash, artifact + offset, bytes);
      if (!hash_matches(&hash, entry + EDGEC_SECTION_HASH)) {
        return EDGEC_ERROR_INTEGRITY;
      }
    }
    end = offset + bytes;
  }
  return end == total ? EDGEC_OK : EDGEC_ERROR_HEADER;
}

static edgec_status verify(const uint8_t *artifact, size_t artifact_bytes, const uint8_t **signature) {
  if (artifact == NULL) {
    return EDGEC_ERROR_NULL;
  }
  const edgec_status status = verify_header(artifact, artifact_bytes);
  return status == EDGEC_OK ? verify_sections(artifact, signature) : status;
}

edgec_status edgec_verify(const void *artifact, size_t artifact_bytes) {
  const uint8_t *signature = NULL;
  return verify(artifact, artifact_bytes, &signature);
}

edgec_status edgec_verify_signature(const void *artifact, size_t artifact_bytes, edgec_signature_check check, void *user,
                                    uint32_t least_security_counter) {
  if (check == NULL) {
    return EDGEC_ERROR_NULL;
  }
  const uint8_t *const bytes = artifact;
  const uint8_t *signature = NULL;
  const edgec_status status = verify(bytes, artifact_bytes, &signature);
  if (status != EDGEC_OK) {
    return status;
  }
  if (signature == NULL || check(user, signature + EDGEC_SIGNATURE_BYTES, signature, bytes, table_end(bytes)) == 0) {
    return EDGEC_ERROR_SIGNATURE;
  }
  return edgec_load_le32(bytes + EDGEC_HEADER_COUNTER) < least_security_counter ? EDGEC_ERROR_ROLLBACK : EDGEC_OK;
}
