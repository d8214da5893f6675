"""PyTorch's door to derivatives: `autograd.grad`, `autograd.gradcheck`."""

from minigrad.engine import grad
from minigrad.gradcheck import gradcheck, gradgradcheck
