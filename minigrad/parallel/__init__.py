r"""Data parallelism: workers take parts of the batch, and their gradients are added.

A loss that is a mean over n examples is Σ (nᵢ/n) Lᵢ over parts of nᵢ examples each; and so is its
gradient,

    ∇L = Σ (nᵢ / n) ∇Lᵢ.

Each worker runs the model on its part, on a tape of its own; the gradients are added in one flat
buffer, and the optimiser steps once. That is all there is to it, whatever the workers are:

- `Threads` share one process and its parameters (threads.py);
- `ranks.Ranks` are processes, on one machine or many, each with a copy of the parameters: MPI adds
  their gradients, so all step alike and the copies stay equal (ranks.py);
- GPUs are ranks whose tensors are on a CUDA device of their own: NCCL adds the gradients there.

`minigrad.parallel.ranks` has to be imported by its name, for MPI begins with that.
"""

from minigrad.parallel.parts import Workers
from minigrad.parallel.threads import Threads
