/* Errors and signals between Fortran and Python. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

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
