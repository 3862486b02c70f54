/* The reference convolutions for one width of weights: FORM(name) makes the functions' names, BIAS is the type of a bias. A WEIGHTS is the place
 * of a weight: START(row, index) makes it, FORWARD moves it along the row, NEXT_ROW to another one, END_ROW to the next one from a row's
 * end. WEIGHT(w, bytes, index) is the weight so far behind it. Included by conv_ref.c, once for each width, so that 8 bits cost nothing
 * for 4: therefore no guard.
 */

/* zero_point times the sum of weights that fall into the padding. */
EDGEC_APART edgec_pair FORM(padded)(WEIGHTS w, int32_t second, int32_t count, int32_t zero_point, edgec_pair acc) {
  for (int32_t i = 0; i < count; i++) {
    acc = edgec_mac_pair(acc, zero_point, WEIGHT(w, 0, i), WEIGHT(w, second, i));
  }
  return acc;
}

/* One kernel row of two output channels; row: the input row, h: the taps that lie in it; second: bytes to the other one's weights. */
EDGEC_COPIED edgec_pair FORM(conv_row)(const edgec_conv2d_params *p, const int8_t *row, int32_t x0, taps h, WEIGHTS w, int32_t second,
                                 edgec_pair acc) {
  const int32_t depth = p->in_c / p->groups;
  const int contiguous = p->dilation_w == 1 && p->groups == 1;
  int32_t kx = 0;
  while (kx < p->kernel_w) {
    const int outside = kx < h.first || kx >= h.last;
    const int32_t run = outside || !contiguous ? 1 : h.last - kx;
    acc = outside ? FORM(padded)(w, second, depth, p->in_zero_point, acc)
                  : FORM(dot)(row + (x0 + kx * p->dilation_w) * p->in_c, w, second, run * depth, acc);
    FORWARD(w, run * depth);
    kx += run;
  }
  return acc;
}

EDGEC_COPIED void FORM(convolve)(const edgec_conv2d_params *p, const edgec_conv2d_add_params *sum, const edgec_operands *operands) {
  const BIAS *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t depth = p->in_c / p->groups;
  const int32_t out_per_group = p->out_c / p->groups;
  const int32_t row_taps = p->kernel_w * depth;
  const int32_t window = ROW_BYTES(p->kernel_h * row_taps);
  int8_t *const y = operands->output[0];
  int32_t at = 0;

  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const int32_t y0 = oy * p->stride_h - p->pad_top;
    const taps v = taps_inside(y0, p->dilation_h, p->kernel_h, p->in_h);
    for (int32_t ox = 0; ox < p->out_w; ox++) {
      const int32_t x0 = ox * p->stride_w - p->pad_left;
      const taps h = taps_inside(x0, p->dilation_w, p->kernel_w, p->in_w);
      WEIGHTS w = START(operands->constant[0], 0);
      const int8_t *x = operands->input[0]; /* first channel of the group of oc */
      int32_t left_in_group = out_per_group;
      int32_t oc = 0;
      while (oc < p->out_c) {
        int32_t count = 1;
        int32_t second = 0;
        if (left_in_group > 1) {
          count = 2;
          second = window;
        }
        edgec_pair acc = {bias[oc], bias[oc + count - 1]};
        for (int32_t ky = 0; ky < p->kernel_h; ky++) {
          acc = ky < v.first || ky >= v.last
                    ? FORM(padded)(w, second, row_taps, p->in_zero_point, acc)
                    : FORM(conv_row)(p, x + (y0 + ky * p->dilation_h) * p->in_w * p->in_c, x0, h, w, second, acc);
          FORWARD(w, row_taps);
        }
        END_ROW(w, window);
        y[at] = finished(p, sum, operands, acc.a, multiplier[oc], at);
        at++;
        if (count > 1) {
          y[at] = finished(p, sum, operands, acc.b, multiplier[oc + 1], at);
          at++;
          NEXT_ROW(w, window);
        }
        oc += count;
        left_in_group -= count;
        if (left_in_group == 0) {
          left_in_group = out_per_group;
          x += depth;
        }
      }
    }
  }
}

/* Two channels (or one, with second 0) of a window that lies inside the input; input channels lie `second` apart, too. */
static edgec_pair FORM(depthwise_inside)(const edgec_depthwise_conv2d_params *p, const int8_t *x, WEIGHTS w, int32_t second,
                                         edgec_pair acc) {
  const int32_t step = p->dilation_w * p->in_c;
  const int32_t next_row = p->dilation_h * p->in_w * p->in_c - p->kernel_w * step;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      acc.a = edgec_mac(acc.a, x[0], WEIGHT(w, 0, 0));
      acc.b = edgec_mac(acc.b, x[second], WEIGHT(w, 0, second));
      x += step;
      NEXT_ROW(w, ROW_BYTES(p->out_c));
    }
    x += next_row;
  }
  return acc;
}

/* The same for a window that leaves the input; x: the input's first pixel, y0, x0: of the first tap. */
static edgec_pair FORM(depthwise_edge)(const edgec_depthwise_conv2d_params *p, const int8_t *x, WEIGHTS w, int32_t second,
                                       int32_t y0, int32_t x0, edgec_pair acc) {
  const int32_t step = p->dilation_w * p->in_c;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    const int32_t iy = y0 + ky * p->dilation_h;
    const int row_inside = iy >= 0 && iy < p->in_h;
    int32_t ix = x0;
    int32_t at = (iy * p->in_w + x0) * p->in_c;
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
      const int inside = row_inside && ix >= 0 && ix < p->in_w;
      acc.a = edgec_mac(acc.a, inside ? x[at] : p->in_zero_point, WEIGHT(w, 0, 0));
      acc.b = edgec_mac(acc.b, inside ? x[at + second] : p->in_zero_point, WEIGHT(w, 0, second));
      ix += p->dilation_w;
      at += step;
      NEXT_ROW(w, ROW_BYTES(p->out_c));
    }
  }
  return acc;
}

/* Backwards, from the last pixel and channel to the first, where the output lies above the input, as memmove does:
 * `distance_above` counts on that. */
EDGEC_COPIED void FORM(convolve_depthwise)(const edgec_depthwise_conv2d_params *p, const edgec_operands *operands) {
  const BIAS *const bias = operands->constant[1];
  const int32_t *const multiplier = operands->constant[2];
  const int32_t per_input = p->out_c / p->in_c;
  const int backwards = (uintptr_t)operands->output[0] > (uintptr_t)operands->input[0];
  int8_t *y = operands->output[0] + (backwards ? p->out_h * p->out_w * p->out_c : 0);

  for (int32_t row = 0; row < p->out_h; row++) {
    const int32_t y0 = (backwards ? p->out_h - 1 - row : row) * p->stride_h - p->pad_top;
    const taps v = taps_inside(y0, p->dilation_h, p->kernel_h, p->in_h);
    for (int32_t col = 0; col < p->out_w; col++) {
      const int32_t x0 = (backwards ? p->out_w - 1 - col : col) * p->stride_w - p->pad_left;
      const taps h = taps_inside(x0, p->dilation_w, p->kernel_w, p->in_w);
      const int inside = v.last - v.first == p->kernel_h && h.last - h.first == p->kernel_w;
      const int8_t *const window = operands->input[0] + (y0 * p->in_w + x0) * p->in_c;
      int32_t channel = 0;
      while (channel < p->out_c) {
        int32_t count = 1;
        if (per_input == 1 && p->out_c - channel > 1) {
          count = 2;
        }
        const int32_t oc = backwards ? p->out_c - count - channel : channel; /* the first of one or two */
        const int32_t ic = per_input == 1 ? oc : oc / per_input;
        WEIGHTS w = START(operands->constant[0], oc);
        const edgec_pair start = {bias[oc], bias[oc + count - 1]};
        const edgec_pair acc = inside ? FORM(depthwise_inside)(p, window + ic, w, count - 1, start)
                                      : FORM(depthwise_edge)(p, operands->input[0] + ic, w, count - 1, y0, x0, start);
        y -= backwards ? count : 0;
        y[0] = edgec_requantize(acc.a, multiplier[oc], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        if (count > 1) {
          y[1] = edgec_requantize(acc.b, multiplier[oc + 1], p->shift, p->out_zero_point, p->clamp_min, p->clamp_max);
        }
        y += backwards ? 0 : count;
        channel += count;
      }
    }
  }
}
