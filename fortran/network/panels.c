/* Products of panels of atoms and weights in registers, for dense.f90: panels.h in both precisions.

   In C because its vector types say what stays in registers.  gfortran keeps sums of such loops in memory, or weights,
   of which AVX2 has no room for the 20 that a tile takes there. */

/* Bytes of a register */
#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif

/* A tile: vectors of atoms by outputs, or vectors of two inputs' sums by outputs.  Ten sums hide the time that each takes */
#define TILE_ATOMS 2
#define TILE_IN 2
#define TILE_OUT 5

/* TILE(n) for all n_out outputs from p on, n of them at a time; n is to be a constant, so that its sums have registers */
#define ALL_TILES \
  for (; p <= n_out - TILE_OUT; p += TILE_OUT) TILE(TILE_OUT); \
  switch (n_out - p) { \
    case 4: TILE(4); break; \
    case 3: TILE(3); break; \
    case 2: TILE(2); break; \
    case 1: TILE(1); break; \
  }

/* Atoms whose products are summed in the precision of the panels, before the sum is added in double precision */
#define ATOMS_OF_SUM 1024

#define ALWAYS static inline __attribute__((always_inline))

/* A number that is used twice is not to be loaded twice */
#if defined(__x86_64__)
#define IN_REGISTER(a) __asm__("" : "+v"(a))
#else
#define IN_REGISTER(a)
#endif

/* What becomes of a sum of products: it is added to a number, or a bias is, or it takes the place of a number, or the
   number is multiplied by it; as dense.f90 has them */
enum { ADD = 0, ADD_BIAS = 1, SET = 2, MULTIPLY = 3 };

#define REAL double
#define INTEGER long long
#define NAME(name) name##_double
#include "panels.h"
#undef REAL
#undef INTEGER
#undef NAME

#define REAL float
#define INTEGER int
#define NAME(name) name##_single
#include "panels.h"
