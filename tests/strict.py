"""An array type that refuses what CuPy refuses, so that a line which breaks on a GPU fails here.

It computes with NumPy, but hides it: an array of `strict.ndarray` is no NumPy array, does not mix
with any, is not turned into one but by `get`, and knows only such functions, methods and keywords
as CuPy 14 has too (`FUNCTIONS` and `METHODS`, held against CuPy itself by tests/device/test_cupy).
A few things that CuPy does allow, it refuses as well, because they are slow or hide a mistake: to
index by NumPy's arrays, to iterate, and NumPy's functions, which CuPy answers in NumPy's place.

It also counts how often the host waited for the device: `waits` holds the place of each.
"""

import functools
import traceback
import types
from pathlib import Path

import numpy as np

# The functions in use, and what they may be called with beyond their arrays, by position or name.
UFUNCS = [
    "abs",
    "add",
    "arcsin",
    "copysign",
    "cos",
    "divide",
    "exp",
    "expm1",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "multiply",
    "reciprocal",
    "rint",
    "sign",
    "sin",
    "sqrt",
    "subtract",
    "tanh",
]
UFUNC_WORDS = {"out", "dtype", "casting"}
FUNCTIONS = {
    "arange": "start stop step dtype",
    "argmax": "a axis dtype out keepdims",
    "argmin": "a axis dtype out keepdims",
    "argsort": "a axis kind",
    "array": "obj dtype copy order subok ndmin",
    "asarray": "a dtype order copy",
    "broadcast_to": "array shape",
    "clip": "a a_min a_max out",
    "concatenate": "tup axis out dtype casting",
    "copyto": "dst src casting where",
    "diagonal": "a offset axis1 axis2",
    "einsum": "",
    "empty": "shape dtype order",
    "empty_like": "prototype dtype order subok shape",
    "eye": "N M k dtype order",
    "flip": "a axis",
    "full": "shape fill_value dtype order",
    "full_like": "a fill_value dtype order subok shape",
    "ones": "shape dtype order",
    "ones_like": "a dtype order subok shape",
    "pad": "array pad_width mode constant_values",
    "partition": "a kth axis",
    "tril": "m k",
    "triu": "m k",
    "where": "condition x y",
    "zeros": "shape dtype order",
    "zeros_like": "a dtype order subok shape",
    "add.at": "",
    "lib.stride_tricks.as_strided": "x shape strides",
    "linalg.cholesky": "a",
    "linalg.inv": "a",
    "linalg.qr": "a mode",
    "linalg.slogdet": "a",
    "linalg.solve": "a b",
    "linalg.svd": "a full_matrices compute_uv",
}
CONSTANTS = ["float32", "float64", "inf", "int64", "nan", "newaxis", "pi", "uint64"]
METHODS = {
    "all": "axis out keepdims",
    "any": "axis out keepdims",
    "argmax": "axis out dtype keepdims",
    "argmin": "axis out dtype keepdims",
    "astype": "dtype order casting subok copy",
    "clip": "min max out",
    "copy": "order",
    "cumsum": "axis dtype out",
    "dot": "b out",
    "max": "axis out keepdims",
    "mean": "axis dtype out keepdims",
    "min": "axis out keepdims",
    "ravel": "order",
    "reshape": "order copy",
    "squeeze": "axis",
    "std": "axis dtype out ddof keepdims",
    "sum": "axis dtype out keepdims",
    "swapaxes": "axis1 axis2",
    "transpose": "",
    "view": "dtype type",
}
PROPERTIES = ["dtype", "itemsize", "nbytes", "ndim", "shape", "size", "strides"]

waits: list[str] = []  # where the host waited for a number from the device


def _wait() -> None:
    here = traceback.extract_stack(limit=12)
    outside = [f for f in here if not f.filename.endswith("strict.py")]
    waits.append(" < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in outside[::-1][:4]))


def _inner(x, what: str):
    """What NumPy computes with in place of x."""
    if isinstance(x, ndarray):
        return x._inner
    if isinstance(x, np.ndarray):
        raise TypeError(f"{what}: Unsupported type {type(x)}")
    if isinstance(x, (list, tuple)):
        return type(x)(_inner(part, what) for part in x)
    return x


def _outer(x, owner: "ndarray | None" = None):
    """A result as arrays of this type: numbers too, with no axes."""
    if isinstance(x, tuple):
        return tuple(_outer(part) for part in x)
    if isinstance(x, np.ndarray | np.generic):
        made = object.__new__(ndarray)
        made._inner = x = np.asarray(x)
        shares = owner is not None and x.base is not None and np.may_share_memory(x, owner._inner)
        made.base = (owner if owner.base is None else owner.base) if shares else None
        return made
    return x


def _call(name: str, function, words, args, kwargs):
    unknown = set(kwargs) - words
    if unknown:
        raise TypeError(f"{name}: got an unexpected keyword argument {unknown.pop()!r}")
    out = kwargs.get("out")
    kwargs = {key: _inner(value, name) for key, value in kwargs.items()}
    with np.errstate(all="ignore"):  # CuPy warns of nothing
        result = function(*(_inner(x, name) for x in args), **kwargs)
    if out is not None:
        return out
    return _outer(result, args[0] if args and isinstance(args[0], ndarray) else None)


def _operator(name: str, order: int = 1):
    def operate(self, *other):
        for x in other:
            if not isinstance(x, (ndarray, np.generic, bool, int, float)):
                raise TypeError(f"{name}: Unsupported type {type(x)}")
        with np.errstate(all="ignore"):
            return _outer(getattr(self._inner, name)(*(_inner(x, name) for x in other)))

    def operate_in_place(self, other):
        if not isinstance(other, (ndarray, np.generic, bool, int, float)):
            raise TypeError(f"{name}: Unsupported type {type(other)}")
        with np.errstate(all="ignore"):
            getattr(self._inner, name)(_inner(other, name))
        return self

    return operate_in_place if name.startswith("__i") and name != "__invert__" else operate


def _method(name: str, words: str):
    allowed = set(words.split())

    def method(self, *args, **kwargs):
        function = lambda x, *rest, **options: getattr(x, name)(*rest, **options)
        return _call(name, function, allowed, (self, *args), kwargs)

    return method


class ndarray:
    """An array on the device `cuda:0`, as far as anybody can tell."""

    __array_ufunc__ = None
    __hash__ = None
    device = types.SimpleNamespace(id=0)

    def __init__(self, *_: object) -> None:
        raise TypeError("made by the functions of strict.library alone")

    def __array__(self, *_: object, **__: object):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __array_function__(self, func, *_: object):
        raise TypeError(f"numpy.{func.__name__}: got an array that is not NumPy's")

    def __iter__(self):
        raise TypeError("iteration: each entry would be a kernel")

    def __len__(self) -> int:
        return len(self._inner)

    def __repr__(self) -> str:
        return f"strict.{self._inner!r}"

    T = property(lambda self: _outer(self._inner.T, self))

    @property
    def flags(self):
        """CuPy's flags: who may write is not among them."""
        flags = self._inner.flags
        return types.SimpleNamespace(
            c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous,
            owndata=self.base is None,
        )  # fmt: skip

    # ------------------------------------------------------------ entries

    def _index(self, index, counts: bool):
        parts = index if isinstance(index, tuple) else (index,)
        for part in parts:
            if isinstance(part, (list, np.ndarray)):
                raise TypeError(f"index: Unsupported type {type(part)}")
            if counts and isinstance(part, ndarray) and part.dtype == bool:
                _wait()  # to know how many are true
        found = tuple(_inner(part, "index") for part in parts)
        return found if any(part is Ellipsis for part in parts) else (*found, ...)

    def __getitem__(self, index):
        return _outer(self._inner[self._index(index, True)], self)

    def __setitem__(self, index, value) -> None:
        if not isinstance(value, (ndarray, np.generic, bool, int, float)):
            raise TypeError(f"setitem: Unsupported type {type(value)}")
        counts = isinstance(value, ndarray) and value.ndim > 0  # one number is put by the mask
        self._inner[self._index(index, counts)] = _inner(value, "setitem")

    # ------------------------------------------------------------ what the host waits for

    def get(self) -> np.ndarray:
        """A copy, as a NumPy array."""
        _wait()
        return self._inner.copy()

    def item(self):
        """The only entry, as a number."""
        _wait()
        return self._inner.item()

    def tolist(self):
        """The entries, as lists of numbers."""
        _wait()
        return self._inner.tolist()

    def __bool__(self) -> bool:
        _wait()
        return bool(self._inner)

    def __float__(self) -> float:
        _wait()
        return float(self._inner)

    def __int__(self) -> int:
        _wait()
        return int(self._inner)

    def __index__(self) -> int:
        _wait()
        return self._inner.__index__()


_BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
]
for _name in (*_BINARY, *(f"r{b}" for b in _BINARY), *(f"i{b}" for b in _BINARY if b != "matmul")):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ["eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"]:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in PROPERTIES:
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._inner, name)))
for _name, _words in METHODS.items():
    setattr(ndarray, _name, _method(_name, _words))


class _Library:
    """Part of what CuPy has, or a module of it."""

    def __init__(self, path: str = "") -> None:
        self._path = path

    @functools.cached_property
    def __name__(self) -> str:
        return f"strict{self._path and '.'}{self._path.rstrip('.')}"

    def __getattr__(self, name: str):
        full = self._path + name
        if full in CONSTANTS:
            return getattr(np, full)
        if full in UFUNCS or full in FUNCTIONS:
            made = _Function(full)
        elif any(known.startswith(f"{full}.") for known in FUNCTIONS):
            made = _Library(f"{full}.")
        else:
            raise AttributeError(
                f"strict: {full} is not known to be in CuPy as in NumPy. If it is, list it in "
                "tests/strict.py"
            )
        setattr(self, name, made)
        return made


class _Function(_Library):
    def __init__(self, full: str) -> None:
        super().__init__(f"{full}.")
        self._full = full
        self._words = UFUNC_WORDS if full in UFUNCS else set(FUNCTIONS[full].split())
        self._numpys = functools.reduce(getattr, full.split("."), np)

    def __call__(self, *args, **kwargs):
        if self._full in ("asarray", "array") and isinstance(args[0], np.ndarray):
            args = (_outer(args[0].copy()), *args[1:])  # the one way onto the device
        return _call(self._full, self._numpys, self._words, args, kwargs)


class _Grid:
    """`ogrid[...]`"""

    def __getitem__(self, index):
        return [_outer(np.array(x)) for x in np.ogrid[index]]


class _Device:
    """`cuda.Device(i)`"""

    def __init__(self, index: int) -> None:
        if index != 0:
            raise ValueError(f"got device {index}; there is one, 0")

    def use(self) -> None:
        """It is in use anyway."""


library = _Library()
library.ogrid = _Grid()
library.cuda = types.SimpleNamespace(Device=_Device)
