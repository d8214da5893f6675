"""`minigrad.cuda`: whether there is a CUDA device to use."""

from minigrad.backend import cuda_is_available as is_available

__all__ = ["is_available"]
