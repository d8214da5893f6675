r"""Distributions of a vector: the multivariate normal, and independent entries of another."""

import math
from collections.abc import Sequence

import numpy as np

from minigrad.backend import Array, Generator, array_module
from minigrad.distributions.distribution import (
    Constraint,
    Distribution,
    as_tensors,
    check,
    only_one,
    real,
    sum_rightmost,
)
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.decomposition import cholesky, diagonal, solve_triangular, transposed
from minigrad.ops.sampling import stream
from minigrad.ops.shape import broadcast_shape, flip
from minigrad.tensor import Tensor


class MultivariateNormal(Distribution):
    r"""N(μ, Σ): p(x) = e^(-½ (x - μ)ᵀ Σ⁻¹ (x - μ)) / √((2π)ⁿ det Σ), x and μ (…, n), Σ (…, n, n).

    Exactly one of `covariance_matrix` Σ, `precision_matrix` Σ⁻¹ and `scale_tril` L is given; L is
    lower triangular with Σ = L Lᵀ and a positive diagonal. All is computed from L: Σ⁻¹ by solving
    triangular systems, ln det Σ = 2 Σ ln L_ii.

    >>> import minigrad as mg
    >>> sigma = mg.tensor([[100.0, 25.0], [25.0, 50.0]])  # of weight and height
    >>> body = MultivariateNormal(mg.tensor([190.0, 70.0]), sigma)
    >>> body.scale_tril
    tensor([[10.0000,  0.0000],
            [ 2.5000,  6.6144]])
    >>> sigma[1, 0] / (body.stddev[0] * body.stddev[1])  # their correlation
    tensor(0.3536)

    Raises ArgumentError unless exactly one is given, symmetric and positive definite (or L as it
    must be); ShapeError if the sizes do not fit. Course: V2.
    """

    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        op = "MultivariateNormal"
        spread = only_one(
            op, covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )  # fmt: skip
        tensors = as_tensors(op, loc=loc, **spread)
        ((name, matrix),) = ((k, v) for k, v in tensors.items() if k != "loc")
        loc = tensors["loc"]
        n = loc.shape[-1] if loc.ndim else None
        if n is None or matrix.shape[-2:] != (n, n):
            raise ShapeError(
                f"{op}: got loc {loc.shape} and {name} {matrix.shape}; expected (…, n) and "
                "(…, n, n)"
            )
        if validate_args is not False:
            check(op, "loc", loc, real)
            check(op, name, matrix, real)
            (_check_factor if name == "scale_tril" else _check_symmetric)(name, matrix.array)
        batch = broadcast_shape(op, loc.shape[:-1], matrix.shape[:-2])
        self.loc = loc.expand(*batch, n)
        self.factor = matrix if name == "scale_tril" else _factor(name, matrix)
        self._given = {name: matrix.expand(*batch, n, n)}
        self._parameters = {"loc": self.loc, "scale_tril": self.factor.expand(*batch, n, n)}
        super().__init__(batch, (n,), validate_args=validate_args)

    @property
    def scale_tril(self) -> Tensor:
        """L"""
        return self._parameters["scale_tril"]

    @property
    def covariance_matrix(self) -> Tensor:
        """Σ = L Lᵀ"""
        given = self._given.get("covariance_matrix")
        return self.scale_tril @ transposed(self.scale_tril) if given is None else given

    @property
    def precision_matrix(self) -> Tensor:
        """Σ⁻¹ = L⁻ᵀ L⁻¹"""
        if "precision_matrix" in self._given:
            return self._given["precision_matrix"]
        inverse = solve_triangular(self.scale_tril, _identity(self.scale_tril), upper=False)
        return transposed(inverse) @ inverse

    @property
    def mean(self) -> Tensor:
        """μ"""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of Σ."""
        return self.scale_tril.square().sum(-1)

    def half_log_det(self) -> Tensor:
        """½ ln det Σ = Σ ln L_ii"""
        return diagonal(self.factor).log().sum(-1)

    def squared_distance(self, difference: Tensor) -> Tensor:
        """dᵀ Σ⁻¹ d = ‖L⁻¹ d‖², Mahalanobis' distance, of d (…, n)."""
        batch = self.factor.ndim - 2
        lead = max(0, difference.ndim - 1 - batch)
        whitened = solve_triangular(self.factor, _columns(difference, lead), upper=False)
        return _rows(whitened.square().sum(-2, keepdim=True), difference.shape[:lead]).squeeze(-1)

    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """x = μ + L ε with ε ~ N(0, 1)ⁿ. Course: V7."""
        shape = self._extended_shape(sample_shape)
        eps = Tensor(stream(generator, self.loc.device).normal(shape, self.loc.dtype))
        lead = len(shape) - 1 - (self.factor.ndim - 2)
        return self.loc + _rows(self.factor @ _columns(eps, lead), shape[:lead])

    def log_prob(self, value: Tensor) -> Tensor:
        """-½ (x - μ)ᵀ Σ⁻¹ (x - μ) - ½ ln det Σ - ½ n ln 2π"""
        self._check_value("log_prob", value)
        (n,) = self.event_shape
        distance = self.squared_distance(value - self.loc)
        return distance * -0.5 - self.half_log_det() - 0.5 * n * math.log(2.0 * math.pi)

    def entropy(self) -> Tensor:
        """½ n (1 + ln 2π) + ½ ln det Σ"""
        (n,) = self.event_shape
        entropy = self.half_log_det() + 0.5 * n * (1.0 + math.log(2.0 * math.pi))
        return entropy.expand(self.batch_shape)


def _columns(x: Tensor, lead: int) -> Tensor:
    """(s, t, …, b, …, n) → (b, …, n, s t …): the first `lead` axes become columns.

    One triangular system, or one product, then serves all draws.
    """
    flat = x.reshape(math.prod(x.shape[:lead]), *x.shape[lead:])
    return flat.permute(*range(1, flat.ndim), 0)


def _rows(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(b, …, n, s t …) → (s, t, …, b, …, n): the columns as axes of `shape` again."""
    flat = x.permute(x.ndim - 1, *range(x.ndim - 1))
    return flat.reshape(*shape, *flat.shape[1:])


def _identity(like: Tensor) -> Tensor:
    return Tensor(array_module(like.array).eye(like.shape[-1], dtype=like.dtype))


def _factor(name: str, matrix: Tensor) -> Tensor:
    """L from Σ, or from Σ⁻¹.

    Rows and columns backwards, Σ⁻¹ = F Fᵀ; so Σ⁻¹ = U Uᵀ with U = F backwards, upper triangular,
    and Σ = U⁻ᵀ U⁻¹: L = U⁻ᵀ.
    """
    try:
        if name == "covariance_matrix":
            return cholesky(matrix)
        u = flip(cholesky(flip(matrix, dims=(-2, -1))), dims=(-2, -1))
    except ArgumentError as error:
        raise ArgumentError(f"MultivariateNormal: {name}: {error}") from None
    return solve_triangular(transposed(u), _identity(matrix), upper=False)


def _check_symmetric(name: str, x: Array) -> None:
    """The rest, being positive definite, is found out by the factorisation."""
    gap = abs(x - x.swapaxes(-1, -2))
    wrong = ~(gap <= 1e-6 + 1e-5 * abs(x))
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise ArgumentError(
            f"MultivariateNormal: {name}: got a difference of {float(gap[place]):.3g} between "
            f"entry ({place[-2]}, {place[-1]}) and its mirror; expected a symmetric matrix"
        )


def _check_factor(name: str, x: Array) -> None:
    xp = array_module(x)
    along = xp.arange(x.shape[-1])
    if not ((xp.tril(x) == x).all() and (x[..., along, along] > 0).all()):
        raise ArgumentError(
            f"MultivariateNormal: {name}: got entries above the diagonal, or a diagonal that is "
            "not positive; expected a lower triangular matrix, such as cholesky answers"
        )


class Independent(Distribution):
    r"""The last `reinterpreted_batch_ndims` axes of the batch as axes of the event.

    p(x) = Π p(x_i): log_prob and entropy are summed over these axes, so that they are nats per
    example. Independent(Normal(μ, σ), 1) is the encoder's distribution of a VAE.

    >>> import minigrad as mg
    >>> from minigrad.distributions import Normal
    >>> q = Independent(Normal(mg.zeros(5, 3), 1.0), 1)
    >>> q.batch_shape, q.event_shape, q.entropy().shape
    ((5,), (3,), (5,))

    Raises ArgumentError unless the batch has as many axes.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch, n = base_distribution.batch_shape, reinterpreted_batch_ndims
        if not isinstance(n, int) or not 0 <= n <= len(batch):
            raise ArgumentError(
                f"Independent: reinterpreted_batch_ndims: got {n!r}; expected 0 to {len(batch)}, "
                f"the axes of the batch {batch}"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        split = len(batch) - n
        event = batch[split:] + base_distribution.event_shape
        super().__init__(batch[:split], event, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:
        """Whether a draw has a derivative."""
        return self.base_dist.has_rsample

    @property
    def is_discrete(self) -> bool:
        """Whether log_prob is of probabilities and not of densities."""
        return self.base_dist.is_discrete

    @property
    def support(self) -> Constraint:
        """That of every entry."""
        return self.base_dist.support

    @property
    def mean(self) -> Tensor:
        """That of every entry."""
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        """That of every entry."""
        return self.base_dist.variance

    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """Those of the entries."""
        return self.base_dist.rsample(sample_shape, generator=generator)

    def sample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """Those of the entries."""
        return self.base_dist.sample(sample_shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ ln p(x_i)"""
        self._check_shape("Independent.log_prob", value)
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """The sum of the entropies."""
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def expand(self, batch_shape: Sequence[int]) -> "Independent":
        """The same, repeated to a larger batch; no memory is copied."""
        n = self.reinterpreted_batch_ndims
        base = self.base_dist.expand((*batch_shape, *self.event_shape[:n]))
        return Independent(base, n, validate_args=False)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"
