/* Windows of conv2d_s16 as runs of elements: where the next one begins, and copies of those that cannot be read where they lie. */
#ifndef EDGEC_WIDE_WINDOWS_H
#define EDGEC_WIDE_WINDOWS_H

#include "../mve.h"
#include "wide.h"
#include "wide_elements.h"

typedef struct wide_walk {
  const edgec_conv2d_s16_params *p;
  const int8_t *input;
  int32_t element; /* bytes of an input element */
  int32_t y, x;    /* first tap of the next window */
  int32_t straight; /* windows inside the input are read where they lie: kernel_h runs of `run` elements */
  int32_t run;
} wide_walk;

/* A window: `rows` runs of elements, `step` bytes from the start of one to the next. */
typedef struct wide_window {
  const int8_t *first;
  int32_t rows, step;
} wide_window;

/* multiple: runs of a multiple of so many elements need no copy. */
static inline wide_walk wide_walk_of(const edgec_conv2d_s16_params *p, const int8_t *input, int32_t multiple) {
  wide_walk w;
  w.p = p;
  w.input = input;
  w.element = p->in_bits / 8;
  w.y = -p->pad_top;
  w.x = -p->pad_left;
  w.run = p->kernel_w * p->in_c;
  w.straight = w.run % multiple == 0 && (p->dilation_w == 1 || p->kernel_w == 1);
  return w;
}

#if defined(__ARM_FEATURE_MVE)

static inline void wide_copy(int8_t *to, const int8_t *from, int32_t count) { edgec_mve_copy(to, from, count); }

static inline void wide_fill(int8_t *to, int32_t value, int32_t count) { edgec_mve_fill(to, value, count); }

#else

/* Bytes one by one or four at a time. */
static inline void wide_copy(int8_t *to, const int8_t *from, int32_t count) {
  for (; count >= 4; count -= 4) {
    uint32_t word;
    memcpy(&word, from, sizeof word);
    memcpy(to, &word, sizeof word);
    to += 4;
    from += 4;
  }
  for (; count > 0; count--) {
    *to++ = *from++;
  }
}

static inline void wide_fill(int8_t *to, int32_t value, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    to[i] = (int8_t)value;
  }
}

#endif

/* Elements that are all the zero_point, which int16 has at 0. */
static inline void wide_pad(const edgec_conv2d_s16_params *p, int8_t *to, int32_t bytes) {
  wide_fill(to, p->in_bits == 8 ? p->in_zero_point : 0, bytes);
}

/* Taps in canonical order, those outside the input as zero_point. */
static inline void wide_copy_window(const wide_walk *w, int32_t y, int32_t x, int8_t *to) {
  const edgec_conv2d_s16_params *const p = w->p;
  const int32_t pixel = p->in_c * w->element;
  const int32_t first = x < 0 ? -x : 0;
  const int32_t last = p->in_w - x < p->kernel_w ? p->in_w - x : p->kernel_w;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t iy = y + ky * p->dilation_h;
    if (iy < 0 || iy >= p->in_h) {
      wide_pad(p, to, w->run * w->element);
    } else if (p->dilation_w == 1) { /* a window that begins behind the last column would be refused */
      wide_pad(p, to, first * pixel);
      wide_copy(to + first * pixel, w->input + (iy * p->in_w + x + first) * pixel, (last - first) * pixel);
      wide_pad(p, to + last * pixel, (p->kernel_w - last) * pixel);
    } else {
      for (int32_t kx = 0; kx < p->kernel_w; kx++) {
        const int32_t ix = x + kx * p->dilation_w;
        if (ix < 0 || ix >= p->in_w) {
          wide_pad(p, to + kx * pixel, pixel);
        } else {
          wide_copy(to + kx * pixel, w->input + (iy * p->in_w + ix) * pixel, pixel);
        }
      }
    }
    to += w->run * w->element;
  }
}

/* The same for windows inside the input without dilation along the width. Rows but the last are copied in words: what that reads and
 * writes too much lies in the next row, where rows have a word at least. */
static inline void wide_copy_inside(const wide_walk *w, const int8_t *from, int32_t step, int8_t *to) {
  const int32_t bytes = w->run * w->element;
#if defined(__ARM_FEATURE_MVE)
  const int32_t in_words = 0;
#else
  const int32_t in_words = bytes >= 4 ? w->p->kernel_h - 1 : 0;
#endif
  for (int32_t ky = 0; ky < in_words; ky++) {
    for (int32_t i = 0; i < bytes; i += 4) {
      uint32_t word;
      memcpy(&word, from + i, sizeof word);
      memcpy(to + i, &word, sizeof word);
    }
    from += step;
    to += bytes;
  }
  for (int32_t ky = in_words; ky < w->p->kernel_h; ky++) {
    wide_copy(to, from, bytes);
    from += step;
    to += bytes;
  }
}

/* The next window: where it lies, or copied to `copy`; all of a convolution have as many rows. */
static inline wide_window wide_next_window(wide_walk *w, int8_t *copy) {
  const edgec_conv2d_s16_params *const p = w->p;
  const int32_t y = w->y;
  const int32_t x = w->x;
  const int32_t row = p->in_w * p->in_c * w->element;
  w->x += p->stride_w;
  if (w->x == p->out_w * p->stride_w - p->pad_left) {
    w->x = -p->pad_left;
    w->y += p->stride_h;
  }
  wide_window found = {copy, w->straight ? p->kernel_h : 1, w->run * w->element};
  if (y < 0 || x < 0 || y + (p->kernel_h - 1) * p->dilation_h >= p->in_h || x + (p->kernel_w - 1) * p->dilation_w >= p->in_w) {
    wide_copy_window(w, y, x, copy);
  } else if (w->straight) {
    found.first = w->input + y * row + x * p->in_c * w->element;
    found.step = p->dilation_h * row;
  } else if (p->dilation_w == 1) {
    wide_copy_inside(w, w->input + y * row + x * p->in_c * w->element, p->dilation_h * row, copy);
  } else {
    wide_copy_window(w, y, x, copy);
  }
  return found;
}

#endif
