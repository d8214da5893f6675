"""Shapes drawn by Hypothesis: what an operation makes of any shape, index or axis, and its adjoint.

The adjoint A′ of a linear map A is held against its definition, ⟨A x, v⟩ = ⟨x, A′ v⟩.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import minigrad as mg
from minigrad import Tensor, tensor
from minigrad.engine import grad, history
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.ops import shape as shaping

SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
SOME = arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
SEEDS = st.integers(0, 2**32 - 1)


def drawn(shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def check_linear(fn, expected, *arrays, seed=0):
    """fn is `expected` on arrays, and its gradient is its adjoint."""
    xs = [tensor(x, requires_grad=True) for x in arrays]
    y = fn(*xs)
    np.testing.assert_allclose(y.detach().numpy(), expected(*arrays), rtol=1e-13, atol=1e-13)
    v = tensor(drawn(y.shape, seed + 1))
    pulled = grad(y, xs, v)
    assert [g.shape for g in pulled] == [x.shape for x in xs]
    left = (y * v).sum().item()
    right = sum((x * g).sum().item() for x, g in zip(xs, pulled, strict=True))
    size = sum((x.norm() * g.norm()).item() for x, g in zip(xs, pulled, strict=True))
    assert abs(left - right) <= 1e-12 * size


# ---------------------------------------------------------------- broadcasting


@given(arrays_of.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4), SEEDS)
def test_sum_of_any_two_shapes(shapes, seed):
    a, b = (drawn(s, seed + i) for i, s in enumerate(shapes.input_shapes))
    check_linear(lambda a, b: a - b, np.subtract, a, b, seed=seed)


@given(arrays_of.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=1, max_side=3))
def test_derivatives_of_a_product_of_any_two_shapes(shapes):
    xs = [tensor(drawn(s, i), requires_grad=True) for i, s in enumerate(shapes.input_shapes)]
    check_grads(lambda a, b: a * b, *xs, order=2)


@given(arrays_of.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3), SEEDS)
def test_choice_among_any_shapes(shapes, seed):
    condition, a, b = (drawn(s, seed + i) for i, s in enumerate(shapes.input_shapes))
    mask = condition > 0
    choose = lambda a, b: mg.where(tensor(mask), a, b)
    check_linear(choose, lambda a, b: np.where(mask, a, b), a, b, seed=seed)


@given(SHAPES, SHAPES)
def test_shapes_that_do_not_broadcast_are_refused(a, b):
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ShapeError, match="add: shapes do not broadcast: got"):
            tensor(np.ones(a)) + tensor(np.ones(b))
    else:
        assert (tensor(np.ones(a)) + tensor(np.ones(b))).shape == expected


@given(arrays_of.mutually_broadcastable_shapes(signature="(n,k),(k,m)->(n,m)", max_side=3), SEEDS)
def test_matrix_product_of_any_shapes(shapes, seed):
    a, b = (drawn(s, seed + i) for i, s in enumerate(shapes.input_shapes))
    constant = tensor(b)
    check_linear(lambda a: a @ constant, lambda a: a @ b, a, seed=seed)
    first = tensor(a)
    check_linear(lambda b: first @ b, lambda b: a @ b, b, seed=seed)


# ---------------------------------------------------------------- reductions


@st.composite
def shape_and_dim(draw, shapes=SOME):
    """A shape, and an axis of it, several, or None for all."""
    shape = draw(shapes)
    axis = st.integers(-len(shape), len(shape) - 1)
    several = arrays_of.valid_tuple_axes(len(shape), min_size=1)
    return shape, draw(st.none() | axis | several)


REDUCTIONS = {  # both are called as f(x, axes, whether they are kept)
    "sum": (Tensor.sum, lambda x, d, k: np.sum(x, d, keepdims=k)),
    "mean": (Tensor.mean, lambda x, d, k: np.mean(x, d, keepdims=k)),
    "amax": (Tensor.amax, lambda x, d, k: np.max(x, d, keepdims=k)),
    "amin": (Tensor.amin, lambda x, d, k: np.min(x, d, keepdims=k)),
    "var": (
        lambda x, d, k: x.var(d, correction=0, keepdim=k),
        lambda x, d, k: np.var(x, d, keepdims=k),
    ),
    "std": (
        lambda x, d, k: x.std(d, unbiased=False, keepdim=k),
        lambda x, d, k: np.std(x, d, keepdims=k),
    ),
    "norm": (
        lambda x, d, k: x.norm(2, d, k),
        lambda x, d, k: np.sqrt(np.sum(x * x, d, keepdims=k)),
    ),
    "logsumexp": (Tensor.logsumexp, lambda x, d, k: np.log(np.sum(np.exp(x), d, keepdims=k))),
}


@pytest.mark.parametrize("fn, reference", REDUCTIONS.values(), ids=REDUCTIONS)
@given(where=shape_and_dim(), keepdim=st.booleans(), seed=SEEDS)
def test_reduction_over_any_axes(fn, reference, where, keepdim, seed):
    shape, dim = where
    x = drawn(shape, seed)
    y = fn(tensor(x), dim, keepdim)
    expected = reference(x, dim, keepdim)
    assert y.shape == np.shape(expected)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(where=shape_and_dim(SHAPES.filter(len)), keepdim=st.booleans(), seed=SEEDS)
def test_sum_over_any_axes_and_its_adjoint(where, keepdim, seed):
    shape, dim = where
    check_linear(
        lambda x: x.sum(dim, keepdim),
        lambda x: x.sum(dim, keepdims=keepdim),
        drawn(shape, seed),
        seed=seed,
    )


@pytest.mark.parametrize("name", ["mean", "var", "norm", "logsumexp", "amax"])
@given(where=shape_and_dim(arrays_of.array_shapes(max_dims=3, min_side=2, max_side=3)))
def test_derivatives_of_a_reduction_over_any_axes(name, where):
    shape, dim = where
    fn, _ = REDUCTIONS[name]
    check_grads(lambda x: fn(x, dim, False), tensor(drawn(shape), requires_grad=True), order=2)


@given(shape_and_dim(SOME.filter(len)), SEEDS)
def test_extreme_along_an_axis_and_its_place(where, seed):
    shape, _ = where
    x = drawn(shape, seed)
    for dim in range(-len(shape), len(shape)):
        values, indices = tensor(x).max(dim)
        np.testing.assert_array_equal(values.numpy(), x.max(dim))
        np.testing.assert_array_equal(indices.numpy(), x.argmax(dim))
        _, kept = tensor(x).min(dim, keepdim=True)
        np.testing.assert_array_equal(kept.numpy(), x.argmin(dim, keepdims=True))


@pytest.mark.parametrize("op", ["mean", "amax", "amin", "argmax"])
def test_reduction_of_nothing_is_refused(op):
    reduce = getattr(tensor(np.zeros((2, 0))), op)
    with pytest.raises(ShapeError, match=f"{op}: got shape \\(2, 0\\), dim 1; expected at least"):
        reduce(dim=1)
    assert reduce(dim=0).shape == (0,)


@pytest.mark.parametrize("dim", [0, 1])
def test_exponentials_of_nothing_add_up_to_nothing(dim):
    x = tensor(np.zeros((2, 0)), requires_grad=True)
    assert x.softmax(dim).shape == x.log_softmax(dim).shape == (2, 0)
    y = x.logsumexp(dim)
    assert y.tolist() == [[], [-np.inf, -np.inf]][dim]
    y.sum().backward()
    assert x.grad.shape == (2, 0)


def test_sum_of_nothing_is_zero():
    x = tensor(np.zeros((2, 0)), requires_grad=True)
    y = x.sum(1)
    y.backward(tensor([1.5, -1.0], dtype=y.dtype))
    assert y.tolist() == [0.0, 0.0] and x.grad.shape == (2, 0)


@pytest.mark.parametrize("op", ["sum", "mean", "amax", "var", "norm", "argmax", "cumsum"])
def test_axis_that_is_not_there_is_refused(op):
    x = tensor(np.ones((2, 3)))
    for dim in (2, -3):
        with pytest.raises(IndexError, match=f"dim: got {dim}; expected -2 to 1"):
            getattr(x, op)(dim=dim)


def test_axis_named_twice_is_refused():
    with pytest.raises(ArgumentError, match="sum: dim: got \\(0, -2\\); expected each axis once"):
        tensor(np.ones((2, 3))).sum((0, -2))


def test_scalar_may_be_reduced_along_its_missing_axis():
    """As in PyTorch."""
    x = tensor(2.5)
    assert [x.sum(0).item(), x.mean(-1).item(), x.amax(0).item(), x.softmax(0).item()] == [
        2.5, 2.5, 2.5, 1.0,
    ]  # fmt: skip


# ---------------------------------------------------------------- indices


@given(st.data(), SOME, SEEDS)
def test_slices_integers_none_and_ellipsis(data, shape, seed):
    """Negative steps too."""
    index = data.draw(arrays_of.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    check_linear(lambda x: x[index], lambda x: x[index], drawn(shape, seed), seed=seed)


@given(st.data(), SOME, SEEDS)
def test_integer_arrays_that_repeat(data, shape, seed):
    """Not with integers beside them: there NumPy and PyTorch differ, see below."""
    index = data.draw(arrays_of.integer_array_indices(shape, dtype=np.int64))
    check_linear(lambda x: x[index], lambda x: x[index], drawn(shape, seed), seed=seed)


@given(st.data(), SOME, SEEDS)
def test_mask_over_some_axes(data, shape, seed):
    ndim = data.draw(st.integers(1, len(shape)))
    mask = drawn(shape[:ndim], seed + 7) > 0
    check_linear(lambda x: x[tensor(mask)], lambda x: x[mask], drawn(shape, seed), seed=seed)


MIXED = {
    "array, slice": (np.s_[[0, 2, 0], 1:], 24),
    "slice, array": (np.s_[:, [0, -1]], 24),
    "array, slice, array": (np.s_[[0, 1], :, [3, 3]], 6),
    "ellipsis, array": (np.s_[..., [1, 1, 2]], 27),
    "none, array": (np.s_[None, [0, 1]], 24),
    "two arrays, broadcast": (np.s_[[[0], [1]], [0, 2]], 16),
    "slice, mask": (np.s_[:, [True, False, True]], 24),
    "empty": (np.s_[[]], 0),
}


@pytest.mark.parametrize("index, entries", MIXED.values(), ids=MIXED)
def test_mixed_indices(index, entries):
    x = drawn((3, 3, 4))
    assert tensor(x)[index].numel() == entries
    check_linear(lambda x: x[index], lambda x: x[index], x)


def test_integer_beside_an_index_array_is_taken_out_first():
    """As in PyTorch: x[0, :, i] is x[0][:, i]. NumPy moves the axes, to shape (2, 3)."""
    x = drawn((2, 3, 4))
    for index, expected in (
        (np.s_[0, :, [1, 1]], x[0][:, [1, 1]]),
        (np.s_[[0, 1], :, -1], x[..., -1][[0, 1]]),
        (np.s_[:, 2, [True, False, False, True]], x[:, 2][:, [0, 3]]),
        (np.s_[1, None, ..., [3, 0]], x[1][None][..., [3, 0]]),
    ):
        check_linear(lambda x, i=index: x[i], lambda x, e=expected: e, x)
    y = tensor(x)
    y[0, :, [1, 2]] = tensor(np.zeros((3, 2)))
    x[0][:, [1, 2]] = 0
    np.testing.assert_array_equal(y.numpy(), x)


def test_tensors_as_indices():
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x[tensor([1, 0, 1])].tolist() == [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]
    assert x[tensor(1)].tolist() == [3.0, 4.0]
    assert x[x > 1.5].tolist() == [2.0, 3.0, 4.0]
    assert x[tensor(1), tensor([0, 0])].tolist() == [3.0, 3.0]


def test_index_that_does_not_fit_is_refused():
    x = tensor(np.zeros((2, 3)))
    for index in (2, (0, 3), np.s_[0, 0, 0], [2], [True, False, True]):
        with pytest.raises(IndexError, match="getitem: index does not fit shape \\(2, 3\\)"):
            x[index]
    with pytest.raises(TypeError, match="getitem: got an index of float32"):
        x[tensor([0.0])]


def test_repeated_entries_add_up_their_gradients():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    x[[2, 0, 2, 2]].backward(tensor([1.0, 2.0, 4.0, 8.0]))
    assert x.grad.tolist() == [2.0, 0.0, 13.0]


# ---------------------------------------------------------------- rearranging


@given(st.data(), SHAPES, SEEDS)
def test_reshape_to_any_factors(data, shape, seed):
    size = int(np.prod(shape))
    first = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0] or [1]))
    new = (first, -1) if size else (0, first)
    check_linear(lambda x: x.reshape(new), lambda x: x.reshape(new), drawn(shape, seed), seed=seed)


@given(st.data(), SHAPES, SEEDS)
def test_permute_by_any_order(data, shape, seed):
    order = data.draw(st.permutations(range(len(shape))))
    order = [d - data.draw(st.sampled_from([0, len(shape)])) for d in order]
    check_linear(
        lambda x: x.permute(order), lambda x: x.transpose(order), drawn(shape, seed), seed=seed
    )


@given(shape_and_dim(SHAPES.filter(len)), SEEDS)
def test_flip_any_axes(where, seed):
    shape, dim = where
    dims = range(len(shape)) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    check_linear(
        lambda x: x.flip(*dims), lambda x: np.flip(x, tuple(dims)), drawn(shape, seed), seed=seed
    )


@given(st.data(), SHAPES.filter(len), SEEDS)
def test_pad_and_crop_by_any_widths(data, shape, seed):
    width = st.integers(0, 3)
    widths = tuple((data.draw(width), data.draw(width)) for _ in shape)
    x = drawn(shape, seed)
    check_linear(lambda x: shaping.pad(x, widths=widths), lambda x: np.pad(x, widths), x, seed=seed)
    padded = shaping.pad(tensor(x), widths=widths)
    np.testing.assert_array_equal(shaping.crop(padded, widths=widths).numpy(), x)


@given(st.data(), SOME, SEEDS)
def test_cat_and_split_along_any_axis(data, shape, seed):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    axis = dim % len(shape)
    parts = [drawn((*shape[:axis], n, *shape[axis + 1 :]), seed + i) for i, n in enumerate(sizes)]
    check_linear(
        lambda *xs: mg.cat(xs, dim), lambda *xs: np.concatenate(xs, axis), *parts, seed=seed
    )
    back = mg.cat([tensor(x) for x in parts], dim).split(sizes, dim)
    for part, x in zip(back, parts, strict=True):
        np.testing.assert_array_equal(part.numpy(), x)


@given(SOME, st.integers(1, 6), SEEDS)
def test_chunks_make_the_whole(shape, chunks, seed):
    x = tensor(drawn(shape, seed))
    parts = x.chunk(chunks, -1)
    assert len(parts) <= chunks
    assert len({part.shape[-1] for part in parts[:-1]}) <= 1
    assert (mg.cat(parts, -1) == x).all()


@given(st.data(), SOME, SEEDS)
def test_stack_along_any_new_axis(data, shape, seed):
    dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    parts = [drawn(shape, seed + i) for i in range(3)]
    check_linear(lambda *xs: mg.stack(xs, dim), lambda *xs: np.stack(xs, dim), *parts, seed=seed)


def test_many_tensors_are_joined_in_groups():
    """A rule is called with all inputs of its operation: of n in one that would be n² arguments."""
    rows = [tensor(np.full(3, float(k)), requires_grad=True) for k in range(1000)]
    y = mg.stack(rows)
    assert (y.detach().numpy() == np.arange(1000.0)[:, None]).all()
    assert max(len(node.inputs) for node in history([y])) <= 64
    v = drawn((1000, 3))
    assert all((g == tensor(row)).all() for g, row in zip(grad(y, rows, tensor(v)), v, strict=True))


def test_join_and_split_refuse_what_does_not_fit():
    a, b = tensor(np.zeros((2, 3))), tensor(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match="cat: got \\(2, 3\\), \\(2, 4\\); expected equal sizes"):
        mg.cat([a, b])
    with pytest.raises(ShapeError, match="stack: got shapes"):
        mg.stack([a, b])
    with pytest.raises(ArgumentError, match="cat: got no tensors"):
        mg.cat([])
    with pytest.raises(ArgumentError, match="split: got sizes \\[1, 1\\]; expected them to add up"):
        a.split([1, 1], 1)
    with pytest.raises(ArgumentError, match="split: split_size: got 0"):
        a.split(0)
    with pytest.raises(ArgumentError, match="chunk: chunks: got 0"):
        a.chunk(0)


def test_axes_are_flattened_also_where_one_of_them_is_empty():
    assert tensor(np.zeros((0, 3, 2))).flatten(1).shape == (0, 6)
    assert tensor(np.zeros((2, 0, 3))).flatten(0, 1).shape == (0, 3)
    with pytest.raises(ArgumentError, match="flatten: got axes 2 to 1; expected them in order"):
        tensor(np.zeros((2, 3, 4))).flatten(2, 1)
    with pytest.raises(IndexError, match="flatten: dim: got 3"):
        tensor(np.zeros((2, 3, 4))).flatten(0, 3)


# ---------------------------------------------------------------- products


def test_product_refuses_what_does_not_fit():
    a, b = tensor(np.zeros((3, 4))), tensor(np.zeros((5, 6)))
    with pytest.raises(ShapeError, match=r"matmul: inner sizes differ: got \(3, 4\) @ \(5, 6\)"):
        a @ b
    with pytest.raises(ShapeError, match="matmul: got shapes \\(3, 4\\) and \\(\\)"):
        a @ tensor(np.array(2.0))
    with pytest.raises(ShapeError, match="matmul: shapes do not broadcast"):
        tensor(np.zeros((2, 3, 4))) @ tensor(np.zeros((3, 4, 2)))


# ---------------------------------------------------------------- entries named by an index


@given(st.data(), SOME, SEEDS)
def test_gather_takes_what_numpy_takes(data, shape, seed):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    sizes = [data.draw(st.integers(1, n)) for n in shape]
    sizes[dim] = data.draw(st.integers(1, 5))
    places = np.random.default_rng(seed).integers(0, shape[dim], sizes)
    inner = tuple(slice(n if i != dim % len(shape) else None) for i, n in enumerate(sizes))
    take = lambda x: np.take_along_axis(x[inner], places, dim)
    check_linear(lambda x: x.gather(dim, tensor(places)), take, drawn(shape, seed), seed=seed)


def test_gather_refuses_what_does_not_fit():
    x = mg.zeros(2, 3)
    for places, error, message in (
        ([[0, 3]], IndexError, "gather: index: got 0 to 3; expected 0 to 2"),
        ([[-1]], IndexError, "gather: index: got -1 to -1; expected 0 to 2"),
        ([0], ShapeError, "gather: index: got shape \\(1,\\); expected as many axes as x"),
        ([[0]] * 3, ShapeError, "gather: index: got shape \\(3, 1\\)"),
        ([[0.0]], DTypeError, "gather: index: got float32; expected integers"),
    ):
        with pytest.raises(error, match=message):
            x.gather(1, tensor(places))


@given(st.data(), SOME, SEEDS)
def test_unbound_views_stacked_again_are_the_tensor(data, shape, seed):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = tensor(drawn(shape, seed))
    parts = x.unbind(dim)
    assert len(parts) == shape[dim]
    assert (mg.stack(parts, dim) == x).all()


def test_a_number_has_nothing_to_unbind():
    with pytest.raises(IndexError, match="unbind: got a 0-d tensor"):
        tensor(1.0).unbind()
