/* libtaylorfit: the functions of taylorfit.h, handed on to the build of the engine that suits this processor. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "taylorfit.h"

#ifdef __APPLE__
#define SUFFIX ".dylib"
#else
#define SUFFIX ".so"
#endif

/* Each function that an engine has: result, name without tf_, arguments, and what they are called. */
#define HANDED_ON(F) \
    F(int, potential_members, (const tf_potential *p), (p)) \
    F(int, potential_n_species, (const tf_potential *p), (p)) \
    F(const char *, potential_species, (const tf_potential *p, int k), (p, k)) \
    F(double, potential_cutoff, (const tf_potential *p), (p)) \
    F(int, evaluate, \
      (const tf_potential *p, const tf_atoms *atoms, const tf_results *results, int n_threads, const int32_t *stop, \
       tf_error *error), \
      (p, atoms, results, n_threads, stop, error))
/* These may be called where there is no engine or no potential. */
#define CHECKED(F) \
    F(tf_potential *, potential_new, (void), ()) \
    F(int, potential_load, \
      (tf_potential *p, int n_members, int n_files, const char *const *files, tf_error *error), \
      (p, n_members, n_files, files, error)) \
    F(void, potential_free, (tf_potential *p), (p)) \
    F(void, set_stop_check, (tf_stop_check check), (check))

static struct {
    char build[16]; /* "": none was found */
#define MEMBER(type, name, arguments, names) type(*name) arguments;
    HANDED_ON(MEMBER)
    CHECKED(MEMBER)
} engine;

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Open the build of one level that lies beside this library; OpenBLAS starts no threads of its own. */
static void *open_build(const char *build)
{
    Dl_info here;
    char path[4096];
    const char *slash;
    if (!dladdr((void *)&once, &here) || !here.dli_fname) return NULL;
    slash = strrchr(here.dli_fname, '/');
    int folder = slash ? (int)(slash - here.dli_fname) + 1 : 0;
    if (snprintf(path, sizeof path, "%.*slibtaylorfit_%s" SUFFIX, folder, here.dli_fname, build) >= (int)sizeof path)
        return NULL;
    int ours = !getenv("OPENBLAS_NUM_THREADS");
    if (ours) setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (ours) unsetenv("OPENBLAS_NUM_THREADS");
    return library;
}

static void open_engine(void)
{
    const char *wanted = getenv("TAYLORFIT_CPU");
    int level = wanted && *wanted ? atoi(wanted) : tf_cpu_level();
    for (int candidate = 4; candidate >= 1; candidate--) {
        char build[16];
        if (candidate > level || candidate == 2) continue;
        if (candidate == 1)
            strcpy(build, "base");
        else
            snprintf(build, sizeof build, "v%d", candidate);
        void *library = open_build(build);
        if (!library) continue;
        int complete = 1;
#define FIND(type, name, arguments, names) \
    complete &= (engine.name = (type(*) arguments)dlsym(library, "tf_engine_" #name)) != NULL;
        HANDED_ON(FIND)
        CHECKED(FIND)
        if (!complete) continue;
        strcpy(engine.build, build);
        return;
    }
}

const char *tf_build(void)
{
    pthread_once(&once, open_engine);
    return *engine.build ? engine.build : NULL;
}

const char *tf_version(void) { return TF_VERSION; }

#define HAND_ON(type, name, arguments, names) \
    type tf_##name arguments { return engine.name names; }
HANDED_ON(HAND_ON)

tf_potential *tf_potential_new(void) { return tf_build() ? engine.potential_new() : NULL; }

int tf_potential_load(tf_potential *p, int n_members, int n_files, const char *const *files, tf_error *error)
{
    if (p) return engine.potential_load(p, n_members, n_files, files, error);
    error->code = TF_ERROR_LIBRARY;
    snprintf(error->message, sizeof error->message, "no potential: %s",
             tf_build() ? "out of memory" : "no build of the engine lies beside libtaylorfit");
    return error->code;
}

void tf_potential_free(tf_potential *p)
{
    if (p) engine.potential_free(p);
}

void tf_set_stop_check(tf_stop_check check)
{
    if (tf_build()) engine.set_stop_check(check);
}

void tf_deviation(int n_members, int n, int width, const double *values, double *deviation)
{
    for (int i = 0; i < n; i++) {
        double square = 0.0;
        for (int k = 0; k < width; k++) {
            const double *value = values + (size_t)i * width + k;
            size_t stride = (size_t)n * width;
            double mean = 0.0;
            for (int m = 0; m < n_members; m++) mean += value[m * stride];
            mean /= n_members;
            for (int m = 0; m < n_members; m++) square += (value[m * stride] - mean) * (value[m * stride] - mean);
        }
        deviation[i] = sqrt(square / n_members);
    }
}
