"""PyTorch's door to derivatives: `autograd.grad`, `gradcheck`, `detect_anomaly`."""

from minigrad.engine import grad
from minigrad.gradcheck import gradcheck, gradgradcheck
from minigrad.nonfinite import detect_anomaly, set_detect_anomaly
