"""Every function of the table, on several shapes and axes, gives what NumPy and SciPy give."""

import collections
import math

import numpy as np
import pytest
from scipy import fft, linalg, special
from told import told

from parscan._recorded.array import RecordingArray
from parscan._recorded.calls import TABLE
from parscan._recorded.functions import MAKERS
from parscan._recorded.math_functions import MATH
from parscan._recorded.pairs import as_pairs, from_pairs
from parscan._recorded.record import NotRecordedError, record

# a (6,), b (6,) positive, m (3, 4), n (4, 2), c (2, 3, 4), s (3, 3), x () and i (3,) of small whole numbers as floats
ROWS = {
    # structure
    "reshape": [
        "np.reshape(a, (2, 3))",
        "np.reshape(a, (2, 3), order='F')",
        "a.reshape(2, 3, order='F')",
        "m.flatten('F')",
        "m.ravel(order='F')",
        "a.reshape(3, -1)",
        "a.reshape((2, 3))",
        "np.reshape(c, -1)",
    ],
    "ravel": ["np.ravel(m)", "c.ravel()", "m.flatten()"],
    "transpose": ["np.transpose(m)", "np.transpose(c, (2, 0, 1))", "c.transpose(1, 2, 0)", "m.T", "c.mT"],
    "matrix_transpose": ["np.matrix_transpose(c)"],
    "swapaxes": ["np.swapaxes(c, 0, 2)", "c.swapaxes(0, 1)"],
    "moveaxis": ["np.moveaxis(c, 0, -1)"],
    "rollaxis": ["np.rollaxis(c, 2)"],
    "roll": ["np.roll(a, 1)", "np.roll(m, -2, axis=1)", "np.roll(m, (1, 1), axis=(0, 1))", "np.roll(m, 3)"],
    "flip": ["np.flip(a)", "np.flip(m, 0)"],
    "fliplr": ["np.fliplr(m)"],
    "flipud": ["np.flipud(m)"],
    "rot90": ["np.rot90(m)", "np.rot90(m, 2)"],
    "expand_dims": ["np.expand_dims(a, 0)", "a[:, None]", "np.expand_dims(m, (0, 2))"],
    "squeeze": ["np.squeeze(a[:, None])", "a[None].squeeze(axis=0)"],
    "repeat": ["np.repeat(a, 2)", "np.repeat(m, [1, 2, 0], axis=0)", "a.repeat(3)"],
    "tile": ["np.tile(a, 2)", "np.tile(m, (2, 1))"],
    "take": [
        "np.take(a, [0, 2])",
        "np.take(m, 1, axis=1)",
        "a.take([1, 1])",
        "np.take(np.arange(6.0), np.clip(i, 0, 5).astype(int))",
    ],
    "diagonal": ["np.diagonal(m)", "np.diagonal(s, 1)"],
    "broadcast_to": ["np.broadcast_to(a, (2, 6))"],
    "split": ["np.split(a, 3)[1]", "np.split(a, [2, 5])[2]", "np.split(m, 2, axis=1)[0]"],
    "array_split": ["np.array_split(a, 4)[0]"],
    "hsplit": ["np.hsplit(m, 2)[1]"],
    "vsplit": ["np.vsplit(m, 3)[1]"],
    "dsplit": ["np.dsplit(c, 2)[1]"],
    "delete": ["np.delete(a, 2)", "np.delete(m, [0, 1], axis=1)"],
    "resize": ["np.resize(a, (2, 5))"],
    "compress": ["np.compress([True, False, True], m, axis=0)"],
    "take_along_axis": ["np.take_along_axis(m, np.array([[0, 1], [1, 2], [3, 0]]), axis=1)"],
    "unstack": ["np.unstack(m)[1]"] if hasattr(np, "unstack") else [],
    "tril": ["np.tril(s)", "np.tril(m, -1)"],
    "triu": ["np.triu(s, 1)"],
    "diag": ["np.diag(s)", "np.diag(a)", "np.diag(a, -1)"],
    "diagflat": ["np.diagflat(m)"],
    "pad": [
        "np.pad(a, 2)",
        "np.pad(m, ((1, 0), (0, 2)), constant_values=3.0)",
        "np.pad(a, 2, mode='edge')",
        "np.pad(a, 1, mode='wrap')",
        "np.pad(m, 1, mode='reflect')",
        "np.pad(a, (0, 2), 'symmetric')",
    ],
    "concatenate": [
        "np.concatenate([a, b])",
        "np.concatenate((m, s), axis=1)",
        "np.concatenate([m, m], axis=None)",
        "np.concatenate([[1, 2], a])",
        "np.concatenate([a[:2], [x, 0.0]])",
    ],
    "stack": ["np.stack([a, b])", "np.stack([a, b], axis=-1)", "np.stack([x, 1.0, x])", "np.stack(list(m), axis=1)"],
    "vstack": ["np.vstack([m, n.T])", "np.vstack((a, b))"],
    "hstack": ["np.hstack([a, b])", "np.hstack([m, s])", "np.hstack((x, a))"],
    "dstack": ["np.dstack([m, m])"],
    "column_stack": ["np.column_stack([a, b])"],
    "block": ["np.block([[s, s], [np.zeros((1, 3)), s[:1]]])", "np.block([a, b])"],
    "append": [
        "np.append(a, 1.0)",
        "np.append(m, s, axis=1)",
        "np.append(m, x)",
        "np.append([x, 2.0 * x], a)",
        "np.append(a, [1.0, x])",
    ],
    "insert": ["np.insert(a, 2, 9.0)", "np.insert(m, 1, 5.0, axis=1)"],
    "atleast_1d": ["np.atleast_1d(x)", "np.atleast_1d(x, a)[0]"],
    "atleast_2d": ["np.atleast_2d(a)"],
    "atleast_3d": ["np.atleast_3d(m)"],
    "broadcast_arrays": ["np.broadcast_arrays(a, x)[1]"],
    "meshgrid": ["np.meshgrid(a, b)[0]", "np.meshgrid(a, b, indexing='ij')[1]"],
    "shape": ["a * np.shape(m)[0]", "a * m.shape[1]"],
    "isscalar": ["a * np.isscalar(x)", "a * np.isscalar(a)"],
    "ndim": ["a * np.ndim(c)", "a * c.ndim"],
    "size": ["a * np.size(m)", "a * np.size(m, 1)", "a * m.size"],
    "copy": ["np.copy(a)", "a.copy()"],
    "astype": ["np.astype(a, np.float32)", "a.astype('float32')", "a.astype(int)", "(a > 0).astype(float)"],
    "real": ["np.real(a)", "a.real"],
    "conj": ["np.conj(a)", "a.conj()"],
    "conjugate": ["np.conjugate(a)"],
    "real_if_close": ["np.real_if_close(a)"],
    "positive": ["np.positive(a)", "+a"],
    "imag": ["np.imag(a)", "a.imag"],
    "iscomplexobj": ["a * np.iscomplexobj(a)"],
    "iscomplex": ["np.iscomplex(a) + a"],
    "angle": ["np.angle(a)", "np.angle(1j * m, deg=True)"],
    "complex": [
        "np.zeros(6, complex) + a",
        "1j * a",
        "np.exp(1j * a)",
        "(z := np.zeros(3, dtype=complex), z.__setitem__(1, x + 2j), z)[2]",
        "(z := 1j * a, z.__setitem__(slice(2), a[:2]), z)[2]",
        "(z := 1j * a, setattr(z, 'real', b), z)[2]",
        "(z := m + 1j, setattr(z, 'imag', m), z.T)[2]",
        "a.astype(complex) @ np.ones(6)",
        "(a + 1j).astype(np.complex64)",
        "(a * 1j).conj().imag",
        "np.array([x, 1j])",
        "np.stack([a, 1j * b])",
        "np.where(a > 0, 1j, b)",
        "(m + 1j) @ (n - 2j)",
        "np.tile(m, (3, 2)) @ np.tile(n + 1j, (2, 1))",
        "(np.tile(m, (3, 2)) * 1j) @ np.arange(8.0)",
        "np.linalg.solve(s + 1j * np.eye(3), i)",
        "np.linalg.inv(s + 1j)",
        "np.polyval([1j, 2.0, x], a)",
        "(a + 1j) ** 1.5",
        "(a + 1j) ** (b + 2j)",
        "2.0 ** (a + 1j)",
        "np.log10(a + 1j) + np.log2(a + 1j) + np.exp2(a + 1j)",
        "np.vdot(a + 1j, b - 1j)",
        "np.linalg.norm(a + 1j)",
        "np.var(a + 1j * b)",
        "np.prod(a + 1j)",
        "np.sum(m + 1j, axis=0)",
        "np.mean(m * 1j)",
        "np.einsum('ij,jk->ik', m + 1j, n)",
        "np.outer(a, 1j * b)",
        "(a + 1j * b).view(float)",
        "a.view(complex)",
        "np.array([1j, 2.0, 3j])[np.clip(i, 0, 2).astype(int)]",
        "np.conj(np.correlate(a + 1j, b[:3] - 1j))",
        "np.round(a + 1j * b, 1)",
        "(a * 1j == b) | (a < 1j)",
        "abs(a + 1j) ** 2",
        "(a + 1j) ** -1",
        "np.complex64(1j) * np.float32(2.0) * a.astype(np.float32)",
        "complex(x, 2.0) * a",
        "complex(x) / 2j + a",
        "complex(x, x) ** 3 + a",
        "(z := complex(x, 1), z * z - z**2.0 + 2 * a)[1]",
        "complex(1j * x, x - 3j) + a",
        "complex(2j, x) * a",
        "(1j * a)[0].item() * b",
        "np.full(2, 1j) * x",
        "np.eye(3, dtype=complex) @ s",
        "np.nan_to_num(a * 1j)",
        "np.cumprod(a + 1j)",
    ],
    "isrealobj": ["a * np.isrealobj(a)"],
    "isreal": ["np.isreal(a) * a"],
    "result_type": ["a.astype(np.result_type(a, np.float32))"],
    "min_scalar_type": ["np.zeros(2, np.min_scalar_type(a)) + x"],
    "zeros_like": [
        "np.zeros_like(m) + m[0]",
        "np.zeros_like(a, shape=(2,)) + x",
        "np.zeros_like(a, dtype=bool) | (a > 0)",
    ],
    "empty_like": ["np.empty_like(a) * 0 + a"],
    "ones_like": ["np.ones_like(a) * x", "np.ones_like(a, dtype=int) + a"],
    "full_like": ["np.full_like(a, 2.5) + a", "np.full_like(m, x)"],
    # reductions
    **{
        name: [
            f"np.{name}(a)",
            f"np.{name}(m, axis=1)",
            f"np.{name}(c, axis=(0, 2))",
            f"np.{name}(c, axis=-1, keepdims=True)",
            f"np.{name}(m, axis=None)",
        ]
        for name in ("sum", "prod", "max", "min", "mean", "var", "std", "ptp")
    },
    "nanmax": ["np.nanmax(a)", "np.nanmax(np.where(m < 5, m, np.nan), axis=0)"],
    "nanmin": ["np.nanmin(m, axis=1)"],
    "all": ["np.all(a > 0)", "(m > -1).all(axis=0)"],
    "any": ["np.any(a > 0)", "np.any(m > 1, axis=1)"],
    "cumsum": ["np.cumsum(a)", "np.cumsum(m, axis=0)", "m.cumsum(axis=1)", "np.cumsum(m)", "np.add.accumulate(m, 1)"],
    "argmin": [
        "np.argmin(a) + 0.0",
        "np.argmin(np.stack([x, x, -x, x])) * 1.0",
        "np.argmin(np.where(a > 0, np.nan, a)) + x",
    ],
    "argmax": ["np.argmax(m) + 0.0", "np.argmax(a, axis=0) * x", "np.argmax(np.where(a > 1, np.nan, a)) + x"],
    "cumprod": ["np.cumprod(a)", "np.cumprod(m, axis=1)"],
    "average": ["np.average(a)", "np.average(a, weights=b)", "np.average(m, axis=0, weights=[1, 2, 3])"],
    "count_nonzero": ["np.count_nonzero(a > 0)", "np.count_nonzero(m > 0, axis=1)"],
    "sum of methods": [
        "a.sum()",
        "m.sum(0)",
        "m.mean(axis=1)",
        "m.max()",
        "a.min()",
        "a.prod()",
        "a.std(ddof=1)",
        "np.sum(m, axis=1, initial=3.0)",
        "np.sum(a > 0)",
        "np.add.reduce(m)",
        "sum(a)",
        "a.var()",
        "np.sum([x, 1.0, x])",
        "np.max([x, 0.0])",
        "np.sum(m, axis=0, dtype=np.float32)",
        "a.ptp()" if hasattr(np.ndarray, "ptp") else "np.ptp(a)",
        "np.maximum.reduce(m, axis=1)",
        "np.mean([a, b], axis=0)",
    ],
    "nansum": ["np.nansum(a)", "np.nansum(np.where(m > 0, m, np.nan), axis=0)"],
    "nanmean": ["np.nanmean(a)", "np.nanmean(np.where(m > -9, m, np.nan), axis=1)"],
    "sort": ["np.sort(a)", "np.sort(m, axis=0)", "np.sort(m, axis=None)", "np.sort(np.where(a > 0, a, np.nan))"],
    "median": ["np.median(a)", "np.median(m, axis=0)", "np.median(np.where(a > 0, a, np.nan))"],
    "sums of some": ["np.sum(m, axis=0, where=m > 0)", "np.prod(a, where=b > 1)", "m.sum(where=m > 0)"],
    # differences and sums along an axis
    "diff": [
        "np.diff(a)",
        "np.diff(m, axis=0)",
        "np.diff(a, n=2)",
        "np.diff(a, prepend=0)",
        "np.diff(a, append=a[:1])",
        "np.diff(m, prepend=0.0, axis=0)",
    ],
    "ediff1d": ["np.ediff1d(a)", "np.ediff1d(a, to_begin=0.0)", "np.ediff1d(a, to_end=[1.0, 2.0])"],
    "gradient": [
        "np.gradient(a)",
        "np.gradient(a, 0.1)",
        "np.gradient(m, axis=0)",
        "np.gradient(m, 0.1, 0.2)[1]",
        "np.gradient(a, 0.5, edge_order=2)",
        "np.gradient(a, [0, 1, 3, 4, 7, 8.0])",
        "np.gradient(m)[0]",
    ],
    "trapezoid": [
        "np.trapezoid(a)",
        "np.trapezoid(a, dx=0.1)",
        "np.trapezoid(a, np.arange(6) ** 2)",
        "np.trapezoid(m, axis=0)",
    ],
    # products
    "matmul": [
        "m @ n",
        "a @ b",
        "s @ m",
        "c @ n",
        "m @ a[:4]",
        "a[:3] @ m",
        "np.matmul(m, n)",
        "s @ s @ s",
        "np.eye(3) @ s",
        "(np.arange(81.0).reshape(9, 9) @ np.tile(a, 2)[:9])",
    ],
    "dot": ["np.dot(a, b)", "np.dot(m, n)", "a.dot(b)", "np.dot(c, n)", "np.dot(x, a)", "np.dot(2.0, m)", "m.dot(n)"],
    "vdot": ["np.vdot(a, b)", "np.vdot(m, m)"],
    "inner": ["np.inner(a, b)", "np.inner(m, m)", "np.inner(x, a)"],
    "outer": ["np.outer(a, b)", "np.outer(m, x)", "np.multiply.outer(a, m)"],
    "kron": ["np.kron(s, m)", "np.kron(a, b)"],
    "cross": ["np.cross(a[:3], b[3:])", "np.cross(s, s[::-1])", "np.cross(s, s.T, axis=0)", "np.cross([0, 0, 1], i)"],
    "tensordot": ["np.tensordot(m, n, 1)", "np.tensordot(c, m, axes=([1, 2], [0, 1]))", "np.tensordot(a, b, 0)"],
    "einsum": [
        "np.einsum('ij,jk->ik', m, n)",
        "np.einsum('i,i', a, b)",
        "np.einsum('ij->j', m)",
        "np.einsum('ii', s)",
        "np.einsum('ij,jk,kl->il', s, m, n)",
        "np.einsum('i,j->ij', a, b)",
        "np.einsum('bij,jk->bik', c, n)",
        "np.einsum('ii->i', s)",
        "np.einsum('...ij,jk->...ik', c, n)",
        "np.einsum('ij,ij->i', m, m)",
        "np.einsum('ij->ji', m)",
        "np.einsum('ij', m)",
    ],
    "trace": ["np.trace(s)", "s.trace()", "np.trace(c)"],
    "multi_dot": ["np.linalg.multi_dot([s, m, n])"],
    "norm": [
        "np.linalg.norm(a)",
        "np.linalg.norm(m, axis=1)",
        "np.linalg.norm(c, axis=(0, 1))",
        "np.linalg.norm(a, 1)",
        "np.linalg.norm(a, np.inf)",
        "np.linalg.norm(m)",
        "np.linalg.norm(m, 'fro')",
        "np.linalg.norm(m, axis=0, keepdims=True)",
        "np.linalg.norm(a, -np.inf)",
    ],
    "lu_solve": ["linalg.lu_solve(linalg.lu_factor(np.eye(6) + np.ones((6, 6))), a)"],
    "det": ["np.linalg.det(s)", "np.linalg.det(s[:2, :2])", "np.linalg.det(s[:1, :1])"],
    "inv": [
        "np.linalg.inv(s)",
        "np.linalg.inv(np.kron(s, s[:2, :2]))",
        "np.linalg.inv(s[:2, :2])",
        "np.linalg.inv(s[:1, :1])",
    ],
    "solve": [
        "np.linalg.solve(s, a[:3])",
        "np.linalg.solve(np.kron(s, s[:2, :2]), a)",
        "np.linalg.solve(np.kron(s, np.eye(2))[::-1], a[:, None] * b)",
        "np.linalg.solve(np.eye(9) + np.ones((9, 9)), np.tile(a, 2)[:9])",
        "linalg.solve(np.fliplr(np.diag(b)), a)",
        "np.linalg.solve(s, m)",
        "np.linalg.solve(s[:2, :2], i[:2])",
        "np.linalg.solve(np.array([[2.0, 1], [1, 3]]), a[:2])",
    ],
    # choices and tables
    "where": [
        "np.where(a > 0, a, b)",
        "np.where(m > 0, m, 0)",
        "np.where(a > 0, 1.0, -1.0)",
        "np.where([True] * 6, a, b)",
    ],
    "select": ["np.select([a > 1, a > 0], [a, b], default=x)", "np.select([a > 5], [a])"],
    "choose": ["np.choose((a > 0).astype(int), [a, b])"],
    "piecewise": ["np.piecewise(a, [a < 0, a > 1], [lambda v: -v, 2.0, 0.5])", "np.piecewise(a, [a < 0], [-1, 1])"],
    "clip": ["np.clip(a, 0, 1)", "a.clip(0.0)", "np.clip(a, None, x)", "np.clip(m, -b[:4], b[:4])", "a.clip(min=0.1)"],
    "nan_to_num": ["np.nan_to_num(a)", "np.nan_to_num(np.where(a > 0, a, np.nan), nan=2.0)", "np.nan_to_num(a / 0)"],
    "interp": [
        "np.interp(a, [-1, 0, 2.0], [1.0, 3.0, -1.0])",
        "np.interp(x, np.arange(5.0), np.arange(5.0) ** 2)",
        "np.interp(a, [0.0, 1.0], [1.0, 2.0], left=-1, right=-2)",
        "np.interp(m, [1.0], [2.0])",
    ],
    "searchsorted": [
        "np.searchsorted([-1.0, 0.0, 1.0], a)",
        "np.searchsorted(np.arange(3.0), i, side='right')",
        "np.arange(3.0).searchsorted(m)",
    ],
    "digitize": ["np.digitize(a, [-1.0, 0.0, 1.0])", "np.digitize(i, [0.0, 1.0, 2.0], right=True)"],
    # composed functions
    "square": ["np.square(a)"],
    "float_power": ["np.float_power(b, 1.5)", "np.float_power(a, 2)"],
    "fabs": ["np.fabs(a)"],
    "reciprocal": ["np.reciprocal(b)"],
    "power": [
        "np.power(b, 2.5)",
        "b ** 2",
        "b ** -3",
        "b ** 0.5",
        "2.0 ** a",
        "b ** a",
        "a ** 3",
        "a ** 4",
        "a ** 0",
        "np.float_power(b, 1.5)",
        "pow(b, 2)",
        "a ** 7",
        "a ** np.array([0, 1, 2, 3, 4, 5])",
    ],
    "deg2rad": ["np.deg2rad(a)"],
    "radians": ["np.radians(a)"],
    "rad2deg": ["np.rad2deg(a)"],
    "degrees": ["np.degrees(a)"],
    "sinc": ["np.sinc(a)", "np.sinc(i)"],
    "divmod": ["np.divmod(a, b)[1]", "divmod(a, b)[0]"],
    "modf": ["np.modf(a)[0]", "np.modf(a)[1]"],
    "round": ["np.round(a)", "np.round(a, 2)", "a.round(1)", "np.round(10 * a, -1)"],
    "fix": ["np.fix(a)"],
    "polyval": ["np.polyval([1.0, -2.0, 3.0], a)", "np.polyval(a, 0.5)", "np.poly1d([1.0, 0.0, 2.0])(a)"],
    "isclose": ["np.isclose(a, b)", "np.isclose(a, a + 1e-12)"],
    "allclose": ["np.allclose(a, b)", "np.allclose(a, a)"],
    "array_equal": ["np.array_equal(a, b)", "np.array_equal(a, a)"],
    "convolve": ["np.convolve(a, [1.0, 2.0])", "np.convolve(a, b, 'same')", "np.convolve([1, 2, 3], a, 'valid')"],
    "correlate": ["np.correlate(a, b[:3])", "np.correlate(a, b[:2], 'full')", "np.correlate(b[:2], a, 'same')"],
    "softmax": ["special.softmax(a)", "special.softmax(m, axis=1)"],
    "logsumexp": ["special.logsumexp(a)", "special.logsumexp(m, axis=0)"],
    "logit": ["special.logit(0.5 + 0.1 * a)"],
    "xlogy": ["special.xlogy(a, b)", "special.xlogy(0.0 * a, b)"],
    "log_expit": ["special.log_expit(a)", "special.log_expit(100 * a)"],
    "special": ["special.expit(a)", "special.erf(a)", "special.erfc(a)", "special.cbrt(a)", "special.exp2(a)"],
    # arrays that functions make
    "array": [
        "np.array([x, 2 * x])",
        "np.array([[x, 1], [0, x]])",
        "np.array(a)",
        "np.array([a, b])",
        "np.array(x)",
        "np.array([x], ndmin=2)",
        "np.array((x, 3), dtype=np.float32)",
        "np.array([a[0], *b])",
        "np.array(m[0])",
    ],
    "asarray": ["np.asarray(a)", "np.asarray([x, 1.0])", "np.asarray(a, dtype=float)", "np.asarray(m, np.float32)"],
    "asanyarray": ["np.asanyarray([a, b])"],
    "ascontiguousarray": ["np.ascontiguousarray(m.T)", "np.ascontiguousarray(x)"],
    "asfortranarray": ["np.asfortranarray(m)"],
    "asarray_chkfinite": ["np.asarray_chkfinite([1.0, 2.0]) * x"],
    "zeros": ["np.zeros(3) + x", "np.zeros((2, 3), dtype=int) + x", "np.zeros(a.shape) + a"],
    "ones": ["np.ones(3) * x", "np.ones(a.size, float) * a", "np.ones(2, dtype=np.float32) * 2 + a[:2]"],
    "empty": ["np.empty((0, 3)).sum() + x"],
    "eye": ["np.eye(3) * x", "np.eye(3, k=1) * s"],
    "identity": ["np.identity(3) + s"],
    "arange": ["np.arange(6) * a", "np.arange(0.0, 3.0, 0.5) * a", "np.arange(a.size) % 2 * a"],
    "tri": ["np.tri(3) * s"],
    "linspace": ["np.linspace(0, 1, 6) * a", "np.linspace(x, 1.0, 4)", "np.linspace(0.0, x, 3)"],
    "logspace": ["np.logspace(0, 1, 6) * a"],
    "geomspace": ["np.geomspace(1, 8, 6) * a"],
    "indices": ["np.indices((3, 4))[1] * m"],
    "full": ["np.full(3, x)", "np.full((2, 2), 3.0) * x", "np.full(3, 2) + x"],
    "fromiter": ["np.fromiter((v * v for v in a), float)", "np.fromiter(map(lambda v: v + 1, a), dtype=np.float64)"],
    "r_": ["np.r_[a, x, 1.0]", "np.r_[0:3, a]", "np.r_[1, 2, 3] * x", "np.c_[a, b]", "np.c_[m, m]", "np.c_[1:4] * s"],
    "vectorize": ["np.vectorize(lambda v: v * v + 1)(a)", "np.vectorize(lambda v, w: v - w)(m, x)"],
    "ndenumerate": ["sum(v * (k[0] + 1) for k, v in np.ndenumerate(m))"],
    # what a list of values does in ufuncs
    "lists": [
        "np.sin([x, 1.0])",
        "np.add([x, x], a[:2])",
        "np.exp((x, x))",
        "np.hypot([x, x], 1.0)",
        "a + [1, 2, 3, 4, 5, 6]",
        "np.minimum([x, 2], [1.0, x])",
        "np.abs([x, -x])",
        "np.transpose([a, b])",
    ],
    "out": [
        "np.add(a, b, out=np.zeros(6))",
        "np.divide(a, b, out=np.zeros(6), where=a > 0)",
        "np.sqrt(b, where=b > 1, out=a)",
        "np.multiply(a, b, a)",
        "(z := np.zeros(()), np.dot(a, b, out=z))[1]",
        "(z := np.zeros(4), np.dot(i, m, z), z)[2]",
        "(z := np.zeros((3, 2)), np.matmul(m, n, out=z), z)[2]",
        "(z := np.zeros(6), np.cumsum(a, out=z), z)[2]",
        "(z := np.zeros(4), np.mean(m, axis=0, out=z), z)[2]",
        "(z := np.zeros(6), np.clip(a, 0, 1, z), z)[2]",
        "(z := np.zeros(6), a.clip(0, 1, out=z), z)[2]",
        "(z := np.zeros(6), np.round(a, 1, out=z), z)[2]",
        "(z := np.zeros(6), np.concatenate([i, i], out=z), z)[2]",
        "(z := np.where(a > 0, a, np.nan), np.nan_to_num(z, copy=False), z)[2]",
        "(z := a.copy(), z.sort(), z)[2]",
        "np.square(a, dtype=np.float32)",
        "(z := a.copy(), z.astype(float, copy=False).fill(2.0), z)[2]",
        "(z := a.copy(), z.reshape(2, 3).fill(x), z)[2]",
        "(z := m.copy(), z.T[1].fill(x), z)[2]",
        "(z := m.copy(), z.ravel().__setitem__(slice(3), x), z)[2]",
        "np.array([1.0, 2.0] * np.array([3])[0]) * x",
    ],
    "copyto": ["(z := a.copy(), np.copyto(z, b, where=a > 0))[0]", "(z := np.zeros(6), np.copyto(z, a))[0]"],
    "put": ["(z := a.copy(), np.put(z, [1, 2], [x, 3.0]))[0]"],
    "fill_diagonal": ["(z := s.copy(), np.fill_diagonal(z, 0.0))[0]", "(z := s.copy(), np.fill_diagonal(z, i))[0]"],
    "add.at": ["(z := np.zeros(4), np.add.at(z, [0, 1, 1, 3], m[0]))[0]"],
    "at": [
        "(z := np.ones(4), np.subtract.at(z, [0, 1, 1, 3], m[0]))[0]",
        "(z := np.ones(4), np.multiply.at(z, np.array([0, 1, 1, 3]), x))[0]",
        "(z := np.ones(4), np.maximum.at(z, [2], x))[0]",
    ],
    "flat": [
        "(z := m.copy(), z.flat.__setitem__(slice(None), np.tile(a, 2)), z)[2]",
        "(z := m.copy(), z.flat.__setitem__([1, 5], 3.0), z)[2]",
        "(z := m.copy(), setattr(z, 'flat', x), z)[2]",
        "m.flat[5]",
        "m.flat[::2]",
        "np.array(list(m.flat))",
    ],
    "xlog1py": ["special.xlog1py(a, b)", "special.xlog1py(0.0 * a, -1.0)"],
    "deque": ["np.array(collections.deque(a, maxlen=3))"],
    "bincount": ["np.bincount([0, 2, 2], weights=i)", "np.bincount([0, 2, 2], i, minlength=5)"],
    "apply_along_axis": ["np.apply_along_axis(lambda v: v / np.sum(v * v), 1, m)", "np.apply_along_axis(np.sum, 0, m)"],
    "vander": ["np.vander(a, 3)", "np.vander(i, increasing=True)"],
    "sliding_window_view": ["np.lib.stride_tricks.sliding_window_view(a, 3)"],
    "ndtr": ["special.ndtr(a)"],
    "fft": [
        "np.fft.fft(a)",
        "fft.fft(m, axis=0)",
        "np.fft.fft(np.tile(a, 4), norm='ortho')",
        "np.fft.fft(a, 4)",
        "np.fft.fft(a, 9)",
        "np.fft.fft(a.astype(np.float32))",
        "np.fft.fft(np.tile(a + 1j, 5)[:16])",
        "np.fft.fft((a > 0) * np.fft.fftfreq(6))",
        "np.fft.fft(x[None])",
    ],
    "ifft": ["np.fft.ifft(a)", "np.fft.ifft(np.fft.fft(m) * 1j)", "np.fft.ifft(a, norm='forward')"],
    "rfft": ["np.fft.rfft(a.real)", "np.fft.rfft(m.real, axis=0)", "fft.rfft(np.tile(a.real, 2)[:11])"],
    "irfft": [
        "np.fft.irfft(np.fft.rfft(a.real))",
        "np.fft.irfft(np.fft.rfft(a.real[:5]), 5)",
        "np.fft.irfft(a + 1j, 4)",
        "np.fft.irfft(m + 1j, 12, axis=0)",
    ],
    "fft2": ["np.fft.fft2(m)", "np.fft.fft2(c, s=(2, 3), axes=(0, 1))"],
    "ifft2": ["np.fft.ifft2(c)"],
    "fftn": ["np.fft.fftn(c)", "fft.fftn(m, axes=[0])"],
    "ifftn": ["np.fft.ifftn(m)"],
    "fftshift": ["np.fft.fftshift(a)", "np.fft.fftshift(m, axes=1)"],
    "ifftshift": ["np.fft.ifftshift(np.fft.fftshift(m))", "np.fft.ifftshift(a[:5])"],
    "selections": [
        "(z := a.copy(), z.__setitem__(a > 0, 2 * a[a > 0] + 1))[0]",
        "(z := a.copy(), z.__setitem__(a > 0, np.sqrt(a[a > 0]) / b[a > 0]))[0]",
        "(z := m.copy(), z.__setitem__(m > 0, 1 / -m[m > 0]))[0]",
    ],
    # indexing
    "indices of arrays": [
        "a[1]",
        "a[-1]",
        "a[1:4]",
        "a[::-1]",
        "m[1]",
        "m[:, 1]",
        "m[1, 2]",
        "m[..., 0]",
        "a[[0, 2]]",
        "a[np.arange(6) > 2]",
        "m[[0, 1], [1, 2]]",
        "c[0, :, 1]",
        "a[None]",
        "m[np.ix_([0, 1], [1, 2])]",
        "a[np.array([0, 1])]",
        "m[np.newaxis, 1]",
        "a[np.argsort([3, 1, 2])]",
        "a[len(a) // 2]",
        "m[np.eye(3, 4) > 0]",
        "a[np.where(np.arange(6) > 3)[0]]",
        "m[np.triu_indices(3)]",
    ],
    "numbers": [
        "float(x) * a",
        "abs(x)",
        "round(x, 2) * 1.0",
        "max(x, 0.0)",
        "min(x, a[0], 1.0)",
        "max(a)",
        "min(a)",
        "np.float64(x) + 1",
        "a.item(0)",
        "-a",
        "a - 1",
        "1 / b",
        "a // b",
        "a % b",
        "5 % b",
        "~(a > 0)",
        "(a > 0) & (b > 1)",
        "(a > 0) | (b > 1)",
        "(a > 0) ^ (b > 1)",
        "True & (a > 0)",
        "a == b",
        "a != b",
        "1 - (a > 0)",
        "(a > 0) * a",
        "np.isnan(a)",
        "a.tolist()",
        "a / 2",
        "2 / b",
        "a.T",
        "a.fill(3.0) or a",
    ],
}

ROWS_OF_MATH = {
    "fabs": "math.fabs(x)",
    "pow": "math.pow(b[0], x)",
    "log": "math.log(b[0]) + math.log(b[1], 2)",
    "hypot": "math.hypot(x, 1.0) + math.hypot(x, 1.0, x)",
    "erf": "math.erf(x)",
    "erfc": "math.erfc(x)",
    "fsum": "math.fsum(a)",
    "prod": "math.prod(a)",
    "dist": "math.dist(a, b)",
    "sumprod": "a @ b",
    "atan2": "math.atan2(x, 2.0)",
    "asin": "math.asin(math.tanh(x))",
    "acos": "math.acos(0.1 * math.tanh(x))",
    "acosh": "math.acosh(2 + b[0])",
    "atanh": "math.atanh(math.tanh(x))",
    "copysign": "math.copysign(2.0, x)",
    "fmod": "math.fmod(x, 0.3)",
    "floor": "math.floor(x) * 1.0",
    "ceil": "math.ceil(x) * 1.0",
    "trunc": "math.trunc(x) * 1.0",
    "log2": "math.log2(b[0])",
    "log10": "math.log10(b[0])",
    "log1p": "math.log1p(b[0])",
    "sqrt": "math.sqrt(b[0])",
    "modf": "math.modf(x)",
    "isclose": "math.isclose(x, 1.0)",
    "arctan2": "math.atan2(2.0, x)",
}

CALLS = ROWS | {"math": [ROWS_OF_MATH.get(name, f"math.{name}(x)") for name in MATH if hasattr(math, name)]}


def arguments(count):
    rng = np.random.default_rng(5)
    shapes = {"a": (6,), "b": (6,), "m": (3, 4), "n": (4, 2), "c": (2, 3, 4), "s": (3, 3), "x": (), "i": (3,)}
    found = {name: rng.normal(size=(count, *shape)) for name, shape in shapes.items()}
    found["b"] = np.abs(found["b"]) + 0.3
    found["s"] += 3 * np.eye(3)
    found["i"] = rng.integers(0, 3, (count, 3)).astype(float)
    return found


def test_every_function_of_the_tables_has_a_row():
    tested = set(ROWS)
    assert set(TABLE) - tested == set()
    assert set(MAKERS) - tested == set()


@pytest.mark.parametrize("name", CALLS)
def test_it_gives_what_numpy_gives(name):
    for text in CALLS[name]:
        with told(text):
            check_as_numpy(name, text)


def check_as_numpy(name, text):
    count = 4
    given = arguments(count)
    function = eval(
        f"lambda {', '.join(given)}: {text}",
        {"np": np, "special": special, "linalg": linalg, "fft": fft, "collections": collections, "math": math},
    )
    recording = record(function, [array[0] for array in given.values()])
    found = from_pairs(recording.program(*given.values())[0], recording.dtype)
    for k in range(count):
        with np.errstate(all="ignore"):
            wanted = np.asarray(function(*(array[k].copy() for array in given.values())))
        assert found[k].shape == wanted.shape
        assert recording.dtype.kind == wanted.dtype.kind or name == "math"
        assert recording.dtype.itemsize == wanted.dtype.itemsize or name == "math"
        rtol = 1e-6 if wanted.dtype in (np.float32, np.complex64) else 1e-13
        np.testing.assert_allclose(found[k], wanted, rtol=rtol, atol=1e-13)


REAL = ("real_if_close", "searchsorted", "digitize", "math", "numbers", "ndtr")
"""Functions that are recorded of real numbers only."""


@pytest.mark.few(50)
@pytest.mark.parametrize("name", [name for name in CALLS if name not in REAL])
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "error::numpy.exceptions.ComplexWarning")
def test_it_gives_what_numpy_gives_for_complex_numbers(name):
    for text in CALLS[name]:
        with told(text):
            check_for_complex_numbers(text)


def check_for_complex_numbers(text):
    count = 2
    given = arguments(count)
    other = np.random.default_rng(6)
    given = {key: one if key == "i" else one + 1j * other.normal(size=one.shape) for key, one in given.items()}
    function = eval(
        f"lambda {', '.join(given)}: {text}",
        {"np": np, "special": special, "linalg": linalg, "fft": fft, "collections": collections},
    )
    try:
        wanted = [np.asarray(function(*(array[k].copy() for array in given.values()))) for k in range(count)]
    except (TypeError, ValueError, np.exceptions.ComplexWarning):
        return  # it has no meaning for complex numbers
    if "special.erf" in text:
        return
    recording = record(function, [array[0] for array in given.values()])
    found = from_pairs(recording.program(*map(as_pairs, given.values()))[0], recording.dtype)
    for one, expected in zip(found, wanted, strict=True):
        assert (one.shape, one.dtype) == (expected.shape, expected.dtype)
        rtol = 1e-6 if expected.dtype in (np.float32, np.complex64) else 1e-13
        np.testing.assert_allclose(one, expected, rtol=rtol, atol=rtol)


@pytest.mark.few(50)
@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("math", "numbers", "ndtr")])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_it_gives_what_numpy_gives_for_single_precision(name):
    for text in CALLS[name]:
        with told(text):
            check_for_single_precision(text)


def check_for_single_precision(text):
    count = 2
    given = {key: one.astype(np.float32) for key, one in arguments(count).items()}
    function = eval(
        f"lambda {', '.join(given)}: {text}",
        {"np": np, "special": special, "linalg": linalg, "fft": fft, "collections": collections},
    )
    try:
        wanted = [np.asarray(function(*(array[k].copy() for array in given.values()))) for k in range(count)]
    except ValueError:
        return
    try:
        recording = record(function, [array[0] for array in given.values()])
    except NotRecordedError as error:
        assert "float32" in str(error) or "complex64" in str(error)  # noqa: PT017
        return
    found = from_pairs(recording.program(*given.values())[0], recording.dtype)
    for one, expected in zip(found, wanted, strict=True):
        assert (one.shape, one.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(one, expected, rtol=3e-4, atol=3e-5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("np.median(a, keepdims=True)", "calls `median` with options"),
        ("np.sum(a, 0, None, np.zeros(()))", "reduces into an array"),
        ("a.compress([True, False])", "no attribute 'compress'"),
        ("np.percentile(a, 30)", "calls `percentile`, which is not recorded"),
        ("np.sort(np.tile(a, 9))", "sorts more than 16 values"),
        ("a[a > 0].sum()", "unknown length"),
        ("len(a[a > 0])", "unknown length"),
        ("a[a > 0] + a[b > 0]", "unknown length"),
        ("np.sum(a[a > 0])", "unknown length"),
        ("np.linalg.inv(np.eye(9) + x)", "larger than 8 by 8"),
        ("np.argsort(a)", "calls `argsort`"),
        ("np.argmax(m, axis=0)", "seeks the place of an extreme"),
        ("np.fft.fft(np.tile(a, 12)[:67])", "an odd factor above 65"),
        ("np.fft.hfft(a)", "calls `hfft`"),
        ("np.where(a > 0)", "unknown length"),
        ("np.nonzero(a)", "calls `nonzero`"),
        ("np.linalg.eig(s)", "calls `eig`"),
        ("special.gamma(x)", "calls `gamma`"),
        ("math.gamma(x)", "calls `math.gamma`"),
        ("np.exp(a, where=a > 0)", "`where` but without `out`"),
        ("np.zeros(int(x))", "calls `zeros` with values"),
        ("np.zeros(3, object) + x", "calculates with object"),
        ("a * np.erf(1j)" if hasattr(np, "erf") else "special.erf(1j * a)", "calls `erf` on complex numbers"),
        ("(1j * a).astype(float)", "makes real numbers of complex ones"),
        ("(z := a.copy(), z.__setitem__(0, 1j * x))[0]", "makes real numbers of complex ones"),
        ("np.interp(a, [0.0, 1.0], [1.0, 1j])", "a complex table"),
        ("np.searchsorted([0.0, 1.0], 1j * a)", "`searchsorted` on complex numbers"),
        ("np.real_if_close(a + 0j)", "whose dtype depends on values"),
        ("(1j * a).view(np.float32)", "takes the memory of an array"),
        ("(z := 1j * a, z.real.__setitem__(0, 1.0))[0]", "read-only"),
        ("complex(x) ** 0.5", "complex number of Python to a power"),
        ("complex(x) ** complex(x)", "complex number of Python to a power"),
        ("a[a > 0]", "np.where"),
        ("a[int(x)]", "indexes by a value an array that is no table"),
        ("range(x)", "indexes by a value"),
        ("f'{x}'", "prints a value"),
        ("{x: 1}", "looks up a value"),
        ("a if x > 0 else b", "branches on a value"),
        ("a if a[0] in (1.0, 2.0) else b", "branches on a value"),
        ("sorted(a)", "branches on a value"),
        ("np.random.default_rng().normal()", "draws random numbers"),
        ("np.random.rand(3)", "draws random numbers"),
        ("open('x')", "opens a file"),
        ("np.reciprocal(a.astype(int))", "integers"),
        ("np.interp(a, [0.0, 2.0, 1.0], [1.0, 2.0, 3.0])", "does not rise"),
        ("np.interp(a, [0.0, np.inf], [1.0, 2.0])", "not finite"),
        ("np.average(a, weights=b, returned=True)", "sum of the weights"),
        ("np.piecewise(a, [a < 0], [lambda q: q - q.sum(), 0.0])", "unknown length"),
        ("(z := a.copy(), z.__setitem__(z > 0, b))[0]", "unknown length"),
        ("(z := m.copy(), z.__setitem__(z[:, :2] > 0, 0.0))[0]", "another shape"),
        ("undefined + x", "raises NameError"),
        ("round(float(x), 2)", "another rule than NumPy"),
        ("np.round(a.astype(int), -1)", "rounds integers"),
        ("np.lib.scimath.sqrt(a)", "not recorded"),
        ("a.astype(np.int64) < b.astype(np.uint64)", "with and without sign"),
        ("a + m", "raises ValueError"),
    ],
)
def test_why_it_is_not_recorded(text, reason):
    given = arguments(1)
    function = eval(
        f"lambda {', '.join(given)}: {text}",
        {"np": np, "special": special, "linalg": linalg, "fft": fft, "collections": collections, "math": math},
    )
    with pytest.raises(NotRecordedError, match=reason):
        record(function, [array[0] for array in given.values()])


def test_recording_arrays_are_arrays_for_isinstance():
    found = {}

    def function(y):
        found["y"] = y
        assert isinstance(y, np.ndarray)
        assert isinstance(y[0], float)
        assert not isinstance(y, float)
        assert isinstance(y[0], np.float64)
        assert np.isscalar(y[0])
        return y

    assert isinstance(record(function, [np.zeros(2)]).result, RecordingArray)
    assert found == {}  # what a function writes stays in its copy
