/* Errors, signals and memory between Fortran, Python and the C library. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "taylorfit.h"

/* host.c */
void tf_engine_set_stop_check(tf_stop_check check);
void tf_engine_set_error_hook(void (*hook)(int item, const char *message, size_t length));
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

/* An error of the call that runs, and the structure it is about (0: none).  It only sets the exception: f2py looks for
   one after the call. */
static void raise_error(int item, const char *message, size_t length)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *text = PyErr_Occurred() ? NULL : PyUnicode_DecodeUTF8(message, (Py_ssize_t)length, "replace");
    PyObject *arguments = text ? Py_BuildValue("(Ni)", text, item) : NULL;
    if (arguments) PyErr_SetObject(PyExc_RuntimeError, arguments);
    Py_XDECREF(arguments);
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

/* While Python imports the extension: have the engine raise its errors, and look for Ctrl-C. */
__attribute__((constructor)) static void register_hooks(void)
{
    tf_engine_set_error_hook(raise_error);
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
