/* Optional: a sentence for each status. */
#include "edgec.h"

const char *edgec_status_text(edgec_status status) {
  switch (status) {
    case EDGEC_OK:
      return "ok";
    case EDGEC_ERROR_NULL:
      return "a pointer is NULL, or the model was not opened or attached";
    case EDGEC_ERROR_TRUNCATED:
      return "the artifact has fewer bytes than its header says";
    case EDGEC_ERROR_MAGIC:
      return "not an edgec artifact";
    case EDGEC_ERROR_VERSION:
      return "a format version this runtime does not read";
    case EDGEC_ERROR_HEADER:
      return "a header or section-table field breaks a rule";
    case EDGEC_ERROR_ALIGNMENT:
      return "artifact or arena is not aligned to 16 bytes";
    case EDGEC_ERROR_PROGRAM:
      return "a program record breaks a rule";
    case EDGEC_ERROR_KERNEL_MISSING:
      return "the program needs a kernel that is not in the kernel list";
    case EDGEC_ERROR_ARENA_TOO_SMALL:
      return "the arena is smaller than edgec_arena_bytes";
    case EDGEC_ERROR_INTEGRITY:
      return "a hash does not match";
    case EDGEC_ERROR_SIGNATURE:
      return "no signature, or one that was refused";
    case EDGEC_ERROR_ROLLBACK:
      return "the security counter is below the least one accepted";
    default:
      break;
  }
  return "unknown status";
}
