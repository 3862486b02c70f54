/* Example: check the network in place, then run it once. Replace the zeros by samples. */
#include <stdio.h>

#include "@PREFIX@.h"
#include "@PREFIX@_selftest.h"

static @UPPER@_ARENA(arena);

int main(void) {
  const int wrong = @PREFIX@_selftest(arena);
  if (wrong >= 0) {
    printf("self-test: output byte %d is wrong\n", wrong);
    return 1;
  }
  printf("self-test: every byte is right\n");

@FILL_INPUTS@
  @PREFIX@_run(arena);
  const int8_t *const result = @PREFIX@_output(arena, 0);
  for (uint32_t i = 0; i < @UPPER@_OUTPUT_0_BYTES && i < 16u; i++) {
    printf("%d ", result[i]); /* real = @UPPER@_OUTPUT_0_SCALE * (result[i] - @UPPER@_OUTPUT_0_ZERO_POINT) */
  }
  printf("\n");
  return 0;
}
