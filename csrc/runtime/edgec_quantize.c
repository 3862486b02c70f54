/* Optional: the float edges of a network, as edgec/numerics.py quantize and dequantize do them. Uses float, not libm. */
#include "edgec.h"

#include <string.h>

static float scale_of(edgec_port port) {
  float scale;
  (void)memcpy(&scale, &port.scale_bits, sizeof scale);
  return scale;
}

/* Round half to even of |v| < 2^22: adding and taking away 1.5 * 2^23 leaves no fraction bits. */
static float round_even(float v) {
  volatile float shifted = v + 12582912.0f;
  return shifted - 12582912.0f;
}

edgec_status edgec_quantize(const float *real, int8_t *quantized, uint32_t count, edgec_port port) {
  const float scale = scale_of(port);
  for (uint32_t i = 0; i < count; i++) {
    float v = real[i] / scale;
    if (!(v >= -1024.0f)) { /* also NaN */
      if (v != v) {
        return EDGEC_ERROR_PROGRAM;
      }
      v = -1024.0f;
    }
    if (v > 1024.0f) {
      v = 1024.0f;
    }
    int32_t q = (int32_t)round_even(v) + port.zero_point;
    q = q < INT8_MIN ? INT8_MIN : q;
    quantized[i] = (int8_t)(q > INT8_MAX ? INT8_MAX : q);
  }
  return EDGEC_OK;
}

void edgec_dequantize(const int8_t *quantized, float *real, uint32_t count, edgec_port port) {
  const float scale = scale_of(port);
  for (uint32_t i = 0; i < count; i++) {
    real[i] = (float)(quantized[i] - port.zero_point) * scale;
  }
}
