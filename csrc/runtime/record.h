/* One operator of the PROGRAM section, decoded: shared by the loader, which checks it, and the runner, which trusts it. */
#ifndef EDGEC_RECORD_H
#define EDGEC_RECORD_H

#include "format.h"
#include "kernel.h"

typedef struct edgec_record {
  uint32_t kernel_id, param_count, input_count, output_count, constant_count, scratch_offset;
  const uint8_t *operands; /* (offset, bytes) pairs: inputs, outputs, constants */
  const uint8_t *params;
} edgec_record;

/* at: at least EDGEC_RECORD_BYTES readable bytes. Counts are as stored; the loader checks them before they are used. */
static inline edgec_record edgec_decode_record(const uint8_t *at) {
  edgec_record r;
  r.kernel_id = edgec_load_le16(at);
  r.param_count = at[2];
  r.input_count = at[4];
  r.output_count = at[5];
  r.constant_count = at[6];
  r.scratch_offset = edgec_load_le32(at + 8);
  r.operands = at + EDGEC_RECORD_BYTES;
  r.params = r.operands + 8u * (r.input_count + r.output_count + r.constant_count);
  return r;
}

static inline const uint8_t *edgec_record_end(const edgec_record *r) { return r->params + 4u * r->param_count; }

static inline const edgec_kernel *edgec_find_kernel(const edgec_kernel *const *kernels, uint32_t id) {
  for (; *kernels != NULL; kernels++) {
    if ((*kernels)->id == id) {
      return *kernels;
    }
  }
  return NULL;
}

/* params: EDGEC_MAX_PARAMS words, of which the record's are written. */
static inline void edgec_load_params(const edgec_record *r, int32_t *params) {
  for (uint32_t i = 0; i < r->param_count; i++) {
    params[i] = (int32_t)edgec_load_le32(r->params + 4u * i);
  }
}

#endif
