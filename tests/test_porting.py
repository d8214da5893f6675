"""Scripts written for PyTorch run when their imports are changed, and nothing else."""

import numpy as np

import minigrad as torch
import minigrad.utils.data
from minigrad import nn, optim, utils
from minigrad.nn import functional as F


class Encoder(nn.Module):
    """As in the VAE that everybody begins with."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 20)
        self.fc21, self.fc22 = nn.Linear(20, 2), nn.Linear(20, 2)
        self.fc3, self.fc4 = nn.Linear(2, 20), nn.Linear(20, 64)

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        h = F.relu(self.fc1(x.view(-1, 64)))
        mu, logvar = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * logvar)
        return self.decode(mu + torch.randn_like(std) * std), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def test_a_vae(tmp_path):
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = np.linspace(0.0, 1.0, 64 * 64, dtype=np.float32).reshape(64, 1, 8, 8)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(rows), torch.zeros(64).long())
    kwargs = {"num_workers": 1, "pin_memory": True}
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True, **kwargs)
    model = Encoder().to(device)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _epoch in range(5):
        model.train()
        train_loss = 0
        for data, _ in loader:
            data = data.to(device)
            optimizer.zero_grad()
            recon_batch, mu, logvar = model(data)
            loss = loss_function(recon_batch, data, mu, logvar)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
        losses.append(train_loss / len(loader.dataset))
    assert losses[-1] < losses[0]
    model.eval()
    with torch.no_grad():
        n = min(data.size(0), 8)
        comparison = torch.cat([data[:n], model(data)[0].view(-1, 1, 8, 8)[:n]])
        utils.save_image(comparison.cpu(), tmp_path / "reconstruction.png", nrow=n)
        sample = model.decode(torch.randn(4, 2).to(device)).cpu()
        utils.save_image(sample.view(4, 1, 8, 8), tmp_path / "sample.png")
    assert (tmp_path / "sample.png").stat().st_size > 100


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        m.weight.data.normal_(0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        torch.nn.init.normal_(m.weight, 1.0, 0.02)
        torch.nn.init.zeros_(m.bias)


def test_a_dcgan(tmp_path):
    """As in the script that draws faces after an epoch, with its Conv nets at 8×8."""
    torch.manual_seed(2)
    netG = nn.Sequential(
        nn.ConvTranspose2d(5, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
        nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    netD = nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
    )  # fmt: skip
    netG.apply(weights_init)
    netD.apply(weights_init)
    before = netG[0].weight.detach().clone()
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=0.0002, betas=(0.5, 0.999))
    real = torch.rand(6, 3, 8, 8) * 2 - 1
    label = torch.full((real.size(0),), 1, dtype=torch.float)
    netD.zero_grad()
    assert not real.is_cuda
    errD_real = criterion(netD(real).view(-1, 1).squeeze(1), label)
    errD_real.backward()
    fake = netG(torch.randn(6, 5, 1, 1))
    label.fill_(0)
    errD_fake = criterion(netD(fake.detach()).view(-1), label)
    errD_fake.backward()
    optimizerD.step()
    netG.zero_grad()
    label.fill_(1)
    errG = criterion(netD(fake).view(-1), label)
    errG.backward()
    optimizerG.step()
    assert abs((errD_real + errD_fake).item() - 2 * np.log(2)) < 0.1
    assert abs(errG.item() - np.log(2)) < 0.1
    utils.save_image(fake.detach(), f"{tmp_path}/fake_samples.png", normalize=True)
    torch.save(netG.state_dict(), f"{tmp_path}/netG.pth")
    moved = netG[0].weight.detach().clone()
    netG.apply(weights_init)
    netG.load_state_dict(torch.load(f"{tmp_path}/netG.pth"))
    assert (netG[0].weight == moved).all() and not (moved == before).all()
