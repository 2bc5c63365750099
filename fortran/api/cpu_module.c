/* taylorfit._cpu: level.c for Python, which loads nothing else before it knows the level. */
#include <Python.h>

#include "taylorfit.h"

static PyObject *level(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
    return PyLong_FromLong(tf_cpu_level());
}

static PyMethodDef methods[] = {
    {"level", level, METH_NOARGS, "Return the x86-64 level (1, 3 or 4) this processor supports."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_cpu", "Processor detection.", -1, methods,
                                        NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__cpu(void) { return PyModule_Create(&definition); }
