/* Columns in scratch for the Helium convolution: windows copied out of the tensor, padding filled in. Part of conv_mve.c. */
#ifndef EDGEC_CONV_MVE_COLUMNS_H
#define EDGEC_CONV_MVE_COLUMNS_H

#include "../mve.h"
#include "conv.h"
#include "conv_mve_pairs.h"

typedef struct conv_state {
  const edgec_conv2d_params *p;
  const int8_t *input;
  int8_t *output;
  int8_t *columns;
  int32_t window;  /* bytes of a window */
  int32_t padded;  /* rounded up to blocks */
  int32_t columns_max, columns_filled;
  edgec_mve_pairs job;
} conv_state;

/* The part of a window that lies inside the input: taps [top, bottom) by [left, right). */
typedef struct clip {
  int32_t top, bottom, left, right;
} clip;

/* Rows of at most 16 bytes, one after the other; lanes outside the input become zero_point. from: the window's first tap,
 * which may lie outside, but no byte outside is read. The column has 16 bytes to spare behind it. */
static void gather_narrow(const conv_state *s, int8_t *to, const int8_t *from, const clip *c) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t row_bytes = p->kernel_w * p->in_c;
  const int32_t row_step = p->in_w * p->in_c;
  const int8_t *x = from + c->top * row_step;
#if defined(__ARM_FEATURE_MVE)
  const uint32_t lanes = ((1u << (uint32_t)(c->right * p->in_c)) - 1u) & ~((1u << (uint32_t)(c->left * p->in_c)) - 1u);
  if (c->top != 0) {
    edgec_mve_fill(to, p->in_zero_point, c->top * row_bytes);
    to += c->top * row_bytes;
  }
  __asm__ volatile(
      "vdup.8 q1, %[zero]\n"
      "vmsr p0, %[lanes]\n"
      "dls lr, %[rows]\n"
      "1: vpst\n"
      "vldrbt.u8 q0, [%[from]]\n"
      "vpsel q0, q0, q1\n"
      "vstrb.8 q0, [%[to]]\n"
      "add %[from], %[from], %[step]\n"
      "add %[to], %[to], %[n]\n"
      "le lr, 1b\n"
      : [to] "+r"(to), [from] "+r"(x)
      : [n] "r"(row_bytes), [rows] "r"(c->bottom - c->top), [step] "r"(row_step), [lanes] "r"(lanes), [zero] "r"(p->in_zero_point)
      : "q0", "q1", "lr", "memory");
  if (c->bottom != p->kernel_h) {
    edgec_mve_fill(to, p->in_zero_point, (p->kernel_h - c->bottom) * row_bytes);
  }
#else
  edgec_mve_fill(to, p->in_zero_point, p->kernel_h * row_bytes);
  for (int32_t row = c->top; row < c->bottom; row++) {
    edgec_mve_copy(to + row * row_bytes + c->left * p->in_c, x + c->left * p->in_c, (c->right - c->left) * p->in_c);
    x += row_step;
  }
#endif
}

#if defined(__ARM_FEATURE_MVE)

/* r0 columns, r1 first row of the first window, r2 windows, r3: bytes of a row, of a step, of a column, of an input row. */
EDGEC_MVE_FUNCTION(edgec_mve_gather_run, (int8_t *to, const int8_t *from, int32_t count, const int32_t *bytes),
                   "push {r4-r7, lr}\n"
                   "ldrd r4, r5, [r3]\n"
                   "ldrd r6, r7, [r3, #8]\n"
                   "add r3, r1, r7\n"
                   "add r12, r3, r7\n"
                   "vctp.8 r4\n"
                   "dls lr, r2\n"
                   "1: vpsttt\n"
                   "vldrbt.u8 q0, [r1]\n"
                   "vldrbt.u8 q1, [r3]\n"
                   "vldrbt.u8 q2, [r12]\n"
                   "vstrb.8 q0, [r0]\n"
                   "add r2, r0, r4\n"
                   "vstrb.8 q1, [r2]\n"
                   "add r2, r2, r4\n"
                   "vstrb.8 q2, [r2]\n"
                   "add r1, r1, r5\n"
                   "add r3, r3, r5\n"
                   "add r12, r12, r5\n"
                   "add r0, r0, r6\n"
                   "le lr, 1b\n"
                   "pop {r4-r7, pc}\n")

#else

static void edgec_mve_gather_run(int8_t *to, const int8_t *from, int32_t count, const int32_t *bytes) {
  for (int32_t i = 0; i < count; i++) {
    for (int32_t row = 0; row < 3; row++) {
      edgec_mve_copy(to + i * bytes[2] + row * bytes[0], from + i * bytes[1] + row * bytes[3], bytes[0]);
    }
  }
}

#endif

/* The same for windows of three rows that lie inside the input, count of them side by side. */
static void gather_narrow_run(const conv_state *s, int8_t *to, const int8_t *from, int32_t count) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t bytes[4] = {p->kernel_w * p->in_c, p->stride_w * p->in_c, s->padded, p->in_w * p->in_c};
  edgec_mve_gather_run(to, from, count, bytes);
}

static void gather_wide(const conv_state *s, int8_t *to, const int8_t *from, const clip *c) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t row_bytes = p->kernel_w * p->in_c;
  const int32_t row_step = p->in_w * p->in_c;
  const int32_t bytes = (c->right - c->left) * p->in_c;
  if (bytes * (c->bottom - c->top) != s->window) {
    edgec_mve_fill(to, p->in_zero_point, s->window);
  }
  to += c->top * row_bytes + c->left * p->in_c;
  from += c->top * row_step + c->left * p->in_c;
  for (int32_t row = c->top; row < c->bottom; row++) {
    edgec_mve_copy(to, from, bytes);
    to += row_bytes;
    from += row_step;
  }
}

/* With dilation: tap by tap. */
static void gather_taps(const conv_state *s, int8_t *to, int32_t y0, int32_t x0) {
  const edgec_conv2d_params *const p = s->p;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t iy = y0 + ky * p->dilation_h;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int32_t ix = x0 + kx * p->dilation_w;
      if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w) {
        edgec_mve_fill(to, p->in_zero_point, p->in_c);
      } else {
        edgec_mve_copy(to, s->input + (iy * p->in_w + ix) * p->in_c, p->in_c);
      }
      to += p->in_c;
    }
  }
}

#endif
