// Moving bytes in runs: strided copies and transposes with their axes merged, constant padding by rows.
#include <cstring>
#include <vector>

#include "host/plain.h"
#include "kernels/layout/layout.h"
#include "kernels/movement/movement.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace edgec {

namespace {

constexpr int max_axes = 6;

// Output in order; `stride` are bytes of the input. axes[0] is the outermost; neighbours that are one axis to the input are merged.
struct Moves {
  int axes = 0;
  int32_t size[max_axes], stride[max_axes], offset = 0;

  void add(int32_t axis_size, int32_t axis_stride) {
    if (axis_size == 1) {
      return;
    }
    if (axes > 0 && stride[axes - 1] == axis_size * axis_stride) {
      size[axes - 1] *= axis_size;
      stride[axes - 1] = axis_stride;
      return;
    }
    size[axes] = axis_size;
    stride[axes++] = axis_stride;
  }
};

// piece(from) for every index of the outer `axes` axes; it moves the output on itself.
template <typename F> void each(const Moves &m, int axes, const int8_t *from, const F &piece) {
  int32_t index[max_axes] = {0};
  for (;;) {
    piece(from);
    int a = axes - 1;
    for (; a >= 0; a--) {
      from += m.stride[a];
      if (++index[a] < m.size[a]) {
        break;
      }
      from -= static_cast<ptrdiff_t>(m.size[a]) * m.stride[a];
      index[a] = 0;
    }
    if (a < 0) {
      return;
    }
  }
}

template <size_t N> void copy_runs(const Moves &m, const int8_t *from, int8_t *to) {
  each(m, m.axes - 1, from, [&](const int8_t *x) {
    std::memcpy(to, x, N);
    to += N;
  });
}

void run_copies(const void *params, uint8_t *const *operands) {
  const Moves &m = *static_cast<const Moves *>(params);
  const int8_t *const from = reinterpret_cast<const int8_t *>(operands[0]) + m.offset;
  int8_t *to = reinterpret_cast<int8_t *>(operands[2]);
  const auto run = static_cast<size_t>(m.axes > 0 ? m.size[m.axes - 1] : 1);
  switch (run) {
    case 2: copy_runs<2>(m, from, to); return;
    case 3: copy_runs<3>(m, from, to); return;
    case 4: copy_runs<4>(m, from, to); return;
    case 8: copy_runs<8>(m, from, to); return;
    case 12: copy_runs<12>(m, from, to); return;
    case 16: copy_runs<16>(m, from, to); return;
    case 24: copy_runs<24>(m, from, to); return;
    case 32: copy_runs<32>(m, from, to); return;
    case 64: copy_runs<64>(m, from, to); return;
    default: break;
  }
  each(m, m.axes > 0 ? m.axes - 1 : 0, from, [&](const int8_t *x) {
    std::memcpy(to, x, run);
    to += run;
  });
}

// N rows of `columns` bytes, `stride` apart, to columns of N: y[N c + r] = x[stride r + c].
template <int N> void interleave(const int8_t *x, int32_t stride, int32_t columns, int8_t *y) {
  for (int32_t c = 0; c < columns; c++) {
    for (int r = 0; r < N; r++) {
      y[N * c + r] = x[r * stride + c];
    }
  }
}

void transpose_8x8(const int8_t *x, int32_t stride, int8_t *y, int32_t out_stride) {
#if defined(__SSE2__)
  const auto row = [&](int i) { return _mm_loadl_epi64(reinterpret_cast<const __m128i *>(x + i * stride)); };
  const __m128i a = _mm_unpacklo_epi8(row(0), row(1)), b = _mm_unpacklo_epi8(row(2), row(3));
  const __m128i c = _mm_unpacklo_epi8(row(4), row(5)), d = _mm_unpacklo_epi8(row(6), row(7));
  const __m128i ab0 = _mm_unpacklo_epi16(a, b), ab1 = _mm_unpackhi_epi16(a, b), cd0 = _mm_unpacklo_epi16(c, d), cd1 = _mm_unpackhi_epi16(c, d);
  const __m128i whole[4] = {_mm_unpacklo_epi32(ab0, cd0), _mm_unpackhi_epi32(ab0, cd0), _mm_unpacklo_epi32(ab1, cd1), _mm_unpackhi_epi32(ab1, cd1)};
  for (int i = 0; i < 4; i++) {
    _mm_storel_epi64(reinterpret_cast<__m128i *>(y + 2 * i * out_stride), whole[i]);
    _mm_storel_epi64(reinterpret_cast<__m128i *>(y + (2 * i + 1) * out_stride), _mm_unpackhi_epi64(whole[i], whole[i]));
  }
#else
  for (int c = 0; c < 8; c++) {
    for (int r = 0; r < 8; r++) {
      y[c * out_stride + r] = x[r * stride + c];
    }
  }
#endif
}

// rows × columns bytes to columns × rows.
void transpose(const int8_t *x, int32_t rows, int32_t stride, int32_t columns, int8_t *y) {
  switch (rows) {
    case 2: interleave<2>(x, stride, columns, y); return;
    case 3: interleave<3>(x, stride, columns, y); return;
    case 4: interleave<4>(x, stride, columns, y); return;
    default: break;
  }
  for (int32_t r = 0; r < rows; r += 8) {
    for (int32_t c = 0; c < columns; c += 8) {
      if (rows - r >= 8 && columns - c >= 8) {
        transpose_8x8(x + r * stride + c, stride, y + c * rows + r, rows);
        continue;
      }
      for (int32_t i = c; i < c + 8 && i < columns; i++) {
        for (int32_t k = r; k < r + 8 && k < rows; k++) {
          y[i * rows + k] = x[k * stride + i];
        }
      }
    }
  }
}

// The last axis has a stride; the one before it is a run of the input.
void run_transposes(const void *params, uint8_t *const *operands) {
  const Moves &m = *static_cast<const Moves *>(params);
  int8_t *to = reinterpret_cast<int8_t *>(operands[2]);
  const int outer = m.axes - 2;
  if (outer < 0) {
    return;  // not chosen then (step_of)
  }
  const int32_t columns = m.size[outer], rows = m.size[outer + 1], stride = m.stride[outer + 1];
  each(m, outer, reinterpret_cast<const int8_t *>(operands[0]) + m.offset, [&](const int8_t *x) {
    transpose(x, rows, stride, columns, to);
    to += static_cast<ptrdiff_t>(rows) * columns;
  });
}

void run_steps(const void *params, uint8_t *const *operands) {
  const Moves &m = *static_cast<const Moves *>(params);
  int8_t *to = reinterpret_cast<int8_t *>(operands[2]);
  const int32_t size = m.size[m.axes - 1], stride = m.stride[m.axes - 1];
  each(m, m.axes - 1, reinterpret_cast<const int8_t *>(operands[0]) + m.offset, [&](const int8_t *x) {
    for (int32_t i = 0; i < size; i++) {
      *to++ = x[i * stride];
    }
  });
}

// Rows of pixels, as the tier moves them between layouts.
struct Pixels {
  edgec_host_pixels p;
  int32_t offset;
  edgec_host_step run;
};

void run_pixels(const void *params, uint8_t *const *operands) {
  const Pixels &pixels = *static_cast<const Pixels *>(params);
  uint8_t *const moved[] = {operands[0] + pixels.offset, operands[2]};
  pixels.run(&pixels.p, moved);
}

PlainStep step_of(Plan &plan, const edgec_host_tier &tier, const Moves &m, double bytes) {
  const double pieces = m.axes >= 1 ? bytes / m.size[m.axes - 1] : 1.0;
  if ((m.axes == 2 || m.axes == 3) && m.stride[m.axes - 1] == 1) {
    const int32_t rows = m.axes == 3 ? m.size[0] : 1, pixels = m.size[m.axes - 2], channels = m.size[m.axes - 1];
    edgec_host_pixels p = {rows, pixels, channels, m.axes == 3 ? m.stride[0] : 0, m.stride[m.axes - 2], pixels * channels, channels, EDGEC_KIND_S8, EDGEC_KIND_S8};
    return {&run_pixels, plan.keep(Pixels{p, m.offset, tier.pixels}), 30.0 + 2.0 * pieces + bytes / 16};
  }
  const Moves *const kept = plan.keep(m);
  if (m.axes < 1 || m.stride[m.axes - 1] == 1) {
    return {&run_copies, kept, 30.0 + 4.0 * pieces + bytes / 16};
  }
  return {m.axes >= 2 && m.stride[m.axes - 2] == 1 ? &run_transposes : &run_steps, kept, 30.0 + bytes};
}

// Runs of bytes from a table of offsets, again for each of `outer` parts of the input.
struct Picked {
  std::vector<int32_t> offset;
  int32_t outer;
  size_t run, part;
};

template <size_t N> void pick_runs(const Picked &picked, const uint8_t *x, uint8_t *y, size_t run) {
  for (int32_t i = 0; i < picked.outer; i++, x += picked.part) {
    for (const int32_t offset : picked.offset) {
      std::memcpy(y, x + offset, N != 0 ? N : run);
      y += N != 0 ? N : run;
    }
  }
}

void run_picked(const void *params, uint8_t *const *operands) {
  const Picked &picked = *static_cast<const Picked *>(params);
  switch (picked.run) {
    case 1: pick_runs<1>(picked, operands[0], operands[2], 1); return;
    case 2: pick_runs<2>(picked, operands[0], operands[2], 2); return;
    case 4: pick_runs<4>(picked, operands[0], operands[2], 4); return;
    case 8: pick_runs<8>(picked, operands[0], operands[2], 8); return;
    case 12: pick_runs<12>(picked, operands[0], operands[2], 12); return;
    case 16: pick_runs<16>(picked, operands[0], operands[2], 16); return;
    case 32: pick_runs<32>(picked, operands[0], operands[2], 32); return;
    case 64: pick_runs<64>(picked, operands[0], operands[2], 64); return;
    default: pick_runs<0>(picked, operands[0], operands[2], picked.run); return;
  }
}

// An index outside the axis reads the first row, as the reference kernel does.
PlainStep gather_step(Plan &plan, const Record &record) {
  const auto &p = record.as<edgec_gather_params>();
  Picked picked = {{}, p.outer, static_cast<size_t>(p.inner), static_cast<size_t>(p.size) * static_cast<size_t>(p.inner)};
  for (int32_t k = 0; k < p.count; k++) {
    const int32_t index = record.words(0)[k];
    picked.offset.push_back((index >= 0 && index < p.size ? index : 0) * p.inner);
  }
  return {&run_picked, plan.keep(std::move(picked)), 30.0 + 2.0 * p.outer * p.count + record.output.bytes / 16.0};
}

// Padding with one value: rows of the two inner axes that have any, and constant bytes between them.
struct Padding {
  edgec_pad_params p;
  size_t before, row, after;  // bytes
};

void run_padding(const void *params, uint8_t *const *operands) {
  const Padding &padding = *static_cast<const Padding *>(params);
  const edgec_pad_params &p = padding.p;
  const uint8_t *x = operands[0];
  uint8_t *y = operands[2];
  const auto constant = [&](size_t bytes) {
    std::memset(y, p.value, bytes);
    y += bytes;
  };
  const auto whole = [](int32_t before, int32_t size, int32_t after) { return static_cast<size_t>(before + size + after); };
  const size_t line = padding.before + padding.row + padding.after;
  const size_t plane = line * whole(p.before_2, p.size_2, p.after_2);
  const size_t cube = plane * whole(p.before_1, p.size_1, p.after_1);
  constant(static_cast<size_t>(p.before_0) * cube);
  for (int32_t i = 0; i < p.size_0; i++) {
    constant(static_cast<size_t>(p.before_1) * plane);
    for (int32_t j = 0; j < p.size_1; j++) {
      constant(static_cast<size_t>(p.before_2) * line);
      for (int32_t k = 0; k < p.size_2; k++) {
        constant(padding.before);
        std::memcpy(y, x, padding.row);
        x += padding.row;
        y += padding.row;
        constant(padding.after);
      }
      constant(static_cast<size_t>(p.after_2) * line);
    }
    constant(static_cast<size_t>(p.after_1) * plane);
  }
  constant(static_cast<size_t>(p.after_0) * cube);
}

// An axis without padding joins the one outside it.
edgec_pad_params with_long_rows(edgec_pad_params p) {
  for (int i = 0; i < 3 && p.before_3 == 0 && p.after_3 == 0; i++) {
    p.before_3 = p.before_2 * p.size_3;
    p.after_3 = p.after_2 * p.size_3;
    p.size_3 *= p.size_2;
    p.size_2 = p.size_1;
    p.before_2 = p.before_1;
    p.after_2 = p.after_1;
    p.size_1 = p.size_0;
    p.before_1 = p.before_0;
    p.after_1 = p.after_0;
    p.size_0 = 1;
    p.before_0 = p.after_0 = 0;
  }
  return p;
}

}  // namespace

PlainStep movement_step(Plan &plan, const edgec_host_tier &tier, const Record &record) {
  const double bytes = record.output.bytes;
  Moves m;
  if (record.opcode == op_strided_copy) {
    const auto &p = record.as<edgec_strided_copy_params>();
    const int32_t size[] = {p.size_0, p.size_1, p.size_2, p.size_3, p.size_4, p.size_5};
    const int32_t stride[] = {p.stride_0, p.stride_1, p.stride_2, p.stride_3, p.stride_4, p.stride_5};
    m.offset = p.offset;
    for (int i = 0; i < max_axes; i++) {
      m.add(size[i], stride[i]);
    }
    return step_of(plan, tier, m, bytes);
  }
  if (record.opcode == op_transpose) {
    const auto &p = record.as<edgec_transpose_params>();
    const int32_t size[] = {p.size_0, p.size_1, p.size_2, p.size_3}, stride[] = {p.stride_0, p.stride_1, p.stride_2, p.stride_3};
    for (int i = 0; i < 4; i++) {
      m.add(size[i], stride[i]);
    }
    return step_of(plan, tier, m, bytes);
  }
  if (record.opcode == op_pad && record.as<edgec_pad_params>().mode == 0) {
    const edgec_pad_params p = with_long_rows(record.as<edgec_pad_params>());
    const Padding padding = {p, static_cast<size_t>(p.before_3), static_cast<size_t>(p.size_3), static_cast<size_t>(p.after_3)};
    return {&run_padding, plan.keep(padding), 50.0 + bytes / 8};
  }
  return record.opcode == op_gather ? gather_step(plan, record) : PlainStep{};
}

}  // namespace edgec
