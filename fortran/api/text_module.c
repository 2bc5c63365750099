/* Doubles as gfortran writes them, for text files of ænet: Python's own formatting takes ten times as long; and
   doubles of text files, read with the same bits as by Python's float.

   Digits are exact: a double is m 2^e, so for the exponents that occur m 5^k has at most 116 bits, and is rounded in
   integers as the C library does; other numbers are left to the C library. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 26, SCIENTIFIC = 25, INTEGER = 12, MOST_DIGITS = 18, MOST_POWER = 27 };

/* Bytes of a number: LISTED or SCIENTIFIC, which also say how it is written */
typedef int style_type;

static uint64_t power_of_5[MOST_POWER + 1], power_of_10[MOST_DIGITS + 1];

/* x > 0 as digits 10^(exponent - n + 1), n digits, rounded to even; 0 if that takes more than 128 bits */
static int exact_digits(double x, int n, uint64_t *digits, int *exponent)
{
    int e2;
    const uint64_t m = (uint64_t)ldexp(frexp(x, &e2), 53);
    e2 -= 53;
    int e10 = (int)floor((e2 + 52.5) * 0.30102999566398120);
    for (int tries = 0; tries < 4; tries++) {
        const int k = n - 1 - e10;
        if (k < 0 || k > MOST_POWER) return 0;
        const unsigned __int128 product = (unsigned __int128)m * power_of_5[k];
        const int shift = -(e2 + k);
        if (shift > 127 || shift < -64) return 0;
        const unsigned __int128 whole = shift > 0 ? product >> shift : product << -shift;
        if (whole < power_of_10[n - 1]) { e10--; continue; }
        if (whole >= power_of_10[n]) { e10++; continue; }
        *digits = (uint64_t)whole;
        if (shift > 0) {
            const unsigned __int128 rest = product & (((unsigned __int128)1 << shift) - 1);
            const unsigned __int128 half = (unsigned __int128)1 << (shift - 1);
            if (rest > half || (rest == half && (*digits & 1))) ++*digits;
        }
        if (*digits == power_of_10[n]) {
            *digits = power_of_10[n - 1];
            e10++;
        }
        *exponent = e10;
        return 1;
    }
    return 0;
}

/* n digits of |x| at `text`, and its exponent */
static int decimal(double x, int n, char *text)
{
    uint64_t digits = 0;
    int exponent = 0;
    x = fabs(x);
    if (x > 0.0 && !exact_digits(x, n, &digits, &exponent)) {
        char buffer[48];
        snprintf(buffer, sizeof buffer, "%.*E", n - 1, x);
        text[0] = buffer[0];
        memcpy(text + 1, buffer + 2, (size_t)n - 1);
        return atoi(buffer + n + 2);
    }
    for (int i = n - 1; i >= 0; i--, digits /= 10) text[i] = (char)('0' + digits % 10);
    return exponent;
}

/* A number in a field of `style` bytes that holds blanks */
static void write_real(double x, style_type style, char *field)
{
    char digits[MOST_DIGITS], word[LISTED];
    int length = 0, end = style;
    if (signbit(x) && !isnan(x)) word[length++] = '-';
    if (!isfinite(x)) {
        const char *name = style == LISTED ? (isnan(x) ? "NaN" : "Infinity") : (isnan(x) ? "NAN" : "INF");
        memcpy(word + length, name, strlen(name));
        length += (int)strlen(name);
    } else {
        const int n = style == LISTED ? 17 : 18, exponent = decimal(x, n, digits);
        if (style == LISTED && exponent >= -1 && exponent <= 16) {
            const int before = exponent + 1;
            if (before == 0) word[length++] = '0';
            memcpy(word + length, digits, (size_t)before);
            word[length + before] = '.';
            memcpy(word + length + before + 1, digits + before, (size_t)(n - before));
            length += n + 1;
            end = 21;
        } else {
            const int size = abs(exponent);
            word[length++] = digits[0];
            word[length++] = '.';
            memcpy(word + length, digits + 1, (size_t)n - 1);
            length += n - 1;
            /* Three digits of an exponent leave no room for its letter in ES24.17 */
            if (style == LISTED || size < 100) word[length++] = 'E';
            word[length++] = exponent < 0 ? '-' : '+';
            if (style == LISTED || size >= 100) word[length++] = (char)('0' + size / 100);
            word[length++] = (char)('0' + size / 10 % 10);
            word[length++] = (char)('0' + size % 10);
        }
    }
    memcpy(field + end - length, word, (size_t)length);
}

/* n numbers; returns where they end */
static char *write_reals(const double *x, Py_ssize_t n, style_type style, char *out)
{
    memset(out, ' ', (size_t)(n * style));
    for (Py_ssize_t i = 0; i < n; i++, out += style) write_real(x[i], style, out);
    return out;
}

static char *write_integer(int64_t value, char *out)
{
    char word[24];
    const int length = snprintf(word, sizeof word, "%*lld", INTEGER, (long long)value);
    memcpy(out, word, (size_t)length);
    out[length] = '\n';
    return out + length + 1;
}

static PyObject *reals(PyObject *self, PyObject *arguments)
{
    Py_buffer values;
    int style;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*i", &values, &style)) return NULL;
    PyObject *text = NULL;
    if ((style != LISTED && style != SCIENTIFIC) || values.len % (Py_ssize_t)sizeof(double))
        PyErr_SetString(PyExc_ValueError, "doubles and a style are expected");
    else
        text = PyBytes_FromStringAndSize(NULL, values.len / (Py_ssize_t)sizeof(double) * style);
    if (text) write_reals(values.buf, values.len / (Py_ssize_t)sizeof(double), style, PyBytes_AS_STRING(text));
    PyBuffer_Release(&values);
    return text;
}

/* Five lines for each atom: species, position, force, length of the descriptor, descriptor */
static char *write_atoms(Py_ssize_t n, const int32_t *species, const double *position, const double *force,
                         const int64_t *first, const double *values, style_type style, char *out)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        const Py_ssize_t length = (Py_ssize_t)(first[i + 1] - first[i]);
        out = write_integer(species[i] + 1, out);
        out = write_reals(position + 3 * i, 3, LISTED, out);
        *out++ = '\n';
        out = write_reals(force + 3 * i, 3, LISTED, out);
        *out++ = '\n';
        out = write_integer(length, out);
        out = write_reals(values + (first[i] - first[0]), length, style, out);
        if (style == SCIENTIFIC) *out++ = ' ';
        *out++ = '\n';
    }
    return out;
}

static PyObject *atoms(PyObject *self, PyObject *arguments)
{
    enum { SPECIES, POSITION, FORCE, FIRST, VALUES, BUFFERS };
    Py_buffer b[BUFFERS];
    int style;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*i", &b[SPECIES], &b[POSITION], &b[FORCE], &b[FIRST], &b[VALUES], &style))
        return NULL;
    const Py_ssize_t real = sizeof(double), n = b[SPECIES].len / (Py_ssize_t)sizeof(int32_t);
    const int64_t *first = b[FIRST].buf;
    int fits = (style == LISTED || style == SCIENTIFIC) && b[POSITION].len == 3 * n * real && b[FORCE].len == 3 * n * real
               && b[FIRST].len == (n + 1) * (Py_ssize_t)sizeof(int64_t) && b[VALUES].len == (first[n] - first[0]) * real;
    for (Py_ssize_t i = 0; fits && i < n; i++) fits = first[i] <= first[i + 1];
    PyObject *text = NULL;
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "arrays of atoms do not fit each other");
    } else {
        const Py_ssize_t most = n * (2 * 24 + 6 * LISTED + 4) + b[VALUES].len / real * style;
        text = PyBytes_FromStringAndSize(NULL, most);
    }
    if (text) {
        char *start = PyBytes_AS_STRING(text), *end;
        Py_BEGIN_ALLOW_THREADS
        end = write_atoms(n, b[SPECIES].buf, b[POSITION].buf, b[FORCE].buf, first, b[VALUES].buf, style, start);
        Py_END_ALLOW_THREADS
        _PyBytes_Resize(&text, end - start);
    }
    for (int i = 0; i < BUFFERS; i++) PyBuffer_Release(&b[i]);
    return text;
}

/* Sign, digits, point, exponent; 0 if the text is something else, or has more behind it */
static int read_real(const char *text, Py_ssize_t length, double *value)
{
    /* Powers of ten that are doubles */
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *at = text;
    uint64_t digits = 0;
    int n = 0, power = 0, exponent = 0;
    if (*at == '-' || *at == '+') at++;
    for (int behind_point = 0; (*at >= '0' && *at <= '9') || (*at == '.' && !behind_point); at++) {
        if (*at == '.') { behind_point = 1; continue; }
        n++;
        power -= behind_point;
        if (n <= MOST_DIGITS) digits = 10 * digits + (uint64_t)(*at - '0');
    }
    if (n == 0) return 0;
    if (*at == 'e' || *at == 'E') {
        const int down = at[1] == '-';
        at += 1 + (at[1] == '-' || at[1] == '+');
        if (*at < '0' || *at > '9') return 0;
        for (; *at >= '0' && *at <= '9'; at++)
            if (exponent < 10000) exponent = 10 * exponent + (*at - '0');
        power += down ? -exponent : exponent;
    }
    if (at != text + length) return 0;
    if (n <= MOST_DIGITS && digits <= (uint64_t)1 << 53 && abs(power) <= 22) {
        /* Both are doubles, so that their product or quotient is rounded once, as it should be */
        const double size = power < 0 ? (double)digits / exact[-power] : (double)digits * exact[power];
        *value = *text == '-' ? -size : size;
        return 1;
    }
    *value = PyOS_string_to_double(text, NULL, NULL);
    if (!PyErr_Occurred()) return 1;
    PyErr_Clear();
    return 0;
}

/* Numbers of some columns of lines that were split, one line after the other; None if a word is none */
static PyObject *columns(PyObject *self, PyObject *arguments)
{
    PyObject *rows;
    Py_ssize_t begin, end;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "O!nn", &PyList_Type, &rows, &begin, &end)) return NULL;
    if (begin < 0 || end < begin) return PyErr_Format(PyExc_ValueError, "columns %zd to %zd", begin, end);
    PyObject *made = PyByteArray_FromStringAndSize(NULL, PyList_GET_SIZE(rows) * (end - begin) * (Py_ssize_t)sizeof(double));
    if (!made) return NULL;
    double *value = (double *)PyByteArray_AS_STRING(made);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(rows); i++) {
        PyObject *row = PyList_GET_ITEM(rows, i);
        int fits = PyList_Check(row) && PyList_GET_SIZE(row) >= end;
        for (Py_ssize_t k = begin; fits && k < end; k++) {
            Py_ssize_t length;
            const char *word = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(row, k), &length);
            PyErr_Clear(); /* of what is no text, or cannot be encoded */
            fits = word && read_real(word, length, value++);
        }
        if (!fits) {
            Py_DECREF(made);
            Py_RETURN_NONE;
        }
    }
    return made;
}

static PyMethodDef methods[] = {
    {"reals", reals, METH_VARARGS, "reals(values, style): doubles as text, in fields of 26 (list-directed) or 25 (ES24.17) bytes."},
    {"atoms", atoms, METH_VARARGS,
     "atoms(species, positions, forces, first_value, values, style): five lines for each atom; species count from 0."},
    {"columns", columns, METH_VARARGS,
     "columns(rows, begin, end): doubles of columns begin to end - 1 of lists of words, as a bytearray; None if one is none."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_text", "Doubles of text files.", -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__text(void);

PyMODINIT_FUNC PyInit__text(void)
{
    power_of_5[0] = power_of_10[0] = 1;
    for (int k = 1; k <= MOST_POWER; k++) power_of_5[k] = 5 * power_of_5[k - 1];
    for (int k = 1; k <= MOST_DIGITS; k++) power_of_10[k] = 10 * power_of_10[k - 1];
    PyObject *made = PyModule_Create(&module);
    if (made && (PyModule_AddIntConstant(made, "LISTED", LISTED) || PyModule_AddIntConstant(made, "SCIENTIFIC", SCIENTIFIC)))
        Py_CLEAR(made);
    return made;
}
