/* Opens mutated artifacts and runs those that edgec_open accepts, in memory of exactly the sizes it was told, so that the
 * sanitizers see the first byte outside. For tests/test_artifact_fuzz.py.
 *
 *     artifact_driver ARTIFACT once                 as it is
 *     artifact_driver ARTIFACT truncate             every length below the whole one
 *     artifact_driver ARTIFACT flip FIRST LAST STEP every STEP-th bit of [FIRST, LAST)
 *     artifact_driver ARTIFACT words FIRST LAST     every aligned word of [FIRST, LAST) bytes set to each notable value
 *     artifact_driver ARTIFACT random SEED COUNT FIRST LAST  COUNT copies with 1 to 4 words of [FIRST, LAST) altered
 *
 * Prints, a line each: cases tried, accepted by edgec_open, run, accepted by edgec_verify, cases of each status.
 */
#define _POSIX_C_SOURCE 200809L
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/edgec.h"

enum { STATUSES = 13, LARGEST_ARENA = 1 << 24, GUARD = 1 << 13 };

static unsigned long tried, accepted, run, verified, by_status[STATUSES];

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(2);
}

/* GUARD poisoned bytes on either side: more than the redzones of malloc, beyond which a wild index meets a neighbour. */
static void *exactly(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, EDGEC_ALIGNMENT, bytes + 2u * (size_t)GUARD) != 0) {
    fail("out of memory");
  }
  uint8_t *const first = (uint8_t *)p + GUARD;
  __asan_poison_memory_region(p, GUARD);
  __asan_poison_memory_region(first + bytes, GUARD);
  return first;
}

static void release(void *first, size_t bytes) {
  uint8_t *const p = (uint8_t *)first - GUARD;
  __asan_unpoison_memory_region(p, bytes + 2u * (size_t)GUARD);
  free(p);
}

static void try_run(edgec_model *model) {
  const uint32_t bytes = edgec_arena_bytes(model);
  if (bytes > (uint32_t)LARGEST_ARENA) {
    return; /* a device says no here: edgec_attach with what it has */
  }
  uint8_t *const arena = exactly(bytes);
  if (edgec_run(model) != EDGEC_ERROR_NULL) {
    fail("edgec_run without an arena");
  }
  if (bytes > 0u && edgec_attach(model, arena, bytes - 1u) != EDGEC_ERROR_ARENA_TOO_SMALL) {
    fail("an arena with one byte less was accepted");
  }
  if (edgec_attach(model, arena, bytes) != EDGEC_OK) {
    fail("the arena was refused");
  }
  for (int pattern = 0; pattern < 2; pattern++) { /* mixed bytes, then the least everywhere */
    for (uint32_t i = 0; i < bytes; i++) {
      arena[i] = pattern == 0 ? (uint8_t)(i * 167u + 13u) : 0x80u;
    }
    if (edgec_run(model) != EDGEC_OK) {
      fail("edgec_run");
    }
  }
  volatile int8_t seen; /* reading is the point */
  for (uint32_t i = 0; i < model->output_count; i++) {
    const int8_t *const output = edgec_output(model, i);
    for (uint32_t n = 0; n < edgec_output_port(model, i).bytes; n++) {
      seen = output[n];
      (void)seen;
    }
  }
  if (edgec_input(model, model->input_count) != NULL || edgec_output(model, model->output_count) != NULL) {
    fail("a port that is not there");
  }
  run++;
  release(arena, bytes);
}

static void try_artifact(const uint8_t *artifact, size_t bytes) {
  edgec_model model;
  uint8_t *const copy = exactly(bytes);
  if (bytes > 0u) {
    memcpy(copy, artifact, bytes);
  }
  const edgec_status status = edgec_open(&model, copy, bytes, edgec_kernels_all);
  if ((unsigned)status >= (unsigned)STATUSES) {
    fail("a status without a name");
  }
  tried++;
  by_status[status]++;
  verified += edgec_verify(copy, bytes) == EDGEC_OK;
  if (status == EDGEC_OK) {
    accepted++;
    try_run(&model);
  } else if (model.artifact != NULL) {
    fail("a refused artifact was bound");
  } else {
    /* refused and closed */
  }
  release(copy, bytes);
}

static uint32_t next_random(uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

static const uint32_t notable[] = {0u, 1u, 2u, 0x7fu, 0x80u, 0xffu, 0x7fffu, 0x8000u, 0xffffu, 0x10000u, 0xffffffu, 0x7fffffffu,
                                   0x80000000u, 0xfffffff0u, 0xfffffffeu, 0xffffffffu};
enum { NOTABLE = sizeof notable / sizeof notable[0] };

static void put_le32(uint8_t *p, uint32_t value) {
  for (unsigned i = 0; i < 4u; i++) {
    p[i] = (uint8_t)(value >> (8u * i));
  }
}

/* A small change, or a notable value. */
static uint32_t altered_word(const uint8_t *p, uint32_t random) {
  const uint32_t old = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
  switch (random & 3u) {
    case 0u:
      return old + (random >> 2) % 33u - 16u;
    case 1u:
      return old ^ (uint32_t)1 << (random >> 2) % 32u;
    case 2u:
      return old * 2u;
    default:
      return notable[(random >> 2) % (uint32_t)NOTABLE];
  }
}

int main(int argc, char **argv) {
  FILE *const file = argc > 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    fail("usage: artifact_driver ARTIFACT MODE ...");
  }
  const size_t bytes = (size_t)ftell(file);
  uint8_t *const artifact = exactly(bytes);
  rewind(file);
  if (fread(artifact, 1, bytes, file) != bytes || fclose(file) != 0) {
    fail("cannot read the artifact");
  }
  unsigned long a[4] = {0, 0, 0, 0};
  for (int i = 3; i < argc && i < 7; i++) {
    a[i - 3] = strtoul(argv[i], NULL, 0);
  }
  if (strcmp(argv[2], "once") == 0) {
    try_artifact(artifact, bytes);
  } else if (strcmp(argv[2], "truncate") == 0) {
    for (size_t n = 0; n < bytes; n++) {
      try_artifact(artifact, n);
    }
  } else if (strcmp(argv[2], "flip") == 0) {
    for (unsigned long bit = a[0]; bit < a[1] && bit < 8u * bytes; bit += a[2]) {
      artifact[bit / 8u] ^= (uint8_t)(1u << bit % 8u);
      try_artifact(artifact, bytes);
      artifact[bit / 8u] ^= (uint8_t)(1u << bit % 8u);
    }
  } else if (strcmp(argv[2], "words") == 0) {
    for (size_t at = a[0]; at + 4u <= a[1] && at + 4u <= bytes; at += 4u) {
      uint8_t old[4];
      memcpy(old, artifact + at, 4);
      for (int i = 0; i < NOTABLE; i++) {
        put_le32(artifact + at, notable[i]);
        try_artifact(artifact, bytes);
      }
      memcpy(artifact + at, old, 4);
    }
  } else if (strcmp(argv[2], "random") == 0) {
    uint8_t *const original = exactly(bytes);
    uint32_t state = (uint32_t)a[0] * 2654435761u + 1u;
    memcpy(original, artifact, bytes);
    for (unsigned long n = 0; n < a[1]; n++) {
      const uint32_t changes = 1u + next_random(&state) % 4u;
      for (uint32_t i = 0; i < changes; i++) {
        const size_t at = a[2] + 4u * (next_random(&state) % ((a[3] - a[2]) / 4u));
        put_le32(artifact + at, altered_word(artifact + at, next_random(&state)));
      }
      try_artifact(artifact, bytes);
      memcpy(artifact, original, bytes);
    }
    release(original, bytes);
  } else {
    fail("no such mode");
  }
  release(artifact, bytes);
  printf("%lu\n%lu\n%lu\n%lu\n", tried, accepted, run, verified);
  for (int i = 0; i < STATUSES; i++) {
    printf("%lu ", by_status[i]);
  }
  printf("\n");
  return 0;
}
