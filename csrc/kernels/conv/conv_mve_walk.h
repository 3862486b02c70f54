/* Which windows go to the engine when, for one engine: RUN_PAIRS is called with its jobs, WALK(name) makes the functions' names.
 * Included by conv_mve.c, once for each engine, so that a program links only those that it needs: therefore no guard. Positions are
 * handled in order, which edgec/ops/packing_mve.py replays to find how far the output may overlap the input.
 */

/* Two positions a pair; the last of an odd number is computed twice, into the same bytes. */
static void WALK(run_positions)(conv_state *s, const int8_t *first, int32_t step, int32_t position, int32_t count) {
  const int32_t out_c = s->p->out_c;
  s->job.pairs = count / 2;
  s->job.first = first;
  s->job.second = first + step;
  s->job.input_step = 2 * step;
  s->job.output = s->output + position * out_c;
  if (s->job.pairs > 0) {
    RUN_PAIRS(&s->job);
  }
  if (count % 2 != 0) {
    edgec_mve_pairs single = s->job;
    single.pairs = 1;
    single.first = first + (count - 1) * step;
    single.second = single.first;
    single.output = s->output + (position + count - 1) * out_c;
    for (int32_t i = 0; i < 8; i++) {
      single.place[i] = (uint16_t)(i / 2);
    }
    RUN_PAIRS(&single);
  }
}

/* Compute the positions gathered so far, which end before `position`. */
static void WALK(flush)(conv_state *s, int32_t position) {
  if (s->columns_filled != 0) {
    set_walk(s, 1);
    WALK(run_positions)(s, s->columns, s->padded, position - s->columns_filled, s->columns_filled);
    s->columns_filled = 0;
  }
}

/* Note that `count` more columns are filled; compute them all when there is no room for more. */
static void WALK(filled)(conv_state *s, int32_t count, int32_t position) {
  s->columns_filled += count;
  if (s->columns_filled == s->columns_max) {
    WALK(flush)(s, position);
  }
}

/* 1x1: pixels as they lie in the tensor, but for the last ones, whose last block would reach beyond it. */
static void WALK(run_pixels)(conv_state *s) {
  const edgec_conv2d_params *const p = s->p;
  const int32_t step = p->stride_w * p->in_c;
  const int32_t bytes = p->in_h * p->in_w * p->in_c;
  const int flat = p->stride_w == 1 && p->stride_h == 1 && p->out_w == p->in_w;
  const int32_t rows = flat ? 1 : p->out_h;
  const int32_t columns = flat ? p->out_h * p->out_w : p->out_w;
  for (int32_t oy = 0; oy < rows; oy++) {
    const int32_t at = oy * p->stride_h * p->in_w * p->in_c;
    const int8_t *from = s->input + at;
    const int32_t readable = at + s->padded > bytes ? 0 : (bytes - s->padded - at) / step + 1;
    const int32_t straight = readable < columns ? readable : columns;
    if (straight > 0) {
      WALK(flush)(s, oy * columns);
      set_walk(s, 1);
      WALK(run_positions)(s, from, step, oy * columns, straight);
      from += straight * step;
    }
    for (int32_t ox = straight; ox < columns; ox++) {
      edgec_mve_copy(s->columns + s->columns_filled * s->padded, from, p->in_c);
      from += step;
      WALK(filled)(s, 1, oy * columns + ox + 1);
    }
  }
}

/* Everything else: rows of the tensor where the window is inside and its rows come in blocks, columns elsewhere. */
static void WALK(run_windows)(conv_state *s) {
  const edgec_conv2d_params *const p = s->p;
  const int straight = has_straight_rows(p);
  const int dilated = p->dilation_h != 1 || p->dilation_w != 1;
  const int32_t row_bytes = p->kernel_w * p->in_c;
  const int narrow = row_bytes <= EDGEC_MVE_BLOCK;
  const int32_t step = p->stride_w * p->in_c;
  const int32_t left = interior_first(p->pad_left, p->stride_w);
  const int32_t right = interior_end(p->in_w, p->kernel_w, p->pad_left, p->stride_w, p->out_w);
  int32_t position = 0;
  for (int32_t oy = 0; oy < p->out_h; oy++) {
    const int32_t y0 = oy * p->stride_h - p->pad_top;
    clip c;
    c.top = edgec_clamp(-y0, 0, p->kernel_h);
    c.bottom = edgec_clamp(p->in_h - y0, c.top, p->kernel_h);
    const int row_inside = c.bottom - c.top == p->kernel_h;
    /* Integers, since the first tap may lie before the input, where no pointer may point. */
    uintptr_t from = (uintptr_t)s->input + (uintptr_t)(intptr_t)((y0 * p->in_w - p->pad_left) * p->in_c);
    int32_t x0 = -p->pad_left;
    int32_t count = 1;
    for (int32_t ox = 0; ox < p->out_w; ox += count) {
      int8_t *const to = s->columns + s->columns_filled * s->padded;
      const int8_t *const window = (const int8_t *)from;
      const int inside = row_inside && ox >= left && ox < right;
      count = 1;
      if (inside && straight && right - ox > 1) {
        count = (right - ox) / 2 * 2;
        WALK(flush)(s, position);
        set_walk(s, 3);
        WALK(run_positions)(s, window, step, position, count);
      } else if (inside && narrow && !dilated && p->kernel_h == 3) {
        const int32_t room = s->columns_max - s->columns_filled;
        count = room < right - ox ? room : right - ox;
        gather_narrow_run(s, to, window, count);
        WALK(filled)(s, count, position + count);
      } else {
        c.left = edgec_clamp(-x0, 0, p->kernel_w);
        c.right = edgec_clamp(p->in_w - x0, c.left, p->kernel_w);
        if (dilated) {
          gather_taps(s, to, y0, x0);
        } else if (narrow) {
          gather_narrow(s, to, window, &c);
        } else {
          gather_wide(s, to, window, &c);
        }
        WALK(filled)(s, 1, position + 1);
      }
      position += count;
      x0 += count * p->stride_w;
      from += (uintptr_t)(count * step);
    }
  }
}

static void WALK(run)(conv_state *s) {
  if (is_pointwise(s->p)) {
    WALK(run_pixels)(s);
  } else {
    WALK(run_windows)(s);
  }
  WALK(flush)(s, s->p->out_h * s->p->out_w);
}
