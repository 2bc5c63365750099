/* One precision of panels.c: numbers REAL, integers of the same size INTEGER, names NAME(name).

   A panel x(n_q, n) holds one quantity of n_q atoms in each column. */

typedef REAL NAME(vector) __attribute__((vector_size(WIDTH)));
typedef REAL NAME(unaligned) __attribute__((vector_size(WIDTH), aligned(sizeof(REAL)), may_alias));
typedef INTEGER NAME(places) __attribute__((vector_size(WIDTH)));
#define LANES ((int)(WIDTH/sizeof(REAL)))

ALWAYS NAME(vector) NAME(load)(const REAL *x)
{
  return *(const NAME(unaligned) *)x;
}

/* n_v vectors of atoms, n_p outputs; weights of outputs and of inputs follow after so many numbers */
ALWAYS void NAME(product_tile)(const int mode, const int n_v, const int n_p, long n_q, int n_in, const REAL *x,
                               const REAL *w, long step_out, long step_in, const REAL *bias, REAL *z)
{
  NAME(vector) sum[TILE_ATOMS][TILE_OUT];

  for (int v = 0; v < n_v; v++)
    for (int p = 0; p < n_p; p++)
      sum[v][p] = mode == ADD ? NAME(load)(z + p*n_q + v*LANES) : (NAME(vector)){0} + (mode == ADD_BIAS ? bias[p] : 0);
  for (int k = 0; k < n_in; k++, x += n_q, w += step_in)
    for (int v = 0; v < n_v; v++) {
      const NAME(vector) a = NAME(load)(x + v*LANES);
      for (int p = 0; p < n_p; p++) sum[v][p] += a*w[p*step_out];
    }
  for (int v = 0; v < n_v; v++)
    for (int p = 0; p < n_p; p++) {
      REAL *to = z + p*n_q + v*LANES;
      *(NAME(unaligned) *)to = mode == MULTIPLY ? NAME(load)(to)*sum[v][p] : sum[v][p];
    }
}

/* n_v vectors of atoms, all outputs */
ALWAYS void NAME(product_rows)(const int mode, const int n_v, long n_q, int n_in, int n_out, const REAL *x,
                               const REAL *w, long step_out, long step_in, const REAL *bias, REAL *z)
{
  int p = 0;

#define TILE(n) \
  NAME(product_tile)(mode, n_v, n, n_q, n_in, x, w + p*step_out, step_out, step_in, bias ? bias + p : bias, z + p*n_q)
  ALL_TILES
#undef TILE
}

ALWAYS void NAME(product)(const int mode, int n_q, int n_in, int n_out, const REAL *x, const REAL *w, long step_out,
                          long step_in, const REAL *bias, REAL *z)
{
  int q = 0;

  for (; q <= n_q - TILE_ATOMS*LANES; q += TILE_ATOMS*LANES)
    NAME(product_rows)(mode, TILE_ATOMS, n_q, n_in, n_out, x + q, w, step_out, step_in, bias, z + q);
  for (; q <= n_q - LANES; q += LANES)
    NAME(product_rows)(mode, 1, n_q, n_in, n_out, x + q, w, step_out, step_in, bias, z + q);
  for (; q < n_q; q++)
    for (int p = 0; p < n_out; p++) {
      REAL *to = z + q + (long)p*n_q;
      REAL sum = mode == ADD ? *to : mode == ADD_BIAS ? bias[p] : 0;
      for (int k = 0; k < n_in; k++) sum += x[q + (long)k*n_q]*w[p*step_out + k*step_in];
      *to = mode == MULTIPLY ? *to*sum : sum;
    }
}

/* Σ_k x(q,k) w(p,k), w(n_out, n_in) or, if turned, w(n_in, n_out), makes z(q,p) in the way of the mode */
void NAME(tf_panel_product)(int mode, int turned, int n_q, int n_in, int n_out, const REAL *x, const REAL *w,
                            const REAL *bias, REAL *z)
{
  if (mode == ADD_BIAS) NAME(product)(ADD_BIAS, n_q, n_in, n_out, x, w, 1, n_out, bias, z);
  else if (mode == ADD) NAME(product)(ADD, n_q, n_in, n_out, x, w, 1, n_out, 0, z);
  else if (mode == SET && !turned) NAME(product)(SET, n_q, n_in, n_out, x, w, 1, n_out, 0, z);
  else if (mode == SET) NAME(product)(SET, n_q, n_in, n_out, x, w, n_in, 1, 0, z);
  else NAME(product)(MULTIPLY, n_q, n_in, n_out, x, w, n_in, 1, 0, z);
}

/* The sums over the lanes of two vectors, in the first two lanes */
ALWAYS NAME(vector) NAME(sum_lanes)(NAME(vector) a, NAME(vector) b)
{
#if defined(__clang__)
  NAME(vector) sum = {0};
  for (int l = 0; l < LANES; l++) {
    sum[0] += a[l];
    sum[1] += b[l];
  }
  return sum;
#else
  NAME(places) even, odd, turn;
  for (int l = 0; l < LANES; l++) {
    even[l] = l & 1 ? LANES + l - 1 : l;
    odd[l] = l & 1 ? LANES + l : l + 1;
  }
  NAME(vector) sum = __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, odd);
#define ADD_LANES(step) \
  if (LANES > (step)) { \
    for (int l = 0; l < LANES; l++) turn[l] = l ^ (step); \
    sum += __builtin_shuffle(sum, turn); \
  }
  ADD_LANES(8)
  ADD_LANES(4)
  ADD_LANES(2)
#undef ADD_LANES
  return sum;
#endif
}

/* n_k inputs and n_p outputs, n_q atoms in whole vectors of panels with `step` atoms */
ALWAYS void NAME(outer_tile)(const int n_k, const int n_p, int n_q, long step, int n_out, const REAL *x, const REAL *d,
                             double *g)
{
  NAME(vector) sum[TILE_IN][TILE_OUT];

  for (int k = 0; k < n_k; k++)
    for (int p = 0; p < n_p; p++) sum[k][p] = (NAME(vector)){0};
  for (long q = 0; q < n_q; q += LANES) {
    NAME(vector) a[TILE_IN], b;
    for (int k = 0; k < n_k; k++) a[k] = NAME(load)(x + q + k*step);
    for (int p = 0; p < n_p; p++) {
      b = NAME(load)(d + q + p*step);
      IN_REGISTER(b);
      for (int k = 0; k < n_k; k++) sum[k][p] += a[k]*b;
    }
  }
  for (int p = 0; p < n_p; p++) {
    const NAME(vector) sums = NAME(sum_lanes)(sum[0][p], sum[n_k - 1][p]);
    for (int k = 0; k < n_k; k++) g[p + (long)k*n_out] += sums[k];
  }
}

/* n_k inputs, all outputs */
ALWAYS void NAME(outer_columns)(const int n_k, int n_q, long step, int n_out, const REAL *x, const REAL *d, double *g)
{
  int p = 0;

#define TILE(n) NAME(outer_tile)(n_k, n, n_q, step, n_out, x, d + p*step, g + p)
  ALL_TILES
#undef TILE
}

/* g(p,k) = g(p,k) + Σ_q d(q,p) x(q,k) */
void NAME(tf_panel_outer_product)(int n_q, int n_in, int n_out, const REAL *x, const REAL *d, double *g)
{
  const int whole = n_q - n_q%LANES;

  for (int q = 0; q < whole; q += ATOMS_OF_SUM) {
    const int n = whole - q < ATOMS_OF_SUM ? whole - q : ATOMS_OF_SUM;
    int k = 0;
    for (; k <= n_in - TILE_IN; k += TILE_IN)
      NAME(outer_columns)(TILE_IN, n, n_q, n_out, x + q + (long)k*n_q, d + q, g + (long)k*n_out);
    if (k < n_in) NAME(outer_columns)(1, n, n_q, n_out, x + q + (long)k*n_q, d + q, g + (long)k*n_out);
  }
  for (int q = whole; q < n_q; q++)
    for (int k = 0; k < n_in; k++)
      for (int p = 0; p < n_out; p++) g[p + (long)k*n_out] += x[q + (long)k*n_q]*d[q + (long)p*n_q];
}

ALWAYS void NAME(sums_tile)(const int n_p, int n_q, long step, const REAL *d, double *s)
{
  NAME(vector) sum[TILE_OUT];

  for (int p = 0; p < n_p; p++) sum[p] = (NAME(vector)){0};
  for (long q = 0; q < n_q; q += LANES)
    for (int p = 0; p < n_p; p++) sum[p] += NAME(load)(d + q + p*step);
  for (int p = 0; p < n_p; p++) s[p] += NAME(sum_lanes)(sum[p], sum[p])[0];
}

/* s(p) = s(p) + Σ_q d(q,p) */
void NAME(tf_panel_column_sums)(int n_q, int n_out, const REAL *d, double *s)
{
  const int whole = n_q - n_q%LANES;

  for (int q = 0; q < whole; q += ATOMS_OF_SUM) {
    const int n = whole - q < ATOMS_OF_SUM ? whole - q : ATOMS_OF_SUM;
    int p = 0;
    for (; p <= n_out - TILE_OUT; p += TILE_OUT) NAME(sums_tile)(TILE_OUT, n, n_q, d + q + (long)p*n_q, s + p);
    for (; p < n_out; p++) NAME(sums_tile)(1, n, n_q, d + q + (long)p*n_q, s + p);
  }
  for (int q = whole; q < n_q; q++)
    for (int p = 0; p < n_out; p++) s[p] += d[q + (long)p*n_q];
}

#undef LANES
