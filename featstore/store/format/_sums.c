/* The sums of featstore.store.format.checksum in one pass, with vector code. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#include "_clones.h"

#ifdef __GNUC__
typedef uint64_t Word __attribute__((aligned(1), may_alias)); /* at any address */
#else
typedef uint64_t Word;
#endif

FAST static void add(uint64_t *first, uint64_t *second, const Word *restrict words, const Word *restrict keys,
                     Py_ssize_t count) {
    uint64_t whole = 0, upper = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        whole += words[i] * keys[i];
        upper += (words[i] >> 32) * keys[i];
    }
    *first = whole;
    *second = upper;
}

static PyObject *sums(PyObject *module, PyObject *args) {
    Py_buffer out, words, keys;
    (void)module;
    if (!PyArg_ParseTuple(args, "w*y*y*", &out, &words, &keys))
        return NULL;
    const Py_ssize_t blocks = keys.len > 0 ? words.len / keys.len : 0;
    const int fits = keys.len % 8 == 0 && blocks > 0 && words.len == blocks * keys.len && out.len == blocks * 16;
    if (fits) {
        Word *results = out.buf;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t block = 0; block < blocks; block++) {
            uint64_t first, second;
            add(&first, &second, (const Word *)((const char *)words.buf + block * keys.len), keys.buf, keys.len / 8);
            results[block] = first;
            results[blocks + block] = second;
        }
        Py_END_ALLOW_THREADS
    } else
        PyErr_Format(PyExc_ValueError, "%zd bytes are not blocks of %zd, with room for two sums each in %zd", words.len,
                     keys.len, out.len);
    PyBuffer_Release(&out);
    PyBuffer_Release(&words);
    PyBuffer_Release(&keys);
    if (!fits)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"sums", sums, METH_VARARGS,
     "sums(out, words, keys): of each block, as long as `keys`, the sum of its 64-bit words times the keys, then, in the "
     "second half of `out`, that of their upper halves, modulo 2**64."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "featstore.store.format._sums",
    .m_doc = "The sums of featstore.store.format.checksum.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__sums(void) {
    return PyModuleDef_Init(&definition);
}
