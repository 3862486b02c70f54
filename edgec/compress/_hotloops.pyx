# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hot loops of calibration: histogram accumulation, and the errors that range searches compare.

Rounding is C's rint (to nearest, ties to even), the rounding of ONNX QuantizeLinear.
"""

from libc.math cimport floor, isfinite, rint


def extent(const float[::1] x):
    """(min, max, number of values that are not finite) of x; min and max over the finite ones, 0 if there are none."""
    cdef Py_ssize_t i, bad = 0, n = x.shape[0]
    cdef float low = 0, high = 0, v
    cdef bint first = True
    with nogil:
        for i in range(n):
            v = x[i]
            if not isfinite(v):
                bad += 1
                continue
            if first:
                low = high = v
                first = False
            elif v < low:
                low = v
            elif v > high:
                high = v
    return float(low), float(high), bad


def accumulate(const float[::1] x, long long[::1] counts, double[::1] sums, double width):
    """Adds finite x to a histogram whose bin i covers [(i − n/2)·width, (i + 1 − n/2)·width); the caller has made it wide enough.

    sums holds the sum of the values of each bin, so that the value standing for a bin is its mean, not its middle.
    """
    cdef Py_ssize_t i, k, n = x.shape[0], bins = counts.shape[0], half = counts.shape[0] // 2
    cdef double inverse = 1.0 / width
    with nogil:
        for i in range(n):
            k = <Py_ssize_t>floor(x[i] * inverse) + half
            if k < 0:
                k = 0
            elif k >= bins:
                k = bins - 1
            counts[k] += 1
            sums[k] += x[i]


def rounding_error(const double[::1] values, const double[::1] counts, double scale, int zero_point):
    """Σ counts·(v − dequantize(quantize(v)))² for int8 with this scale and zero_point."""
    cdef Py_ssize_t i, n = values.shape[0]
    cdef double total = 0, q, e, inverse = 1.0 / scale
    with nogil:
        for i in range(n):
            q = rint(values[i] * inverse)
            if q < -128 - zero_point:
                q = -128 - zero_point
            elif q > 127 - zero_point:
                q = 127 - zero_point
            e = values[i] - q * scale
            total += counts[i] * e * e
    return total


def channel_scales(
    const double[:, ::1] weights, const double[:, ::1] importance, const double[::1] largest, const double[::1] fractions, int steps
):
    """For each row of weights the scale largest/steps · fraction with the least Σ importance·(w − s·clamp(rint(w/s)))².

    weights, importance: [channels, entries]; largest: max |w| of each row; fractions: candidates, tried in order, the first
    of equals wins; steps: 127 for int8. Returns double [channels].
    """
    import numpy as np

    cdef Py_ssize_t c, i, f, n = weights.shape[1]
    cdef double scale, inverse, q, e, total, best, limit = steps
    chosen = np.zeros(weights.shape[0])
    cdef double[::1] out = chosen
    with nogil:
        for c in range(weights.shape[0]):
            best = -1
            for f in range(fractions.shape[0]):
                scale = largest[c] / limit * fractions[f]
                if scale <= 0:
                    continue
                inverse = 1.0 / scale
                total = 0
                for i in range(n):
                    q = rint(weights[c, i] * inverse)
                    if q > limit:
                        q = limit
                    elif q < -limit:
                        q = -limit
                    e = weights[c, i] - q * scale
                    total += importance[c, i] * e * e
                    if best >= 0 and total >= best:
                        break
                if best < 0 or total < best:
                    best = total
                    out[c] = scale
    return chosen


def fake_quantize(const float[::1] x, float[::1] out, float scale, int zero_point):
    """out = dequantize(quantize(x)) in float32, as QuantizeLinear then DequantizeLinear compute it on int8."""
    cdef Py_ssize_t i, n = x.shape[0]
    cdef float q, low = -128 - zero_point, high = 127 - zero_point
    with nogil:
        for i in range(n):
            q = <float>rint(x[i] / scale)
            if q < low:
                q = low
            elif q > high:
                q = high
            out[i] = q * scale


def descend(double[:, ::1] q, double[:, ::1] gradient, const double[:, ::1] hessian, const double[::1] scales, int limit, int sweeps):
    """Coordinate descent on Σ_r Δ_r H Δ_rᵀ, Δ = target − s·q: each integer in turn goes to the best value in [−limit, limit].

    q [rows, columns] is changed in place, as is gradient = Δ H; hessian [columns, columns]. Stops when a sweep changes nothing.
    Returns the number of changes made.
    """
    cdef Py_ssize_t r, j, k, columns = q.shape[1]
    cdef int sweep
    cdef long changed, total = 0
    cdef double new, step
    with nogil:
        for r in range(q.shape[0]):
            for sweep in range(sweeps):
                changed = 0
                for j in range(columns):
                    if hessian[j, j] <= 0:
                        continue
                    new = rint(q[r, j] + gradient[r, j] / (hessian[j, j] * scales[r]))
                    if new > limit:
                        new = limit
                    elif new < -limit:
                        new = -limit
                    if new != q[r, j]:
                        step = scales[r] * (new - q[r, j])
                        for k in range(columns):
                            gradient[r, k] -= step * hessian[j, k]
                        q[r, j] = new
                        changed += 1
                total += changed
                if changed == 0:
                    break
    return total


def factor_upper(double[:, ::1] a):
    """Turns a symmetric positive definite a, in place, into U of a = U D Uᵀ: unit upper triangular, D on the diagonal.

    Columns are eliminated last to first; plain loops in one fixed order, so the result does not depend on a BLAS or its threads.
    Raises ValueError if a is not positive definite.
    """
    cdef Py_ssize_t i, j, k, n = a.shape[0]
    cdef double pivot, factor
    cdef Py_ssize_t failed = -1
    with nogil:
        for k in range(n - 1, -1, -1):
            pivot = a[k, k]
            if not pivot > 0:
                failed = k
                break
            for i in range(k):
                factor = a[k, i] / pivot  # row k is still the symmetric a: its entry stands for a[i, k]
                for j in range(i + 1):
                    a[i, j] -= factor * a[k, j]
                a[i, k] = factor
    if failed >= 0:
        raise ValueError(f"not positive definite at {failed}")
