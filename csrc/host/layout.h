// How an activation lies in the arena: padded rows of pixels of `pitch` elements, in the artifact's element or a tier's own.
#ifndef EDGEC_HOST_LAYOUT_H
#define EDGEC_HOST_LAYOUT_H

#include <cstddef>
#include <cstdint>

#include "host/tier.h"

namespace edgec {

// Logical shape of an activation as one operator sees it; the same bytes may be another shape to the next one.
struct View {
  int h = 1, w = 1, c = 1;
  bool operator==(const View &o) const { return h == o.h && w == o.w && c == o.c; }
  size_t size() const { return static_cast<size_t>(h) * static_cast<size_t>(w) * static_cast<size_t>(c); }
};

struct Layout {
  View view;
  int pitch = 0;  // elements a pixel, ≥ view.c; the ones beyond view.c hold anything
  int top = 0, left = 0, bottom = 0, right = 0;  // pixels of padding, holding pad_value
  int split = 1;      // columns are kept in `split` planes (column x in plane x % split), so that a stride reads a flat run
  int kind = EDGEC_KIND_S8;
  int pad_value = 0;  // as int8 q

  int element() const { return kind == EDGEC_KIND_S16 ? 2 : 1; }
  int columns() const { return (left + view.w + right + split - 1) / split * split; }
  int row_bytes() const { return columns() * pitch * element(); }
  size_t bytes() const { return static_cast<size_t>(top + view.h + bottom) * static_cast<size_t>(row_bytes()); }
  bool has_padding() const { return top != 0 || left != 0 || bottom != 0 || right != 0; }
  // The bytes of a flat layout are the elements in the artifact's order, whatever the view.
  bool is_flat() const { return !has_padding() && split == 1 && pitch == view.c; }
  // Byte of pixel (y, x), which may lie in the padding: −top ≤ y, −left ≤ x.
  int offset(int y, int x) const {
    const int column = x + left;
    const int at = split == 1 ? column : column % split * (columns() / split) + column / split;
    return (y + top) * row_bytes() + at * pitch * element();
  }
  int pad_element() const { return kind == EDGEC_KIND_U8 ? pad_value + 128 : pad_value; }
};

}  // namespace edgec

#endif
