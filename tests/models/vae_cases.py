"""What the tests of the VAEs share: the decks' architectures, small copies, PyTorch's numbers."""

import numpy as np

import minigrad as mg
from models.likelihoods import Gaussian
from models.vae import ConvVAE, DenseVAE, FaceVAE

# The state_dict of each model.
CONV = {
    "conv1.weight": (32, 1, 4, 4), "conv1.bias": (32,),
    "conv2.weight": (64, 32, 4, 4), "conv2.bias": (64,),
    "fc1.weight": (20, 1600), "fc1.bias": (20,),
    "fc2.weight": (20, 1600), "fc2.bias": (20,),
    "fc3.weight": (1600, 20), "fc3.bias": (1600,),
    "deconv2.weight": (64, 32, 5, 5), "deconv2.bias": (32,),
    "deconv1.weight": (32, 1, 4, 4), "deconv1.bias": (1,),
}  # fmt: skip
DENSE = {
    "encoder.1.weight": (512, 784), "encoder.1.bias": (512,),
    "mean.weight": (2, 512), "mean.bias": (2,),
    "log_var.weight": (2, 512), "log_var.bias": (2,),
    "decoder.0.weight": (512, 2), "decoder.0.bias": (512,),
    "decoder.2.weight": (784, 512), "decoder.2.bias": (784,),
}  # fmt: skip
FACE = {
    "encoder.0.weight": (32, 3, 4, 4), "encoder.0.bias": (32,),
    "encoder.2.weight": (64, 32, 4, 4), "encoder.2.bias": (64,),
    "encoder.4.weight": (128, 64, 4, 4), "encoder.4.bias": (128,),
    "encoder.6.weight": (256, 128, 4, 4), "encoder.6.bias": (256,),
    "mean.weight": (128, 4096), "mean.bias": (128,),
    "log_var.weight": (128, 4096), "log_var.bias": (128,),
    "decoder.0.weight": (4096, 128), "decoder.0.bias": (4096,),
    "decoder.3.weight": (256, 128, 4, 4), "decoder.3.bias": (128,),
    "decoder.5.weight": (128, 64, 4, 4), "decoder.5.bias": (64,),
    "decoder.7.weight": (64, 32, 4, 4), "decoder.7.bias": (32,),
    "decoder.9.weight": (32, 3, 4, 4), "decoder.9.bias": (3,),
}  # fmt: skip

SMALL = dict(hidden=5, codes=2, image_shape=(1, 3, 4))
FACES = dict(codes=3, channels=(2, 3, 4))

# A model, what scales its weights, and of the same layers in PyTorch 2.13, with the weights, x and
# eps of `seeded` in float64: reconstruction, KL, and p.grad.norm().item() of every parameter p of
# reconstruction + beta * KL. There, with a the decoder's output and n = 3 images,
#   KL              torch.distributions.kl_divergence(Normal(mean, (0.5 * log_var).exp()),
#                                                     Normal(0.0, 1.0)).sum() / n
#   Bernoulli       F.binary_cross_entropy_with_logits(a, x, reduction="sum") / n
#   fixed, shared   F.gaussian_nll_loss(a.sigmoid(), x, variance, full=True, reduction="sum") / n
#   learned         -Normal(a[:, :c].sigmoid(), (0.5 * a[:, c:]).exp()).log_prob(x).sum() / n
TWINS = {
    "conv, Bernoulli": (
        lambda: ConvVAE(), 0.1, 569.9329713056227, 23.168704313309235,
        [192.5051957478302, 94.3321096612956, 171.44235131732117, 43.7741595378117,
         157.6442761341569, 11.993926450088024, 64.72752025535283, 4.854812528539775,
         33.6638458717268, 4.922883608981809, 51.30575032025711, 13.949394537813927,
         88.39305292488649, 14.659652275760203],
    ),
    "conv, beta 4": (
        lambda: ConvVAE(beta=4.0), 0.1, 569.9329713056227, 23.168704313309235,
        [527.1679616308735, 259.5722676653126, 451.8619146834848, 115.3985289172348,
         375.1248525884601, 28.590064496915637, 226.25505500666102, 17.078644478601294,
         33.6638458717268, 4.922883608981809, 51.30575032025711, 13.949394537813927,
         88.39305292488649, 14.659652275760203],
    ),
    "dense, Bernoulli": (
        lambda: DenseVAE(**SMALL), 0.5, 9.258043937453076, 1.4428983581812702,
        [2.27793088482679, 1.0682517116559949, 1.9073267444299171, 0.8006702386486623,
         1.7802662416286545, 1.0890319752172606, 2.0874306786855654, 0.47876705980594175,
         0.7171851020401407, 0.7064609810557265],
    ),
    "dense, Gaussian 0.3": (
        lambda: DenseVAE(**SMALL, likelihood=Gaussian(0.3), beta=0.5), 0.5,
        6.2315417744229045, 1.4428983581812702,
        [1.2326566558238776, 0.5822189268221942, 1.0295049501355904, 0.4575293826167116,
         0.9018989726881878, 0.551382567381163, 1.3958035699519575, 0.30259258707688425,
         0.5059751357244889, 0.5221036805469316],
    ),
    "dense, shared": (
        lambda: DenseVAE(**SMALL, likelihood=Gaussian("shared")), 0.5,
        12.2081605144979, 8.525620458472057,
        [5.196292547238349, 10.260714258809783, 6.002162869668591, 10.333004565108077,
         3.9305289820156233, 3.119486003456638, 1.1820176114454861, 0.5067232995881945,
         0.13951346050748636, 0.4040874522270975, 0.12142018748532725],
    ),
    "dense, learned": (
        lambda: DenseVAE(**SMALL, likelihood=Gaussian("learned"), beta=2.0), 0.5,
        17.153591289739364, 1.1889989071186136,
        [19.88677244573431, 9.561611051164892, 18.0381152189474, 7.523670569338574,
         33.44507863387687, 14.085225982945985, 49.28268582965209, 10.4387196457826,
         18.803955248426227, 7.621475339155314],
    ),
    "face, Gaussian 1.47": (
        lambda: FaceVAE(**FACES, likelihood=Gaussian(0.00024 * 64 * 64 * 3 / 2)), 0.3,
        590.8344752440256, 21.968622890624758,
        [163.06871637985503, 39.147858236245185, 196.3316804818526, 35.44290459487768,
         11.853669411790174, 1.8542452645252876, 142.3282327985677, 21.318648138464983,
         2.738120835134889, 0.588614474084764, 2.391882614721543, 2.34932582029457,
         4.275664753553744, 6.234755240742252],
    ),
    "face, learned": (
        lambda: FaceVAE(**FACES, likelihood=Gaussian("learned")), 0.3,
        513.6671713305418, 3.9075041358677844,
        [53.780295282424056, 14.697563442338906, 46.060767744275516, 7.664479760784551,
         24.658263789221873, 2.4455438580074493, 40.77544208617506, 6.32047467638239,
         12.721497909118412, 6.734247969695989, 21.87865649810076, 50.93298308471502,
         71.86422200721259, 160.64611156835943],
    ),
}  # fmt: skip


def seeded(model, scale, n=3):
    """In float64: the model with weights from N(0, scale²), in order of parameters(), x and eps."""
    rng = np.random.default_rng(0)
    model.double()
    with mg.no_grad():
        for p in model.parameters():
            p.copy_(mg.tensor(rng.normal(0, scale, p.shape)))
    x = mg.tensor(rng.random((n, *model.image_shape)))
    return model, x, mg.tensor(rng.standard_normal((n, model.codes)))
