/* edgec runtime: the whole public API. C99, freestanding headers only, no malloc, no float, no global state.
 *
 *     edgec_model model;
 *     edgec_status status = edgec_open(&model, artifact, artifact_bytes, edgec_kernels_all);
 *     if (status == EDGEC_OK) status = edgec_attach(&model, arena, sizeof arena);
 *     memcpy(edgec_input(&model, 0), samples, edgec_input_port(&model, 0).bytes);
 *     status = edgec_run(&model);
 *     result = edgec_output(&model, 0);
 *
 * The artifact stays where it is (flash) and is read in place; it must outlive the model. Inputs and outputs live in the
 * arena: the input's bytes are consumed by the run, and an output is valid until the next write to an input or the next
 * run. Everything is re-entrant: one model and one arena per thread.
 */
#ifndef EDGEC_H
#define EDGEC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum edgec_status {
  EDGEC_OK = 0,
  EDGEC_ERROR_NULL = 1,            /* a pointer argument is NULL, or the model was not opened or attached */
  EDGEC_ERROR_TRUNCATED = 2,       /* fewer bytes than the header says, or than a header has */
  EDGEC_ERROR_MAGIC = 3,           /* not an edgec artifact */
  EDGEC_ERROR_VERSION = 4,         /* a format version this runtime does not read */
  EDGEC_ERROR_HEADER = 5,          /* a header or section-table field breaks a rule */
  EDGEC_ERROR_ALIGNMENT = 6,       /* artifact or arena does not start at a multiple of 16 bytes */
  EDGEC_ERROR_PROGRAM = 7,         /* a program record breaks a rule: sizes, bounds, overlap, parameters */
  EDGEC_ERROR_KERNEL_MISSING = 8,  /* the program needs a kernel that is not in the kernel list */
  EDGEC_ERROR_ARENA_TOO_SMALL = 9, /* fewer bytes than edgec_arena_bytes */
  EDGEC_ERROR_INTEGRITY = 10,      /* a hash does not match (edgec_verify) */
  EDGEC_ERROR_SIGNATURE = 11,      /* no signature, or one that the callback refused (edgec_verify_signature) */
  EDGEC_ERROR_ROLLBACK = 12        /* security counter below the least one accepted (edgec_verify_signature) */
} edgec_status;

enum { EDGEC_ALIGNMENT = 16 }; /* of the artifact and of the arena, in bytes */

/* One graph input or output. real = scale * (q - zero_point); scale is a float32 the runtime itself never touches.
 * Ports are int8, or int16 where the model was compiled so (then zero_point is 0), or int32 where an output gives indices
 * (ArgMax; then scale is 1 and zero_point 0). Wide ones lie at multiples of 4 in the arena, little-endian. */
typedef struct edgec_port {
  uint32_t offset; /* in the arena, bytes */
  uint32_t bytes;  /* of all elements */
  int32_t zero_point;
  uint32_t scale_bits;    /* IEEE-754 binary32 */
  uint32_t element_bytes; /* 1: int8, 2: int16, 4: int32 */
} edgec_port;

struct edgec_kernel; /* kernel.h */

/* Called after each operator with its first output: for comparing layers, not for production. */
typedef void (*edgec_trace)(void *user, uint32_t op_index, const void *output, uint32_t bytes);

/* Caller-owned; the fields are the runtime's, but for trace and trace_user. */
typedef struct edgec_model {
  const uint8_t *artifact;
  const uint8_t *program; /* PROGRAM section */
  const uint8_t *weights; /* WEIGHTS section */
  const struct edgec_kernel *const *kernels;
  uint8_t *arena;
  uint32_t program_bytes;
  uint32_t weights_bytes;
  uint32_t arena_bytes; /* needed */
  uint32_t op_count;
  uint16_t input_count;
  uint16_t output_count;
  edgec_trace trace; /* NULL after edgec_open */
  void *trace_user;
} edgec_model;

/* Check everything once and bind the artifact. kernels: NULL-terminated list, `edgec_kernels_all` or a generated one. */
edgec_status edgec_open(edgec_model *model, const void *artifact, size_t artifact_bytes,
                        const struct edgec_kernel *const *kernels);

/* Bytes of arena the model needs: the number the compiler reported. */
uint32_t edgec_arena_bytes(const edgec_model *model);

/* Give the model its arena: EDGEC_ALIGNMENT-aligned, at least edgec_arena_bytes. */
edgec_status edgec_attach(edgec_model *model, void *arena, size_t arena_bytes);

/* Ports; index below input_count or output_count, else a port of 0 bytes and a NULL pointer. */
edgec_port edgec_input_port(const edgec_model *model, uint32_t index);
edgec_port edgec_output_port(const edgec_model *model, uint32_t index);
int8_t *edgec_input(const edgec_model *model, uint32_t index);
const int8_t *edgec_output(const edgec_model *model, uint32_t index);

/* An output of element_bytes 4, bytes / 4 indices; NULL for any other. */
const int32_t *edgec_output_indices(const edgec_model *model, uint32_t index);

/* One inference: inputs must have been written since the last run. */
edgec_status edgec_run(const edgec_model *model);

/* Optional, edgec_integrity.c: compare the hash of header, section table and every section (SHA-512, first 32 bytes). */
edgec_status edgec_verify(const void *artifact, size_t artifact_bytes);

/* Is an Ed25519 signature of message by public_key valid, and the key one that this device trusts? Nonzero for both, from
 * the implementation the device has. */
enum { EDGEC_SIGNATURE_BYTES = 64, EDGEC_PUBLIC_KEY_BYTES = 32 };
typedef int (*edgec_signature_check)(void *user, const uint8_t *public_key, const uint8_t *signature, const uint8_t *message,
                                     size_t message_bytes);

/* Optional, edgec_integrity.c: edgec_verify, then the signature over header and section table (and so, by their hashes, over
 * every section), then the security counter, which may not be below the least one the device accepts. */
edgec_status edgec_verify_signature(const void *artifact, size_t artifact_bytes, edgec_signature_check check, void *user,
                                    uint32_t least_security_counter);

/* Optional, edgec_quantize.c: for int8 ports. float to int8 and back at the edges, outside the runtime proper (these two use float).
 * edgec_quantize gives EDGEC_ERROR_PROGRAM where a value is NaN. */
edgec_status edgec_quantize(const float *real, int8_t *quantized, uint32_t count, edgec_port port);
void edgec_dequantize(const int8_t *quantized, float *real, uint32_t count, edgec_port port);

/* Optional, edgec_status_text.c. */
const char *edgec_status_text(edgec_status status);

/* Every kernel this library was built with (edgec_kernels_all.c). Linking it links them all. */
extern const struct edgec_kernel *const edgec_kernels_all[];

#ifdef __cplusplus
}
#endif

#endif
