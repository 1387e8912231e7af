/* Pillow's resize of RGB pixels, bit for bit, with vector code.

   What decides the bits: weights are computed in double and rounded to 22 binary places; rows are resized first and
   rounded to bytes, then columns; sums are exact integers. Only what the wanted box needs is computed. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "_clones.h"

#define PLACES 22
#define HALF (1 << (PLACES - 1))
#define LONGEST (1 << 24) /* Pillow holds sides as float: exact up to here */
#define TOGETHER 4        /* rows that share one walk over the weights */

/* Four numbers at any address: red, green and blue of a pixel, and the red of the next one, which nobody looks at. */
#ifdef __GNUC__
typedef uint32_t Pixel __attribute__((vector_size(16), aligned(4), may_alias));
#endif

typedef struct {
    double (*at)(double);
    double support;
    const char *name;
} Filter;

typedef struct {
    Py_ssize_t *first; /* of the pixels that an output pixel is made of */
    Py_ssize_t *count;
    int32_t *weights; /* `room` for each output pixel */
    Py_ssize_t room;
} Taps;

static const double PI = 3.14159265358979323846;

static double sinc(double x) {
    return x == 0.0 ? 1.0 : sin(x * PI) / (x * PI);
}

static double box(double x) {
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x) {
    const double offset = 0.54f, share = 0.46f; /* Pillow's are floats */
    x = fabs(x);
    return x >= 1.0 ? 0.0 : x == 0.0 ? 1.0 : sinc(x) * (offset + share * cos(x * PI));
}

static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    return x < 1.0 ? ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
         : x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a
                   : 0.0;
}

static double lanczos(double x) {
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static const Filter FILTERS[] = {
    {box, 0.5, "box"}, {bilinear, 1.0, "bilinear"}, {hamming, 1.0, "hamming"},
    {bicubic, 2.0, "bicubic"}, {lanczos, 3.0, "lanczos"},
};

static void release(Taps *taps) {
    PyMem_RawFree(taps->first);
    PyMem_RawFree(taps->count);
    PyMem_RawFree(taps->weights);
}

/* The weights of output pixels `start` to `start + wanted` of `new_size`; 0 where memory is short. */
static int weigh(Taps *taps, const Filter *filter, Py_ssize_t size, Py_ssize_t new_size, Py_ssize_t start,
                 Py_ssize_t wanted) {
    const double scale = (double)size / (double)new_size;
    const double stretch = scale < 1.0 ? 1.0 : scale, squeeze = 1.0 / stretch;
    const double support = filter->support * stretch;
    taps->room = (Py_ssize_t)ceil(support) * 2 + 1;
    taps->first = PyMem_RawCalloc((size_t)wanted, sizeof *taps->first);
    taps->count = PyMem_RawCalloc((size_t)wanted, sizeof *taps->count);
    taps->weights = PyMem_RawCalloc((size_t)wanted * (size_t)taps->room, sizeof *taps->weights);
    double *exact = PyMem_RawCalloc((size_t)taps->room, sizeof *exact);
    if (!taps->first || !taps->count || !taps->weights || !exact) {
        PyMem_RawFree(exact);
        return 0;
    }
    for (Py_ssize_t i = 0; i < wanted; i++) {
        const double centre = ((double)(start + i) + 0.5) * scale;
        Py_ssize_t first = (Py_ssize_t)(centre - support + 0.5), end = (Py_ssize_t)(centre + support + 0.5);
        first = first < 0 ? 0 : first;
        end = end > size ? size : end;
        double sum = 0.0;
        for (Py_ssize_t k = 0; k < end - first; k++) {
            exact[k] = filter->at(((double)(k + first) - centre + 0.5) * squeeze);
            sum += exact[k];
        }
        int32_t *weights = taps->weights + i * taps->room;
        for (Py_ssize_t k = 0; k < end - first; k++) {
            const double weight = (sum != 0.0 ? exact[k] / sum : exact[k]) * (1 << PLACES);
            weights[k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
        taps->first[i] = first;
        taps->count[i] = end - first;
    }
    PyMem_RawFree(exact);
    return 1;
}

FAST static void widen(uint32_t *restrict out, const uint8_t *restrict in, Py_ssize_t length) {
    for (Py_ssize_t i = 0; i < length; i++)
        out[i] = in[i];
}

FAST static void narrow(uint8_t *restrict out, const uint32_t *restrict sums, Py_ssize_t length) {
    for (Py_ssize_t i = 0; i < length; i++) {
        const int32_t grey = (int32_t)sums[i] >> PLACES;
        out[i] = (uint8_t)(grey < 0 ? 0 : grey > 255 ? 255 : grey);
    }
}

/* The sums of TOGETHER rows of `width` pixels. Each row of `in` and of `out` has room for one number more. */
FAST static void across(uint32_t *restrict out, Py_ssize_t out_stride, const uint32_t *restrict in,
                        Py_ssize_t in_stride, const Taps *taps, Py_ssize_t width) {
    for (Py_ssize_t x = 0; x < width; x++) {
        const int32_t *weights = taps->weights + x * taps->room;
        const uint32_t *at = in + (taps->first[x] - taps->first[0]) * 3;
#ifdef __GNUC__
        Pixel sums[TOGETHER];
        for (int row = 0; row < TOGETHER; row++)
            sums[row] = (Pixel){HALF, HALF, HALF, HALF};
        for (Py_ssize_t k = 0; k < taps->count[x]; k++, at += 3)
            for (int row = 0; row < TOGETHER; row++)
                sums[row] += (uint32_t)weights[k] * *(const Pixel *)(at + row * in_stride);
        for (int row = 0; row < TOGETHER; row++)
            *(Pixel *)(out + row * out_stride + x * 3) = sums[row];
#else
        for (int row = 0; row < TOGETHER; row++)
            for (int colour = 0; colour < 3; colour++) {
                uint32_t sum = HALF;
                for (Py_ssize_t k = 0; k < taps->count[x]; k++)
                    sum += (uint32_t)weights[k] * at[row * in_stride + k * 3 + colour];
                out[row * out_stride + x * 3 + colour] = sum;
            }
#endif
    }
}

/* The sums of one output row of `length` numbers, from `count` rows. */
FAST static void down(uint32_t *restrict sums, const uint8_t *restrict in, const int32_t *restrict weights,
                      Py_ssize_t count, Py_ssize_t length) {
    for (Py_ssize_t i = 0; i < length; i++)
        sums[i] = HALF;
    for (Py_ssize_t k = 0; k < count; k++) {
        const uint32_t weight = (uint32_t)weights[k];
        for (Py_ssize_t i = 0; i < length; i++)
            sums[i] += weight * in[k * length + i];
    }
}

/* Rows, then columns; 0 where memory is short. */
static int resample(uint8_t *out, Py_ssize_t box_height, Py_ssize_t box_width, const uint8_t *in, Py_ssize_t height,
                    Py_ssize_t width, const Filter *filter, Py_ssize_t new_height, Py_ssize_t new_width,
                    Py_ssize_t top, Py_ssize_t left) {
    Taps x = {0}, y = {0};
    uint32_t *wide = NULL, *sums = NULL;
    uint8_t *between = NULL;
    int done = 0;
    if (!weigh(&x, filter, width, new_width, left, box_width) || !weigh(&y, filter, height, new_height, top, box_height))
        goto end;
    const Py_ssize_t from = y.first[0], to = y.first[box_height - 1] + y.count[box_height - 1];
    const Py_ssize_t used = (x.first[box_width - 1] + x.count[box_width - 1] - x.first[0]) * 3, length = box_width * 3;
    wide = PyMem_RawCalloc(TOGETHER * ((size_t)used + 1), sizeof *wide);
    sums = PyMem_RawCalloc(TOGETHER * ((size_t)length + 1), sizeof *sums);
    between = PyMem_RawMalloc((size_t)(to - from) * (size_t)length);
    if (!wide || !sums || !between)
        goto end;
    for (Py_ssize_t row = from; row < to; row += TOGETHER) {
        const Py_ssize_t rows = to - row < TOGETHER ? to - row : TOGETHER;
        for (Py_ssize_t k = 0; k < rows; k++)
            widen(wide + k * (used + 1), in + ((row + k) * width + x.first[0]) * 3, used);
        across(sums, length + 1, wide, used + 1, &x, box_width);
        for (Py_ssize_t k = 0; k < rows; k++)
            narrow(between + (row - from + k) * length, sums + k * (length + 1), length);
    }
    for (Py_ssize_t row = 0; row < box_height; row++) {
        down(sums, between + (y.first[row] - from) * length, y.weights + row * y.room, y.count[row], length);
        narrow(out + row * length, sums, length);
    }
    done = 1;
end:
    release(&x);
    release(&y);
    PyMem_RawFree(wide);
    PyMem_RawFree(sums);
    PyMem_RawFree(between);
    return done;
}

static int picture(PyObject *object, Py_buffer *view, int flags) {
    if (PyObject_GetBuffer(object, view, flags | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0)
        return 0;
    if (view->ndim == 3 && view->shape[2] == 3 && view->itemsize == 1 && !strcmp(view->format, "B") &&
        view->shape[0] > 0 && view->shape[1] > 0 && view->shape[0] <= LONGEST && view->shape[1] <= LONGEST)
        return 1;
    PyErr_SetString(PyExc_ValueError, "a picture is a uint8 array of shape (h, w, 3), sides from 1 to 16,777,216");
    PyBuffer_Release(view);
    return 0;
}

static PyObject *resize(PyObject *module, PyObject *args) {
    PyObject *in_object, *out_object;
    Py_buffer in, out;
    Py_ssize_t new_height, new_width, top, left;
    const char *name;
    const Filter *filter = NULL;
    int done = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO(nn)(nn)s", &out_object, &in_object, &new_height, &new_width, &top, &left, &name))
        return NULL;
    for (size_t i = 0; i < sizeof FILTERS / sizeof *FILTERS; i++)
        if (!strcmp(name, FILTERS[i].name))
            filter = &FILTERS[i];
    if (!filter)
        return PyErr_Format(PyExc_ValueError, "filter '%s' is not one of box, bilinear, hamming, bicubic, lanczos", name);
    if (!picture(in_object, &in, PyBUF_SIMPLE))
        return NULL;
    if (!picture(out_object, &out, PyBUF_WRITABLE)) {
        PyBuffer_Release(&in);
        return NULL;
    }
    if (new_height < 1 || new_width < 1 || new_height > LONGEST || new_width > LONGEST)
        PyErr_Format(PyExc_ValueError, "size (%zd, %zd) is not (height, width) from 1 to 16,777,216", new_height, new_width);
    else if (top < 0 || left < 0 || out.shape[0] > new_height - top || out.shape[1] > new_width - left)
        PyErr_Format(PyExc_ValueError, "a box of (%zd, %zd) at (%zd, %zd) is not inside a picture of (%zd, %zd)",
                     out.shape[0], out.shape[1], top, left, new_height, new_width);
    else {
        Py_BEGIN_ALLOW_THREADS
        done = resample(out.buf, out.shape[0], out.shape[1], in.buf, in.shape[0], in.shape[1], filter, new_height,
                        new_width, top, left);
        Py_END_ALLOW_THREADS
        if (!done)
            PyErr_NoMemory();
    }
    PyBuffer_Release(&in);
    PyBuffer_Release(&out);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"resize", resize, METH_VARARGS,
     "resize(out, rgb, size, corner, filter): the box of `out`'s shape at `corner` (top, left) of `rgb` resized to `size`."},
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
    .m_name = "featstore.decoding.pixels._resample",
    .m_doc = "Pillow's resize of RGB pixels, bit for bit.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__resample(void) {
    return PyModuleDef_Init(&definition);
}
