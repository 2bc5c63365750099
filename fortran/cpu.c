/* taylorfit._cpu: which of the builds of the engine this processor can run. */
#include <Python.h>

static PyObject *level(PyObject *self, PyObject *args)
{
    (void)self;
    (void)args;
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        return PyLong_FromLong(4);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        return PyLong_FromLong(3);
#endif
    return PyLong_FromLong(1);
}

static PyMethodDef methods[] = {
    {"level", level, METH_NOARGS, "Return the x86-64 level (1, 3 or 4) this processor supports."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_cpu", "Processor detection.", -1, methods,
                                        NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__cpu(void) { return PyModule_Create(&definition); }
