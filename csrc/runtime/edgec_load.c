/* edgec_open: everything that can be wrong with an artifact is found here, once, so that edgec_run need not look. */
#include "record.h"

typedef char edgec_assert_params[sizeof(int32_t) == 4 && EDGEC_MAX_PARAMS >= 20 ? 1 : -1];

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "edgec artifacts hold little-endian int32 constants that kernels read in place"
#endif

static int is_aligned(const void *p) { return ((uintptr_t)p & (uintptr_t)(EDGEC_ALIGNMENT - 1)) == 0u; }

/* [offset, offset + bytes) inside [0, limit), without overflow. */
static int is_inside(uint32_t offset, uint32_t bytes, uint32_t limit) { return bytes <= limit && offset <= limit - bytes; }

static int are_disjoint(uint32_t a, uint32_t a_bytes, uint32_t b, uint32_t b_bytes) {
  return a_bytes == 0u || b_bytes == 0u || a + a_bytes <= b || b + b_bytes <= a;
}

static int is_zero(const uint8_t *p, uint32_t bytes) {
  uint32_t bits = 0;
  for (uint32_t i = 0; i < bytes; i++) {
    bits |= p[i];
  }
  return bits == 0u;
}

/* Sections lie in order, aligned, without gaps larger than the alignment, and end with the file. */
static edgec_status read_sections(edgec_model *model, uint32_t total) {
  const uint32_t count = edgec_load_le32(model->artifact + EDGEC_HEADER_SECTIONS);
  if (count < 1u || count > (uint32_t)EDGEC_MAX_SECTIONS) {
    return EDGEC_ERROR_HEADER;
  }
  uint32_t end = (uint32_t)EDGEC_HEADER_BYTES + (uint32_t)EDGEC_SECTION_BYTES * count;
  if (end > total) {
    return EDGEC_ERROR_HEADER;
  }
  uint32_t previous = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *const entry = model->artifact + EDGEC_HEADER_BYTES + (uint32_t)EDGEC_SECTION_BYTES * i;
    const uint32_t id = edgec_load_le32(entry);
    const uint32_t offset = edgec_load_le32(entry + 4);
    const uint32_t bytes = edgec_load_le32(entry + 8);
    const uint32_t start = (end + (uint32_t)EDGEC_ALIGNMENT - 1u) & ~((uint32_t)EDGEC_ALIGNMENT - 1u);
    if (id <= previous || offset != start || !is_inside(offset, bytes, total) || !is_zero(model->artifact + end, start - end) ||
        !is_zero(entry + 12, 20)) {
      return EDGEC_ERROR_HEADER;
    }
    if (id == (uint32_t)EDGEC_SECTION_PROGRAM) {
      model->program = model->artifact + offset;
      model->program_bytes = bytes;
    } else if (id == (uint32_t)EDGEC_SECTION_WEIGHTS) {
      model->weights = model->artifact + offset;
      model->weights_bytes = bytes;
    } else if (id > (uint32_t)EDGEC_SECTION_SIGNATURE) {
      return EDGEC_ERROR_HEADER;
    } else {
      /* MANIFEST and SIGNATURE are for people and for edgec_verify */
    }
    previous = id;
    end = offset + bytes;
  }
  return end == total && model->program != NULL && model->weights != NULL ? EDGEC_OK : EDGEC_ERROR_HEADER;
}

static edgec_status check_record(const edgec_model *model, const uint8_t *at, uint32_t left, const uint8_t **next) {
  if (left < (uint32_t)EDGEC_RECORD_BYTES) {
    return EDGEC_ERROR_PROGRAM;
  }
  const edgec_record r = edgec_decode_record(at);
  const uint32_t scratch_bytes = edgec_load_le32(at + 12);
  const uint32_t operand_count = r.input_count + r.output_count + r.constant_count;
  if (r.input_count > (uint32_t)EDGEC_MAX_INPUTS || r.input_count < 1u || r.output_count != 1u ||
      r.constant_count > (uint32_t)EDGEC_MAX_CONSTANTS || r.param_count > (uint32_t)EDGEC_MAX_PARAMS || at[3] != 0u ||
      at[7] != 0u || left < (uint32_t)EDGEC_RECORD_BYTES + 8u * operand_count + 4u * r.param_count) {
    return EDGEC_ERROR_PROGRAM;
  }
  const edgec_kernel *const kernel = edgec_find_kernel(model->kernels, r.kernel_id);
  if (kernel == NULL) {
    return EDGEC_ERROR_KERNEL_MISSING;
  }

  edgec_sizes sizes = {{0u, 0u}, {0u}, {0u, 0u, 0u}, 0u, 0u, 0u, 0u, 0u};
  sizes.input_count = (uint8_t)r.input_count;
  sizes.output_count = (uint8_t)r.output_count;
  sizes.constant_count = (uint8_t)r.constant_count;
  sizes.param_count = (uint8_t)r.param_count;
  sizes.scratch = scratch_bytes;
  uint32_t output = 0;
  for (uint32_t i = 0; i < operand_count; i++) {
    const uint32_t offset = edgec_load_le32(r.operands + 8u * i);
    const uint32_t bytes = edgec_load_le32(r.operands + 8u * i + 4u);
    if (i < r.input_count + 1u) {
      if (bytes == 0u || !is_inside(offset, bytes, model->arena_bytes)) {
        return EDGEC_ERROR_PROGRAM;
      }
      if (i < r.input_count) {
        sizes.input[i] = bytes;
      } else {
        sizes.output[0] = bytes;
        output = offset;
      }
    } else {
      if (offset % (uint32_t)EDGEC_ALIGNMENT != 0u || !is_inside(offset, bytes, model->weights_bytes)) {
        return EDGEC_ERROR_PROGRAM;
      }
      sizes.constant[i - r.input_count - 1u] = bytes;
    }
  }
  if (!is_inside(r.scratch_offset, scratch_bytes, model->arena_bytes) || r.scratch_offset % (uint32_t)EDGEC_ALIGNMENT != 0u ||
      !are_disjoint(r.scratch_offset, scratch_bytes, output, sizes.output[0])) {
    return EDGEC_ERROR_PROGRAM;
  }
  for (uint32_t i = 0; i < r.input_count; i++) {
    const uint32_t offset = edgec_load_le32(r.operands + 8u * i);
    const int may_overlap = kernel->overlap != 0u && (i == 0u || offset == output);
    if (!are_disjoint(r.scratch_offset, scratch_bytes, offset, sizes.input[i]) ||
        (!may_overlap && !are_disjoint(offset, sizes.input[i], output, sizes.output[0]))) {
      return EDGEC_ERROR_PROGRAM;
    }
  }
  int32_t params[EDGEC_MAX_PARAMS];
  edgec_load_params(&r, params);
  *next = edgec_record_end(&r);
  return kernel->check(params, &sizes) != 0 ? EDGEC_OK : EDGEC_ERROR_PROGRAM;
}

static edgec_status check_program(edgec_model *model) {
  if (model->program_bytes < 8u) {
    return EDGEC_ERROR_PROGRAM;
  }
  model->op_count = edgec_load_le32(model->program);
  model->input_count = (uint16_t)edgec_load_le16(model->program + 4);
  model->output_count = (uint16_t)edgec_load_le16(model->program + 6);
  const uint32_t ports = (uint32_t)model->input_count + model->output_count;
  if (model->input_count < 1u || model->output_count < 1u || model->program_bytes - 8u < ports * (uint32_t)EDGEC_PORT_BYTES) {
    return EDGEC_ERROR_PROGRAM;
  }
  const uint8_t *at = model->program + 8;
  for (uint32_t i = 0; i < ports; i++) {
    const uint32_t bytes = edgec_load_le32(at + 4);
    const uint32_t offset = edgec_load_le32(at);
    const uint32_t element = at[10];
    const int is_known = element == 2u || (element == 4u && i >= model->input_count);
    const int is_wide = is_known && offset % 4u == 0u && bytes % element == 0u;
    if (bytes == 0u || !is_inside(offset, bytes, model->arena_bytes) || (element != 1u && is_wide == 0) || at[11] != 0u ||
        !edgec_within((int16_t)edgec_load_le16(at + 8), INT8_MIN, INT8_MAX)) {
      return EDGEC_ERROR_PROGRAM;
    }
    at += EDGEC_PORT_BYTES;
  }
  const uint8_t *const end = model->program + model->program_bytes;
  for (uint32_t i = 0; i < model->op_count; i++) {
    const edgec_status status = check_record(model, at, (uint32_t)(end - at), &at);
    if (status != EDGEC_OK) {
      return status;
    }
  }
  return at == end ? EDGEC_OK : EDGEC_ERROR_PROGRAM;
}

edgec_status edgec_open(edgec_model *model, const void *artifact, size_t artifact_bytes,
                        const struct edgec_kernel *const *kernels) {
  if (model == NULL || artifact == NULL || kernels == NULL) {
    return EDGEC_ERROR_NULL;
  }
  const edgec_model closed = {NULL, NULL, NULL, NULL, NULL, 0u, 0u, 0u, 0u, 0u, 0u, NULL, NULL};
  *model = closed;
  if (!is_aligned(artifact)) {
    return EDGEC_ERROR_ALIGNMENT;
  }
  if (artifact_bytes < (size_t)EDGEC_HEADER_BYTES) {
    return EDGEC_ERROR_TRUNCATED;
  }
  const uint8_t *const header = artifact;
  if (header[0] != 'E' || header[1] != 'D' || header[2] != 'G' || header[3] != 'C') {
    return EDGEC_ERROR_MAGIC;
  }
  if (edgec_load_le16(header + 4) != (uint32_t)EDGEC_FORMAT_VERSION || edgec_load_le16(header + 6) != (uint32_t)EDGEC_FORMAT_MINOR) {
    return EDGEC_ERROR_VERSION;
  }
  const uint32_t total = edgec_load_le32(header + EDGEC_HEADER_TOTAL);
  if (artifact_bytes < total) {
    return EDGEC_ERROR_TRUNCATED;
  }
  const uint32_t arena_bytes = edgec_load_le32(header + EDGEC_HEADER_ARENA);
  if (total < (uint32_t)EDGEC_HEADER_BYTES || total > 0x7fffffffu || arena_bytes > 0x7fffffffu ||
      edgec_load_le32(header + 8) != (uint32_t)EDGEC_HEADER_BYTES ||
      edgec_load_le32(header + 24) != (uint32_t)EDGEC_ALIGNMENT ||
      !is_zero(header + EDGEC_HEADER_RESERVED, EDGEC_HEADER_HASH - EDGEC_HEADER_RESERVED)) {
    return EDGEC_ERROR_HEADER;
  }
  edgec_model opened = closed;
  opened.artifact = header;
  opened.kernels = kernels;
  opened.arena_bytes = arena_bytes;
  edgec_status status = read_sections(&opened, total);
  if (status == EDGEC_OK) {
    status = check_program(&opened);
  }
  if (status == EDGEC_OK) {
    *model = opened;
  }
  return status;
}

uint32_t edgec_arena_bytes(const edgec_model *model) { return model == NULL ? 0u : model->arena_bytes; }

edgec_status edgec_attach(edgec_model *model, void *arena, size_t arena_bytes) {
  if (model == NULL || model->artifact == NULL || arena == NULL) {
    return EDGEC_ERROR_NULL;
  }
  if (!is_aligned(arena)) {
    return EDGEC_ERROR_ALIGNMENT;
  }
  if (arena_bytes < model->arena_bytes) {
    return EDGEC_ERROR_ARENA_TOO_SMALL;
  }
  model->arena = arena;
  return EDGEC_OK;
}
