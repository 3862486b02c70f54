/* What a compiler may call without being asked, for targets linked without a C library. Counted in code_bytes, as the C
 * library's would be. Built with -fno-builtin and without loop patterns, so that memset is not compiled into itself. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  uint8_t *restrict t = to;
  const uint8_t *restrict f = from;
  while (bytes-- > 0u) {
    *t++ = *f++;
  }
  return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
  uint8_t *t = to;
  const uint8_t *f = from;
  if ((uintptr_t)t <= (uintptr_t)f) {
    while (bytes-- > 0u) {
      *t++ = *f++;
    }
  } else {
    while (bytes-- > 0u) {
      t[bytes] = f[bytes];
    }
  }
  return to;
}

void *memset(void *to, int value, size_t bytes) {
  uint8_t *t = to;
  while (bytes-- > 0u) {
    *t++ = (uint8_t)value;
  }
  return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
  const uint8_t *x = a;
  const uint8_t *y = b;
  for (; bytes > 0u; bytes--, x++, y++) {
    if (*x != *y) {
      return *x < *y ? -1 : 1;
    }
  }
  return 0;
}
