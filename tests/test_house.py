"""The rules of the house that no linter knows, read from the source.

A rule is a function from a file to its complaints, (line, what is wrong). Every file is held
against every rule, and every rule against a planted fault: a rule that sees nothing is seen.
"""

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("minigrad", "models", "demos")
FILES = sorted(
    file.relative_to(ROOT).as_posix() for floor in FLOORS for file in (ROOT / floor).rglob("*.py")
)

BACKEND = "minigrad/backend.py"  # the only file that names cupy
LATE = {BACKEND: ("cupy", "cupyx"), "minigrad/kernels/processor.py": ("numba",)}  # when needed
MAX_FILE, MAX_FUNCTION, MAX_CORE = 500, 50, 4500  # lines
OPS = "arithmetic", "elementwise", "reduction", "shape", "linear", "sampling", "conv"
# what differentiates, but for operations that a first reading can do without (pooling, resizing,
# decompositions of matrices)
CORE = "errors", "backend", "engine", *(f"ops/{op}" for op in OPS), "inplace", "tensor", "creation"

Complaints = Iterator[tuple[int, str]]
Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

# ------------------------------------------------------------------------------------- the rules


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def late_import(path: str, tree: ast.Module) -> Complaints:
    """An import inside a function hides a cycle, or a dependency."""
    for function in ast.walk(tree):
        if isinstance(function, Function):
            for line, name in imports(function):
                if name.split(".")[0] not in LATE.get(path, ()):
                    yield line, f"imports {name} inside a function"


def foreign_import(path: str, tree: ast.Module) -> Complaints:
    """CuPy belongs to the backend, tests to nobody, and loading a pickle runs its author's code."""
    banned = {"tests"}
    if path != BACKEND:
        banned |= {"cupy", "cupyx"}
        if not path.startswith("demos/"):
            banned |= {"importlib"}  # it could import anything, unseen
    if path.startswith("minigrad/"):
        banned |= {"pickle", "dill", "joblib", "marshal", "shelve"}
    for line, name in imports(tree):
        if name.split(".")[0] in banned:
            yield line, f"imports {name}"


def foreign_code(path: str, tree: ast.Module) -> Complaints:
    """Nothing in the core runs text or a file's contents as a program."""
    if not path.startswith("minigrad/"):
        return
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            name = call.func.id if isinstance(call.func, ast.Name) else None
            if name in ("eval", "exec", "compile", "__import__"):
                yield call.lineno, f"calls {name}"
            for word in call.keywords:
                if word.arg == "allow_pickle" and getattr(word.value, "value", None) is not False:
                    yield call.lineno, "allows pickle"


def foreign_name(path: str, tree: ast.Module) -> Complaints:
    """CuPy's name, as a variable or an attribute, in other files than the backend."""
    if path == BACKEND:
        return
    for node in ast.walk(tree):
        name = getattr(node, "id", getattr(node, "attr", None))
        if name in ("cupy", "cupyx"):
            yield node.lineno, f"names {name}"


def no_docstring(path: str, tree: ast.Module) -> Complaints:
    """Every file says what it is for."""
    if not ast.get_docstring(tree):
        yield 1, "has no docstring"


def long_function(path: str, tree: ast.Module) -> Complaints:
    """A function is read at one glance; its docstring does not count."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
            lines = node.end_lineno - node.lineno + 1 - docstring
            if lines > MAX_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines of code, over {MAX_FUNCTION}"


def long_file(path: str, text: str) -> Complaints:
    """A file is read in one sitting."""
    lines = len(text.splitlines())
    if lines > MAX_FILE:
        yield lines, f"has {lines} lines, over {MAX_FILE}"


def complaints(path: str, text: str) -> list[str]:
    """What every rule has to say about the file `path` if it contains `text`."""
    tree = ast.parse(text)
    found = set(long_file(path, text))
    rules = late_import, foreign_import, foreign_name, foreign_code, no_docstring, long_function
    for rule in rules:
        found |= set(rule(path, tree))
    return [f"{path}:{line} {what}" for line, what in sorted(found)]


# ------------------------------------------------------------------------------- the rules apply


@pytest.mark.parametrize("path", FILES)
def test_file_keeps_the_rules(path):
    assert complaints(path, (ROOT / path).read_text("utf-8")) == []


def test_every_floor_is_there():
    """Where no file is found no rule is broken."""
    assert {path.split("/")[0] for path in FILES} == set(FLOORS)


def test_every_folder_is_a_package():
    """Without __init__.py a folder is neither installed nor seen by import-linter."""
    folders = {(ROOT / path).parent for path in FILES}
    assert [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").exists()] == []


def test_core_keeps_its_budget():
    core = [path for path in FILES if path.startswith(tuple(f"minigrad/{row}" for row in CORE))]
    assert len(core) >= 12
    assert sum(len((ROOT / path).read_text("utf-8").splitlines()) for path in core) < MAX_CORE


def test_core_needs_numpy_alone():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    assert config["options"]["install_requires"].split() == ["numpy>=2.0"]


def test_import_is_light_and_silent():
    """`import minigrad` loads NumPy alone, prints nothing and warns of nothing."""
    heavy = {"cupy", "numba", "matplotlib", "PIL", "tqdm"}
    program = f"import sys, minigrad; print(*{heavy} & set(sys.modules), end='')"
    run = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# ------------------------------------------------------------------------------ the rules can see

PLANTED = {
    "function": ("models/vae.py", "def f():\n    import math", "2 imports math inside a function"),
    "method": ("demos/vae.py", "class A:\n    def f(self):\n        from os import path", "3 imp"),
    "numba": ("minigrad/ops/linear.py", "def f():\n    import numba", "2 imports numba inside a f"),
    "late, in backend": (BACKEND, "def f():\n    import math", "2 imports math inside a function"),
    "cupy": ("models/vae.py", "import cupy as np", "1 imports cupy"),
    "cupy's child": ("minigrad/engine.py", "from cupy.cuda import Device", "1 imports cupy.cuda"),
    "cupy's name": ("minigrad/engine.py", "x = backend.cupy", "1 names cupy"),
    "by name": ("minigrad/engine.py", "import importlib", "1 imports importlib"),
    "tests": ("demos/vae.py", "from tests.ops import table", "1 imports tests.ops"),
    "pickle": ("minigrad/serialization.py", "import pickle", "1 imports pickle"),
    "allow_pickle": ("minigrad/data/a.py", "np.load(file, allow_pickle=True)", "1 allows pickle"),
    "eval": ("minigrad/draw.py", "x = 1\ny = eval('x')", "2 calls eval"),
    "exec": ("minigrad/draw.py", "exec('x = 1')", "1 calls exec"),
    "docstring": ("demos/vae.py", "x = 1", "1 has no docstring"),
    "function length": ("models/vae.py", "def f():\n" + "    x = 1\n" * 50, "1 f has 51 lines"),
    "file length": ("demos/vae.py", "x = 1\n" * 501, "501 has 501 lines"),
}


@pytest.mark.parametrize("path, text, complaint", PLANTED.values(), ids=PLANTED)
def test_planted_fault_is_seen(path, text, complaint):
    assert any(c.startswith(f"{path}:{complaint}") for c in complaints(path, text))


@pytest.mark.parametrize(
    "path, text",
    [
        (BACKEND, "def f():\n    import cupy"),
        (BACKEND, "def f():\n    import cupyx.distributed"),
        ("minigrad/kernels/processor.py", "def f():\n    import numba"),
        ("minigrad/nn/module.py", "model.eval()"),
        ("minigrad/serialization.py", "np.load(file, allow_pickle=False)"),
        ("models/vae.py", "def f():\n    '''\n" + "    formula\n" * 50 + "    '''\n    return 1"),
        ("demos/vae.py", "x = 1\n" * 500),
    ],
)
def test_right_is_not_taken_for_wrong(path, text):
    assert [c for c in complaints(path, text) if not c.endswith("has no docstring")] == []
