/* Errors, signals and memory between Fortran, Python and the C library. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
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

/* Ctrl-C?  1 if a signal handler has raised, which ends the engine call. */
int tf_check_signals(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int pending = PyErr_CheckSignals();
    PyGILState_Release(state);
    return pending != 0;
}
