/* edgec_run and the ports: what edgec_open has checked is not looked at again. */
#include "record.h"

static edgec_port port_at(const edgec_model *model, uint32_t index) {
  const uint8_t *const at = model->program + 8 + (uint32_t)EDGEC_PORT_BYTES * index;
  edgec_port port;
  port.offset = edgec_load_le32(at);
  port.bytes = edgec_load_le32(at + 4);
  port.zero_point = (int16_t)edgec_load_le16(at + 8);
  port.scale_bits = edgec_load_le32(at + 12);
  port.element_bytes = at[10];
  return port;
}

static const edgec_port no_port = {0u, 0u, 0, 0u, 0u};

edgec_port edgec_input_port(const edgec_model *model, uint32_t index) {
  return model == NULL || index >= model->input_count ? no_port : port_at(model, index);
}

edgec_port edgec_output_port(const edgec_model *model, uint32_t index) {
  return model == NULL || index >= model->output_count ? no_port : port_at(model, model->input_count + index);
}

int8_t *edgec_input(const edgec_model *model, uint32_t index) {
  const edgec_port port = edgec_input_port(model, index);
  return port.bytes == 0u || model->arena == NULL ? NULL : (int8_t *)(model->arena + port.offset);
}

const int8_t *edgec_output(const edgec_model *model, uint32_t index) {
  const edgec_port port = edgec_output_port(model, index);
  return port.bytes == 0u || model->arena == NULL ? NULL : (const int8_t *)(model->arena + port.offset);
}

const int32_t *edgec_output_indices(const edgec_model *model, uint32_t index) {
  return edgec_output_port(model, index).element_bytes == 4u ? (const int32_t *)(const void *)edgec_output(model, index) : NULL;
}

edgec_status edgec_run(const edgec_model *model) {
  if (model == NULL || model->arena == NULL) {
    return EDGEC_ERROR_NULL;
  }
  const uint8_t *at = model->program + 8 + (uint32_t)EDGEC_PORT_BYTES * ((uint32_t)model->input_count + model->output_count);
  for (uint32_t op = 0; op < model->op_count; op++) {
    const edgec_record r = edgec_decode_record(at);
    int32_t params[EDGEC_MAX_PARAMS];
    edgec_operands operands = {{NULL, NULL}, {NULL}, {NULL, NULL, NULL}, NULL};
    const uint8_t *pair = r.operands;
    edgec_load_params(&r, params);
    for (uint32_t i = 0; i < r.input_count; i++) {
      operands.input[i] = (const int8_t *)(model->arena + edgec_load_le32(pair));
      pair += 8;
    }
    operands.output[0] = (int8_t *)(model->arena + edgec_load_le32(pair));
    const uint32_t output_bytes = edgec_load_le32(pair + 4);
    pair += 8;
    for (uint32_t i = 0; i < r.constant_count; i++) {
      operands.constant[i] = edgec_load_le32(pair + 4) == 0u ? NULL : model->weights + edgec_load_le32(pair);
      pair += 8;
    }
    operands.scratch = model->arena + r.scratch_offset;
    edgec_find_kernel(model->kernels, r.kernel_id)->run(params, &operands);
    if (model->trace != NULL) {
      model->trace(model->trace_user, op, operands.output[0], output_bytes);
    }
    at = edgec_record_end(&r);
  }
  return EDGEC_OK;
}
