"""The bodies of the CUDA kernels, compiled for the processor, compute what the array code does.

A loop around a body stands for the device's threads. What needs a device is whether CuPy compiles
them and how fast they are.
"""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from minigrad.kernels import cuda
from minigrad.nn import losses
from minigrad.ops.conv import im2col
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.optim import Adam
from minigrad.tensor import Tensor
from tests.strict import library

CTYPES = {"T": "double", "int32": "int", "uint64": "unsigned long long"}
HOST = """
#include <cmath>
#include <cstddef>
typedef double T;
using std::abs; using std::exp; using std::log1p; using std::sqrt;
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long) (((unsigned __int128) a * b) >> 64);
}
"""


def declared(text):
    """(raw, type, name) of every parameter in CuPy's words."""
    return [
        (words[0] == "raw", *words[-2:])
        for words in (part.split() for part in text.split(",") if part.strip())
    ]


def source(name):
    """The kernel as a C function of pointers to whole arrays, numbers, and how often to loop."""
    inputs, outputs, body = cuda.BODIES[name]
    arrays = {n for _, kind, n in declared(inputs) if kind == "T"} - SCALARS.get(name, set())
    arrays |= {n for _, _, n in declared(outputs)}
    takes, each = [], []
    for raw, kind, n in declared(inputs) + declared(outputs):
        if n not in arrays:
            takes.append(f"{CTYPES[kind]} {n}")
            continue
        takes.append(f"{CTYPES[kind]}* {n if raw else f'{n}_'}")
        each += [] if raw else [f"{CTYPES[kind]}& {n} = {n}_[i];"]
    loop = f"for (ptrdiff_t i = 0; i < size; ++i) {{ {' '.join(each)} {body} }}"
    return f'extern "C" void {name}({", ".join(takes)}, ptrdiff_t size) {{ {loop} }}\n'


SCALARS = {
    "adam": {"rate", "root", "beta_1", "beta_2", "eps"},
    "cross_entropy_slope": {"g"},
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The kernels as functions of NumPy arrays."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no C++ compiler to try the kernels with")
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "all.cpp").write_text(HOST + "".join(map(source, cuda.BODIES)))
    done = subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-Wall", "-o", "all.so", "all.cpp"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    return ctypes.CDLL(str(folder / "all.so"))


class Kernels:
    """A library whose kernels are the compiled ones, and all else NumPy's."""

    def __init__(self, compiled):
        self._compiled = compiled
        self.empty = np.empty

    def ElementwiseKernel(self, inputs, outputs, body, name):  # CuPy's name
        wanted = declared(inputs) + declared(outputs)

        def call(*args, size=None):
            if len(args) < len(wanted):  # the output is made
                args = (*args, np.empty_like(args[0]))
            function = getattr(self._compiled, name.removeprefix("minigrad_"))
            passed = []
            for (_, kind, _), x in zip(wanted, args, strict=True):
                if isinstance(x, np.ndarray) and x.ndim:
                    assert x.flags.c_contiguous
                    passed.append(ctypes.c_void_p(x.ctypes.data))
                else:
                    to = {"T": ctypes.c_double, "int32": ctypes.c_int, "uint64": ctypes.c_uint64}
                    passed.append(to[kind](np.asarray(x).item()))
            function(*passed, ctypes.c_ssize_t(args[-1].size if size is None else size))
            return args[-1]

        return call


@pytest.fixture
def xp(compiled):
    cuda._kernel.cache_clear()
    yield Kernels(compiled)
    cuda._kernel.cache_clear()


# ---------------------------------------------------------------- random bits


@pytest.mark.parametrize("key, block, n", [(0, 0, 1), (7, 0, 9), (2**64 - 1, 5, 8), (3, 2**40, 4)])
def test_bits_are_those_of_numpys_philox(key, block, n, xp):
    words = np.array([key, 0], np.uint64), np.array([block, 0, 0, 0], np.uint64)
    expected = np.random.Philox(key=words[0], counter=words[1]).random_raw(n)
    np.testing.assert_array_equal(cuda.random_bits(xp, key, block, n), expected)
    np.testing.assert_array_equal(cuda.random_bits(np, key, block, n), expected)
    np.testing.assert_array_equal(cuda.random_bits(library, key, block, n).get(), expected)


# ---------------------------------------------------------------- patches

GEOMETRIES = [
    ConvGeometry.direct((5, 4), 3, padding=1),
    ConvGeometry.direct((6, 7), (3, 2), stride=(2, 3), padding=(1, 0)),
    ConvGeometry.direct((7, 6), (2, 3), stride=(1, 2), padding=(0, 2), dilation=(3, 1), groups=2),
    ConvGeometry.direct((9, 8), 2, stride=3, groups=3),  # pixels that no patch sees
    ConvGeometry.transposed((3, 4), 3, stride=2, padding=1, output_padding=1, groups=2),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("channels", [1, 5])  # of a group: few and many
def test_patches_are_those_of_the_array_code(geometry, channels, xp):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, channels * geometry.groups, *geometry.input_size))
    patches = cuda.im2col(xp, x, geometry)
    np.testing.assert_array_equal(patches, im2col.im2col(x, geometry))
    # Their sum at each place is the adjoint: ⟨im2col x, X⟩ = ⟨x, col2im X⟩.
    X = rng.standard_normal(patches.shape)
    back = cuda.col2im(xp, X, len(x), geometry)
    w = rng.standard_normal((4 * geometry.groups, channels, *geometry.kernel_size))
    y = rng.standard_normal((2, len(w), *geometry.output_size))
    rows = im2col._rows(y, geometry) @ im2col._kernels(w, geometry)
    assert back.shape == x.shape
    assert np.vdot(patches, X) == pytest.approx(np.vdot(x, back), rel=1e-12)
    np.testing.assert_allclose(
        cuda.col2im(xp, rows, len(x), geometry), im2col.scatter(y, w, geometry), rtol=1e-12
    )


# ---------------------------------------------------------------- entry by entry


def test_adam_is_that_of_the_array_code(xp):
    rng = np.random.default_rng(1)
    w, g, m, s = rng.standard_normal((4, 9))
    s *= s
    ours = [x.copy() for x in (w, m, s)]
    optimizer = Adam([Tensor(w, requires_grad=True)], lr=0.01, betas=(0.8, 0.95), eps=1e-3)
    (group,) = optimizer.param_groups
    optimizer.update(w, g, {"exp_avg": m, "exp_avg_sq": s}, np.empty(9), 3, group)
    cuda.adam(xp, ours[0], g, ours[1], ours[2], 0.01, (0.8, 0.95), 1e-3, 3)
    for a, b in zip(ours, (w, m, s), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_the_cross_entropy_is_that_of_the_array_code(xp):
    rng = np.random.default_rng(2)
    x, t = np.concatenate([rng.standard_normal(8), [-800.0, 800.0, 0.0]]), rng.random(11)
    loss = losses._bce_with_logits.forward(x, t, reduction="none")
    np.testing.assert_allclose(cuda.cross_entropy(xp, x, t), loss, rtol=1e-14)
    g = np.asarray(0.3)
    slope = losses._bce_with_logits_rule(g, None, x, t, "sum")
    np.testing.assert_allclose(cuda.cross_entropy_slope(xp, x, t, g), slope, rtol=1e-14)


def test_every_kernel_is_tried_here():
    tried = {"philox", "im2col", "col2im", "adam", "cross_entropy", "cross_entropy_slope"}
    assert set(cuda.BODIES) == tried
