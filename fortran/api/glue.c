/* Errors, signals and memory between Fortran, Python and the C library. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "taylorfit.h"

void tf_engine_set_stop_check(tf_stop_check check); /* stop.c */
static pthread_t main_thread;

#ifdef __GLIBC__
#include <malloc.h>

/* The scratch of one engine call serves the next: by default glibc gives it back to the system after each
   call and gets it again page by page, which costs as much as the descriptors of a small structure.  These
   are the limits glibc's own adjustment ends at; what the user sets in the environment is respected. */
__attribute__((constructor)) static void keep_scratch(void)
{
    if (!getenv("MALLOC_TRIM_THRESHOLD_")) mallopt(M_TRIM_THRESHOLD, 64 << 20);
    if (!getenv("MALLOC_MMAP_THRESHOLD_")) mallopt(M_MMAP_THRESHOLD, 32 << 20);
}
#endif

/* Called by the generated wrappers when ierr is set.  It only sets the exception: f2py looks for one
   after the call.  (f90wrap's own version leaves by longjmp, which breaks OpenMP.) */
void f90wrap_abort_(const char *message, size_t length)
{
    PyGILState_STATE state = PyGILState_Ensure();
    while (length > 0 && (message[length - 1] == ' ' || message[length - 1] == '\0')) --length;
    if (!PyErr_Occurred()) {
        PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)length, "replace");
        if (text) {
            PyErr_SetObject(PyExc_RuntimeError, text);
            Py_DECREF(text);
        }
    }
    PyGILState_Release(state);
}

/* Ctrl-C?  1 if a signal handler has raised, which ends the engine call.  Handlers run in Python's main thread only, and
   asking takes the global lock, which other threads may hold for milliseconds: so not too often. */
static int raised_in_handler(void)
{
    static const double interval = 0.05; /* s; only the main thread comes to the clock */
    static double last = -1.0;
    struct timespec now;
    if (!pthread_equal(pthread_self(), main_thread)) return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    if (seconds - last < interval) return 0;
    last = seconds;
    PyGILState_STATE state = PyGILState_Ensure();
    int raised = PyErr_CheckSignals() != 0;
    PyGILState_Release(state);
    return raised;
}

/* While Python imports the extension: have the engine look for Ctrl-C. */
__attribute__((constructor)) static void look_for_signals(void)
{
    PyObject *module = PyImport_ImportModule("threading");
    PyObject *thread = module ? PyObject_CallMethod(module, "main_thread", NULL) : NULL;
    PyObject *identity = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
    if (identity) {
        main_thread = (pthread_t)PyLong_AsUnsignedLong(identity);
        tf_engine_set_stop_check(raised_in_handler);
    }
    Py_XDECREF(identity);
    Py_XDECREF(thread);
    Py_XDECREF(module);
    PyErr_Clear();
}
