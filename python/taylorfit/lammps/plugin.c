/* taylorfitplugin.so: what LAMMPS loads to know `pair_style taylorfit`.
 *
 * It needs no symbol of LAMMPS, so loading it cannot fail.  When the style is wanted it compares the LAMMPS that the
 * style was compiled for with the running one, and then opens the style (pair_taylorfit.cpp), which lies beside it as
 * taylorfitplugin.style.so.  A LAMMPS that does not fit gets one clear error, not the words of the loader or a crash.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LAMMPS_BIGBIG
#define TAGINT 8
#else
#define TAGINT 4
#endif

enum { LENGTH = 8192 }; /* of a path or message; MPI_MAX_LIBRARY_VERSION_STRING of MPICH */

/* A function of a library, or of the running LAMMPS and its MPI; NULL: there is none of this name. */
#define FIND(function, library, name) (*(void **)&(function) = dlsym(library, name))

/* Open the style if it fits the running LAMMPS; NULL, and what is wrong.
 *
 * LAMMPS is asked through functions of its C interface alone: classes of another version have other layouts. */
static void *open_style(void *lmp, char *wrong)
{
    int (*version)(void *), (*setting)(void *, const char *), (*mpi)(char *, int *);
    const int running = FIND(version, RTLD_DEFAULT, "lammps_version") ? version(lmp) : TAYLORFIT_LAMMPS_VERSION;
    const int tagint = FIND(setting, RTLD_DEFAULT, "lammps_extract_setting") ? setting(lmp, "tagint") : TAGINT;
    char text[LENGTH] = TAYLORFIT_MPI;
    int size = 0;
    Dl_info own;
    if (strcmp(TAYLORFIT_MPI, "STUBS") && FIND(mpi, RTLD_DEFAULT, "MPI_Get_library_version")) mpi(text, &size);

    if (running != TAYLORFIT_LAMMPS_VERSION)
        snprintf(wrong, LENGTH, "this plugin is for LAMMPS %d, the running one is %d", TAYLORFIT_LAMMPS_VERSION, running);
    else if (tagint != TAGINT)
        snprintf(wrong, LENGTH, "this plugin is for atom numbers of %d bytes, the running LAMMPS has %d (LAMMPS_BIGBIG)",
                 TAGINT, tagint);
    else if (!strstr(text, TAYLORFIT_MPI))
        snprintf(wrong, LENGTH, "this plugin is for %s, the running LAMMPS uses %.24s", TAYLORFIT_MPI, text);
    else if (dladdr((void *)&open_style, &own)) {
        const size_t length = strlen(own.dli_fname);
        const int ending = length > 3 && !strcmp(own.dli_fname + length - 3, ".so") ? 3 : 0;
        snprintf(text, LENGTH, "%.*s.style.so", (int)length - ending, own.dli_fname);
        void *style = dlopen(text, RTLD_NOW | RTLD_LOCAL);
        if (style) return style;
        snprintf(wrong, LENGTH, "the style for LAMMPS %d cannot be opened in the running one, which is %d (%s)",
                 TAYLORFIT_LAMMPS_VERSION, running, dlerror());
    }
    return NULL;
}

/* End LAMMPS, through its own errors where it may be called. */
static void fail(void *lmp, const char *wrong)
{
    char message[2 * LENGTH];
    void (*raise)(void *, int, const char *);
    snprintf(message, sizeof message, "pair_style taylorfit: %s; compile it for this LAMMPS: taylorfit lammps --build", wrong);
    if (lmp && FIND(raise, RTLD_DEFAULT, "lammps_error")) raise(lmp, 1, message); /* LMP_ERROR_ALL */
    fprintf(stderr, "ERROR: %s\n", message);
    exit(1);
}

static void *new_pair(void *lmp)
{
    char wrong[LENGTH] = "";
    void *style = open_style(lmp, wrong);
    void *(*create)(void *);
    if (!style || !FIND(create, style, "taylorfit_new_pair")) fail(lmp, wrong);
    return create(lmp);
}

/* What LAMMPS looks for in a plugin; lammpsplugin.h is not in every set of headers. */
typedef struct {
    const char *version, *style, *name, *info, *author;
    void *(*creator)(void *);
    void *handle;
} lammpsplugin_t;

void lammpsplugin_init(void *lmp, void *handle, void (*register_plugin)(lammpsplugin_t *, void *))
{
    lammpsplugin_t plugin = {TAYLORFIT_LAMMPS_DATE, "pair", "taylorfit", "pair_style taylorfit: ANN potentials",
                             "taylorfit developers", new_pair, handle};
    register_plugin(&plugin, lmp);
}

/* For a LAMMPS without PLUGIN: call it with the LAMMPS object, through its PYTHON package, which no error may cross. */
void taylorfit_register(void *lmp)
{
    char wrong[LENGTH] = "";
    void *style = open_style(lmp, wrong);
    void (*add)(void *);
    if (!style || !FIND(add, style, "taylorfit_add_pair")) fail(NULL, wrong);
    add(lmp);
}
