"""What the tests of the autoencoder family share: small copies and PyTorch's numbers for them."""

import numpy as np

import minigrad as mg
from models.one_layer import OneLayerAutoencoder
from models.regularized import ContractiveAutoencoder, KSparseAutoencoder, SparseAutoencoder
from models.stochastic import StochasticAutoencoder


def seeded(model, n=4, pixels=6, scale=0.5):
    """In float64: the model with weights from N(0, scale²), an x, and the generator of both."""
    rng = np.random.default_rng(0)
    model.double()
    with mg.no_grad():
        for p in model.parameters():
            p.copy_(mg.tensor(rng.normal(0, scale, p.shape)))
    return model, mg.tensor(rng.random((n, pixels))), rng


def parts(loss):
    """What a model's loss is made of, as a list; the loss itself is the first."""
    return list(loss.values()) if isinstance(loss, dict) else [loss]


def _sparse(distance, per):
    return lambda: SparseAutoencoder(
        (6, 5, 4), desired=0.2, weight=0.3, distance=distance, per=per, layer_weights=(0.5, 2.0)
    )


# A model; of the same layers in PyTorch 2.13, with the weights and the x of `seeded` in float64,
# the parts of its loss, and p.grad.norm().item() of every parameter p. There, with r the output,
#   reconstruction  F.mse_loss(r, x)
#   k-sparse        h * torch.zeros_like(h).scatter(1, h.abs().topk(2, 1).indices, 1.0)
#   kl              kl_divergence(Bernoulli(torch.tensor(0.2)), Bernoulli(a)), the activity a being
#                   h.mean(0) (unit; then .sum()) or h.mean(1) (example; then .mean())
#   contraction     torch.autograd.functional.jacobian(f, xi, create_graph=True) of each example xi
#                   of 4, squared, .sum() / 4
#   stochastic      F.binary_cross_entropy_with_logits(a, x, reduction="sum") / 4
#   one layer       ((r - x) ** 2).sum() / 4
TWINS = {
    "k-sparse": (
        lambda: KSparseAutoencoder((6, 5), k=2),
        [0.20364099816012163],
        [0.11522734461805999, 0.06629303199912454, 0.1119219105454994, 0.04906803376022943],
    ),
    "sparse, kl per unit": (
        _sparse("kl", "unit"),
        [1.376601437579304, 0.06485009085263913, 4.372504489088883],
        [0.3944893088330737, 0.2899929657421177, 0.5677091868058022, 0.5605777658425631,
         0.02411138033912529, 0.018473420980851463, 0.011731571396602102, 0.01982296954840211],
    ),
    "sparse, kl per example": (
        _sparse("kl", "example"),
        [0.30591221972237265, 0.06485009085263913, 0.8035404295657784],
        [0.051270199063570644, 0.03770793926490454, 0.10916595896334201, 0.10777530321921934,
         0.02411138033912529, 0.018473420980851463, 0.011731571396602102, 0.01982296954840211],
    ),
    "sparse, l1 per unit": (
        _sparse("l1", "unit"),
        [1.2529679686796011, 0.06485009085263913, 3.960392926089874],
        [0.1533003396810793, 0.11269664333030005, 0.24241598827230124, 0.23930372764329227,
         0.02411138033912529, 0.018473420980851463, 0.011731571396602102, 0.01982296954840211],
    ),
    "sparse, l1 per example": (
        _sparse("l1", "example"),
        [0.35203902546825716, 0.06485009085263913, 0.9572964487187267],
        [0.03743206978961378, 0.02751138575307043, 0.06123002026884364, 0.060566695131515295,
         0.02411138033912529, 0.018473420980851463, 0.011731571396602102, 0.01982296954840211],
    ),
    "sparse, l2 per unit": (
        _sparse("l2", "unit"),
        [0.6432997339808038, 0.06485009085263913, 1.928165477093882],
        [0.14686714055017921, 0.10796289622808344, 0.20979273766274512, 0.20703223372846047,
         0.02411138033912529, 0.018473420980851463, 0.011731571396602102, 0.01982296954840211],
    ),
    "sparse, l2 per example": (
        _sparse("l2", "example"),
        [0.1794824197905127, 0.06485009085263913, 0.3821077631262452],
        [0.024889331988113498, 0.018291543168498278, 0.05178846620206915, 0.05122543550679811,
         0.02411138033912529, 0.018473420980851463, 0.011731571396602102, 0.01982296954840211],
    ),
    "contractive, one layer": (
        lambda: ContractiveAutoencoder((6, 3), weight=0.7),
        [0.1442704496538345, 0.06313044584564981, 0.1159142911545496],
        [0.10477786622931727, 0.041576170765767355, 0.01996419716802836],
    ),
    "contractive, two layers": (
        lambda: ContractiveAutoencoder((6, 5, 3), weight=0.7),
        [0.12165433471957439, 0.11572807383510102, 0.008466086977819098],
        [0.07370652975081826, 0.0013753572235641659, 0.015756442215899127, 0.0024886983774769166,
         0.009573368942932349, 0.04586987224910066],
    ),
    "one layer": (
        lambda: OneLayerAutoencoder(6, 3),
        [0.6279079052441101],
        [0.03088236951647126, 0.02989533067894686, 0.19219116210299453, 0.20872893423351077],
    ),
}  # fmt: skip

# StochasticAutoencoder((6, 5, 2), std=0.3) with eps = rng.standard_normal((4, 2)) after `seeded`
STOCHASTIC = (
    lambda: StochasticAutoencoder((6, 5, 2), std=0.3),
    4.246581666256809,
    [0.336485062205669, 0.2536674578959396, 0.3644418573197054, 0.4784095020844301,
     0.2861456981284112, 0.4731409500866569, 0.3515202257836856, 0.4426569359935074],
)  # fmt: skip
