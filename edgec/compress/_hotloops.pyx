# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hot loops of calibration: histogram accumulation, and the errors that range searches compare.

Rounding is C's rint (to nearest, ties to even), the rounding of ONNX QuantizeLinear.
"""

from libc.math cimport isfinite, rint

cdef extern from *:
    """
    #ifdef __GLIBC__
    #include <malloc.h>
    #define TRIM_HEAP() (void)malloc_trim(0)
    #else
    #define TRIM_HEAP() (void)0
    #endif
    """
    void TRIM_HEAP() nogil

# Adding and taking away 1.5·2^23 (in double 1.5·2^52) rounds to nearest, ties to even, what is below a third of that: compilers
# make vector code of it, and a call of rint.
cdef float ROUND32 = 12582912.0
cdef double ROUND64 = 6755399441055744.0


def trim_heap():
    """Gives what was freed back to the system. glibc keeps it, in gaps that the next walk's arrays may not fit: without this the peak
    is half as much again as what is in use, and another one with every run."""
    with nogil:
        TRIM_HEAP()


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
    cdef double inverse = 1.0 / width, v
    with nogil:
        for i in range(n):
            v = x[i] * inverse
            k = <Py_ssize_t>v
            k += half - (v < k)
            if k < 0:
                k = 0
            elif k >= bins:
                k = bins - 1
            counts[k] += 1
            sums[k] += x[i]


def rounding_error(const double[::1] values, const double[::1] counts, double scale, int zero_point):
    """Σ counts·(v − dequantize(quantize(v)))² for int8 with this scale and zero_point."""
    cdef Py_ssize_t i, j, n = values.shape[0], whole = values.shape[0] // 8 * 8
    cdef double total = 0, q, e, inverse = 1.0 / scale, low = -128 - zero_point, high = 127 - zero_point
    cdef double[8] sums
    with nogil:
        for j in range(8):
            sums[j] = 0
        for i in range(0, whole, 8):
            for j in range(8):
                q = values[i + j] * inverse
                q = low if q < low else q
                q = high if q > high else q
                e = values[i + j] - ((q + ROUND64) - ROUND64) * scale
                sums[j] += counts[i + j] * e * e
        for i in range(whole, n):
            q = values[i] * inverse
            q = low if q < low else q
            q = high if q > high else q
            e = values[i] - ((q + ROUND64) - ROUND64) * scale
            total += counts[i] * e * e
        for j in range(8):
            total += sums[j]
    return total


def channel_scales(
    const double[:, ::1] weights, const double[:, ::1] importance, const double[::1] largest, const double[::1] fractions, int low, int high
):
    """For each row of weights the scale largest/high · fraction with the least Σ importance·(w − s·clamp(rint(w/s), low, high))².

    weights, importance: [channels, entries]; largest: max |w| of each row; fractions: candidates, tried in order, the first
    of equals wins. Returns double [channels].
    """
    import numpy as np

    cdef Py_ssize_t c, i, f, n = weights.shape[1]
    cdef double scale, inverse, q, e, total, best, least = low, greatest = high
    chosen = np.zeros(weights.shape[0])
    cdef double[::1] out = chosen
    with nogil:
        for c in range(weights.shape[0]):
            best = -1
            for f in range(fractions.shape[0]):
                scale = largest[c] / greatest * fractions[f]
                if scale <= 0:
                    continue
                inverse = 1.0 / scale
                total = 0
                for i in range(n):
                    q = weights[c, i] * inverse
                    q = greatest if q > greatest else q
                    q = least if q < least else q
                    e = weights[c, i] - ((q + ROUND64) - ROUND64) * scale
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
            q = x[i] / scale
            q = low if q < low else q
            q = high if q > high else q
            out[i] = ((q + ROUND32) - ROUND32) * scale


def descend(double[:, ::1] q, double[:, ::1] gradient, const double[:, ::1] hessian, const double[::1] scales, int low, int high, int sweeps):
    """Coordinate descent on Σ_r Δ_r H Δ_rᵀ, Δ = target − s·q: each integer in turn goes to the best value in [low, high].

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
                    if new > high:
                        new = high
                    elif new < low:
                        new = low
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


def product(const double[:, ::1] a, const double[:, ::1] b):
    """a @ b, double [rows, columns], each sum in the order of b's rows: unlike a BLAS, whatever its threads."""
    import numpy as np

    cdef Py_ssize_t i, j, k, n = b.shape[1]
    result = np.zeros((a.shape[0], b.shape[1]))
    cdef double[:, ::1] out = result
    cdef double factor
    with nogil:
        for i in range(a.shape[0]):
            for k in range(b.shape[0]):
                factor = a[i, k]
                if factor != 0:
                    for j in range(n):
                        out[i, j] += factor * b[k, j]
    return result


def propagate(double[:, ::1] target, const double[::1] scale, const double[:, ::1] upper, double[:, ::1] q, int low, int high):
    """Rounds column after column; what each gets wrong moves the targets of those behind it by its row of upper.

    target [rows, columns] is changed in place, q gets the integers; upper [columns, columns] as factor_upper makes it.
    """
    cdef Py_ssize_t r, j, k, n = target.shape[1]
    cdef double error, least = low, greatest = high, v
    with nogil:
        for r in range(target.shape[0]):
            for j in range(n):
                v = rint(target[r, j] / scale[r])
                v = greatest if v > greatest else v
                v = least if v < least else v
                q[r, j] = v
                error = target[r, j] - scale[r] * v
                for k in range(j + 1, n):
                    target[r, k] += error * upper[j, k]


def solve_factored(const double[:, ::1] upper, double[:, ::1] x):
    """Solves U D Uᵀ X = x in place, x double [columns, any], with upper as factor_upper makes it."""
    cdef Py_ssize_t i, j, k, n = upper.shape[0], m = x.shape[1]
    cdef double factor
    with nogil:
        for i in range(n - 1, -1, -1):
            for k in range(i + 1, n):
                factor = upper[i, k]
                for j in range(m):
                    x[i, j] -= factor * x[k, j]
        for i in range(n):
            for j in range(m):
                x[i, j] /= upper[i, i]
        for i in range(n):
            for k in range(i + 1, n):
                factor = upper[i, k]
                for j in range(m):
                    x[k, j] -= factor * x[i, j]


def gather_patches(
    const float[:, :, :, :, ::1] x, const long long[::1] positions, const long long[::1] out, const long long[:, ::1] taps,
    const long long[::1] strides, const long long[::1] pads, float[:, :, ::1] result
):
    """What a convolution reads at some output positions.

    x: [samples, channels, depth, height, width]; positions: flat, of [samples, *out]; taps: [taps, 3], of one channel, relative to the
    window's corner; result: [groups, positions, channels of a group · taps], zero where the window is outside x.
    """
    cdef Py_ssize_t p, c, t, n, at, d, h, w, dd, hh, ww, per = x.shape[1] // result.shape[0], count = taps.shape[0]
    cdef const float *plane
    cdef float *to
    cdef bint inside
    cdef Py_ssize_t last_d = 0, last_h = 0, last_w = 0
    for t in range(count):
        last_d, last_h, last_w = max(last_d, taps[t, 0]), max(last_h, taps[t, 1]), max(last_w, taps[t, 2])
    with nogil:
        for p in range(positions.shape[0]):
            at = positions[p]
            w = at % out[2] * strides[2] - pads[2]
            at = at // out[2]
            h = at % out[1] * strides[1] - pads[1]
            at = at // out[1]
            d = at % out[0] * strides[0] - pads[0]
            n = at // out[0]
            inside = d >= 0 and h >= 0 and w >= 0 and d + last_d < x.shape[2] and h + last_h < x.shape[3] and w + last_w < x.shape[4]
            for c in range(x.shape[1]):
                plane = &x[n, c, 0, 0, 0]
                to = &result[c // per, p, c % per * count]
                for t in range(count):
                    dd, hh, ww = d + taps[t, 0], h + taps[t, 1], w + taps[t, 2]
                    if inside or (0 <= dd < x.shape[2] and 0 <= hh < x.shape[3] and 0 <= ww < x.shape[4]):
                        to[t] = plane[(dd * x.shape[3] + hh) * x.shape[4] + ww]
                    else:
                        to[t] = 0


def center(float[:, :, ::1] x):
    """Takes from x [groups, rows, columns], in place, the mean over the rows."""
    import numpy as np

    cdef Py_ssize_t g, p, e, rows = x.shape[1], columns = x.shape[2]
    cdef double[::1] total = np.zeros(columns)
    cdef float[::1] mean = np.zeros(columns, np.float32)
    with nogil:
        for g in range(x.shape[0]):
            for e in range(columns):
                total[e] = 0
            for p in range(rows):
                for e in range(columns):
                    total[e] += x[g, p, e]
            for e in range(columns):
                mean[e] = <float>(total[e] / rows)
            for p in range(rows):
                for e in range(columns):
                    x[g, p, e] -= mean[e]


def squares(const float[::1] x, const float[::1] y):
    """(Σ (x − y)², Σ x²), summed in double."""
    cdef Py_ssize_t i, j, n = x.shape[0], whole = x.shape[0] // 4 * 4
    cdef double noise = 0, signal = 0, v, e
    cdef double[4] noises, signals
    with nogil:
        for j in range(4):
            noises[j] = signals[j] = 0
        for i in range(0, whole, 4):
            for j in range(4):
                v = x[i + j]
                e = v - y[i + j]
                noises[j] += e * e
                signals[j] += v * v
        for i in range(whole, n):
            v = x[i]
            e = v - y[i]
            noise += e * e
            signal += v * v
        for j in range(4):
            noise += noises[j]
            signal += signals[j]
    return noise, signal


def spread_gradients(
    const float[:, :, ::1] x, const float[:, :, ::1] gradients, double low, double width,
    float[:, ::1] rows, double[::1] weight, double[::1] weighted, float[:, ::1] seen, double[::1] active, double[:, ::1] sums
):
    """Adds values and their gradients, [rows, channels, positions], to bins of the values: [low + b·width, low + (b + 1)·width).

    weight [bins]: squares of the gradients, weighted: times the value. rows [rows, bins / 4]: gradients, seen [channels, bins / 4]: how
    many values have a gradient, both in wider bins; active [channels]: the same over all bins, and sums [rows, channels] the gradients.
    Zeros are in no bin: they are exact in every range.
    """
    cdef Py_ssize_t r, c, p, b, last = weight.shape[0] - 1
    cdef double inverse = 1.0 / width, v, g, total
    cdef long count
    with nogil:
        for r in range(x.shape[0]):
            for c in range(x.shape[1]):
                total = 0
                count = 0
                for p in range(x.shape[2]):
                    g = gradients[r, c, p]
                    if g == 0:
                        continue
                    total += g
                    count += 1
                    v = x[r, c, p]
                    if v == 0:
                        continue
                    b = <Py_ssize_t>((v - low) * inverse)
                    b = 0 if b < 0 else last if b > last else b
                    weight[b] += g * g
                    weighted[b] += g * g * v
                    rows[r, b >> 2] += <float>g
                    seen[c, b >> 2] += 1
                sums[r, c] += total
                active[c] += count
