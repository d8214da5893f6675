"""Training steps to be timed: the course's models on random data, the same lines in both libraries.

A workload is made for minigrad or for torch, by the same lines; it answers with a step (forward,
backward, and Adam) and with the sizes of the matrix products that no implementation can do without.
`by` is who does the work of a step: one worker, `Alone`, or `parallel.Threads`, each a part of it.
Some can be given the batches to learn, one for each step.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise, repeat
from types import ModuleType
from typing import Any

import numpy as np

Step = Callable[[], None]
Products = list[tuple[int, int, int]]  # (n, k, m): an n×k matrix times a k×m one


class Alone:
    """All by one worker; the methods are those of `parallel.Threads`."""

    def forward(self, function: Callable, batch: tuple) -> Any:
        """function(*batch), with its graph."""
        return function(*batch)

    def backward(self, loss: Callable, batch: tuple, parameters: list) -> None:
        """The gradient of the loss of the batch by these parameters."""
        loss(*batch).backward(inputs=parameters)


def products(layers: Products, needs_input: bool = False) -> Products:
    """Those of layers, each a matrix of `n` rows times a weight (k, m), there and back.

    Forward Y = X W, weight gradient Xᵀ Ȳ, input gradient Ȳ Wᵀ, the first layer's only if needed.
    """
    found = []
    for i, (n, k, m) in enumerate(layers):
        found += [(n, k, m), (k, n, m)]
        found += [(n, m, k)] if i or needs_input else []
    return found


def conv(batch: int, side: int, fan_in: int, fan_out: int, k: int) -> tuple[int, int, int]:
    """A convolution to `side`² pixels as a product; the transposed one from there is as large."""
    return batch * side * side, k * k * fan_in, fan_out


def images(lib: ModuleType, *shape: int) -> Any:
    """Pixels between 0 and 1."""
    return lib.tensor(np.random.default_rng(0).random(shape, np.float32))


def parameters(*parts: Any) -> list:
    """Those of several modules."""
    return [p for part in parts for p in part.parameters()]


def negative_elbo(lib: ModuleType, logits: Any, x: Any, mean: Any, log_var: Any) -> Any:
    """Bernoulli reconstruction and KL to N(0, I), in nats per image."""
    bce = lib.nn.functional.binary_cross_entropy_with_logits
    divergence = 0.5 * (log_var.exp() + mean * mean - 1.0 - log_var).sum()
    return (bce(logits, x, reduction="sum") + divergence) / len(x)


def w1(
    lib: ModuleType, by: Any, batch: int = 32, batches: Iterator | None = None
) -> tuple[Step, Products]:
    """W1: deck 000's dense autoencoder."""
    nn = lib.nn
    sizes = [784, 128, 64, 12, 3, 12, 64, 128, 784]
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU(True)]
    model = nn.Sequential(*layers[:-1], nn.Tanh())
    weights = parameters(model)
    optimizer = lib.optim.Adam(weights, lr=1e-3, weight_decay=1e-5)
    criterion = nn.MSELoss()
    batches = batches or repeat(images(lib, batch, 784))

    def step() -> None:
        optimizer.zero_grad()
        by.backward(lambda x: criterion(model(x), x), (next(batches),), weights)
        optimizer.step()

    return step, products([(batch, k, m) for k, m in pairwise(sizes)])


def vae_step(
    lib: ModuleType, by: Any, batches: Iterator, encoder: Any, heads: tuple[Any, Any], decoder: Any
) -> Step:
    """One step of a VAE: z = mean + e^(log_var / 2) ε."""
    weights = parameters(encoder, *heads, decoder)
    optimizer = lib.optim.Adam(weights)

    def loss(x: Any) -> Any:
        h = encoder(x)
        mean, log_var = (head(h) for head in heads)
        z = mean + (log_var * 0.5).exp() * lib.randn_like(mean)
        return negative_elbo(lib, decoder(z), x, mean, log_var)

    def step() -> None:
        optimizer.zero_grad()
        by.backward(loss, (next(batches),), weights)
        optimizer.step()

    return step


def w2(
    lib: ModuleType, by: Any, batch: int, batches: Iterator | None = None
) -> tuple[Step, Products]:
    """W2: deck 004's VAE, 784-512-2-512-784."""
    nn = lib.nn
    encoder = nn.Sequential(nn.Linear(784, 512), nn.ReLU())
    heads = nn.Linear(512, 2), nn.Linear(512, 2)
    decoder = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, 784))
    batches = batches or repeat(images(lib, batch, 784))
    step = vae_step(lib, by, batches, encoder, heads, decoder)
    sizes = [(784, 512), (512, 2), (512, 2), (2, 512), (512, 784)]
    return step, products([(batch, *size) for size in sizes])


def w3(lib: ModuleType, by: Any, batch: int) -> tuple[Step, Products]:
    """W3: deck 000's convolutional VAE, 28 → 13 → 5 → 20 numbers → 5 → 13 → 28."""
    nn = lib.nn
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
        nn.Flatten(),
    )  # fmt: skip
    heads = nn.Linear(1600, 20), nn.Linear(1600, 20)
    decoder = nn.Sequential(
        nn.Linear(20, 1600), nn.ReLU(), nn.Unflatten(1, (64, 5, 5)),
        nn.ConvTranspose2d(64, 32, 5, stride=2), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, stride=2),
    )  # fmt: skip
    batches = repeat(images(lib, batch, 1, 28, 28))
    step = vae_step(lib, by, batches, encoder, heads, decoder)
    dense = [(batch, 1600, 20), (batch, 1600, 20), (batch, 20, 1600)]
    down = [conv(batch, 13, 1, 32, 4), conv(batch, 5, 32, 64, 4)]
    up = [conv(batch, 5, 32, 64, 5), conv(batch, 13, 1, 32, 4)]
    return step, products([*down, *dense, *up])


def w4(lib: ModuleType, by: Any, batch: int) -> tuple[Step, Products]:
    """W4: a DCGAN for 28×28, one step of the discriminator and one of the generator."""
    nn = lib.nn
    generator = nn.Sequential(
        nn.Linear(100, 128 * 7 * 7), nn.Unflatten(1, (128, 7, 7)), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(1, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, stride=2, padding=1), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(128 * 7 * 7, 1),
    )  # fmt: skip
    weights = [parameters(part) for part in (generator, discriminator)]
    optimizers = [lib.optim.Adam(ps, lr=2e-4, betas=(0.5, 0.999)) for ps in weights]
    criterion = nn.BCEWithLogitsLoss()
    x = images(lib, batch, 1, 28, 28) * 2.0 - 1.0

    def says(images: Any, real: bool) -> Any:
        """How wrong the discriminator is if these are real, or are not."""
        logits = discriminator(images)
        return criterion(logits, (lib.ones_like if real else lib.zeros_like)(logits))

    def step() -> None:
        made = by.forward(generator, (lib.randn(batch, 100),))
        optimizers[1].zero_grad()
        judged = lambda x, made: says(x, True) + says(made.detach(), False)
        by.backward(judged, (x, made), weights[1])
        optimizers[1].step()
        optimizers[0].zero_grad()
        by.backward(lambda made: says(made, True), (made,), weights[0])
        optimizers[0].step()

    judge = [conv(batch, 14, 1, 64, 4), conv(batch, 7, 64, 128, 4), (batch, 6272, 1)]
    draw = [(batch, 100, 6272), conv(batch, 7, 64, 128, 4), conv(batch, 14, 1, 64, 4)]
    return step, products(draw) + 2 * products(judge) + products(judge, needs_input=True)


def w5(lib: ModuleType, by: Any, batch: int) -> tuple[Step, Products]:
    """W5: a VAE for faces, 64×64×3 → 128 numbers."""
    nn = lib.nn
    widths = [3, 32, 64, 128, 256]
    down, up = [], []
    for fan_in, fan_out in pairwise(widths):
        down += [nn.Conv2d(fan_in, fan_out, 4, stride=2, padding=1), nn.ReLU()]
        up = [nn.ReLU(), nn.ConvTranspose2d(fan_out, fan_in, 4, stride=2, padding=1), *up]
    encoder = nn.Sequential(*down, nn.Flatten())
    heads = nn.Linear(4096, 128), nn.Linear(4096, 128)
    decoder = nn.Sequential(nn.Linear(128, 4096), nn.Unflatten(1, (256, 4, 4)), *up)
    batches = repeat(images(lib, batch, 3, 64, 64))
    step = vae_step(lib, by, batches, encoder, heads, decoder)
    convs = [
        conv(batch, 32 >> i, fan_in, fan_out, 4)
        for i, (fan_in, fan_out) in enumerate(pairwise(widths))
    ]
    dense = [(batch, 4096, 128), (batch, 4096, 128), (batch, 128, 4096)]
    return step, products([*convs, *dense, *convs[::-1]])


def tiny(lib: ModuleType, op: Callable, length: int = 1000) -> tuple[Step, Products]:
    """A chain of `length` operations on two numbers: what an operation costs beside arithmetic."""
    x = lib.tensor([0.3, 0.7], requires_grad=True)
    c = lib.tensor([1.001, 0.999])

    def step() -> None:
        y = x
        for _ in range(length):
            y = op(y, c)
        y.sum().backward()

    return step, []


WORKLOADS: dict[str, Callable[[ModuleType, Any], tuple[Step, Products]]] = {
    "W1 dense autoencoder, batch 32": w1,
    "W2 VAE 784-512-2, batch 50": lambda lib, by: w2(lib, by, 50),
    "W2 VAE 784-512-2, batch 128": lambda lib, by: w2(lib, by, 128),
    "W3 convolutional VAE, batch 32": lambda lib, by: w3(lib, by, 32),
    "W3 convolutional VAE, batch 128": lambda lib, by: w3(lib, by, 128),
    "W4 DCGAN 28×28, batch 64": lambda lib, by: w4(lib, by, 64),
    "W5 face VAE 64×64×3, batch 32": lambda lib, by: w5(lib, by, 32),
    "1,000 × a tiny y * c": lambda lib, _: tiny(lib, lambda y, c: y * c),
    "1,000 × a tiny y + c": lambda lib, _: tiny(lib, lambda y, c: y + c),
    "1,000 × a tiny tanh(y)": lambda lib, _: tiny(lib, lambda y, c: y.tanh()),
}
