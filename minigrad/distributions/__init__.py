"""Probability distributions of tensors: PyTorch's `torch.distributions`.

`kl_divergence` has closed forms, and by name a Monte-Carlo estimate.
"""

from minigrad.distributions.continuous import Laplace, Normal, Uniform
from minigrad.distributions.discrete import Bernoulli, Categorical
from minigrad.distributions.distribution import Distribution
from minigrad.distributions.kl import MonteCarlo, kl_divergence, register_kl
from minigrad.distributions.multivariate import Independent, MultivariateNormal
