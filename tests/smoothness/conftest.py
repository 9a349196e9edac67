"""Networks and losses whose gradients are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.records import SmoothnessTrace


class Quadratic(nn.Module):
    """Its loss is ``w^T H w / 2 + b^T w`` whatever the inputs."""

    def __init__(self, hessian, slope, start):
        super().__init__()
        self.w = nn.Parameter(start.clone())
        self.hessian, self.slope = hessian, slope

    def forward(self, inputs):
        value = self.w @ self.hessian @ self.w / 2 + self.slope @ self.w
        return value.expand(len(inputs))


@pytest.fixture
def draw():
    """Normal numbers in float64 from a generator of their own."""

    def make(*shape, seed=0):
        return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture
def quadratic(draw):
    """A network with a positive definite Hessian of 6 x 6, with that Hessian and the gradient at the start."""
    root = draw(6, 6)
    hessian = root @ root.T / 6 + torch.eye(6, dtype=torch.float64)
    slope, start = draw(6, seed=1), draw(6, seed=2)
    return Quadratic(hessian, slope, start), hessian, hessian @ start + slope


@pytest.fixture
def as_loss():
    """A loss that takes the network's outputs for the losses."""

    def outputs_are_losses(outputs, targets):
        return outputs

    return outputs_are_losses


@pytest.fixture
def busy():
    """Convolution, BatchNorm, dropout, two linear layers; in training mode, with gradients and a moved BatchNorm."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=4),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(196, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Linear(8, 10),
        )
        images, targets = torch.randn(12, 3, 32, 32), torch.arange(12) % 10
        nn.functional.cross_entropy(net(images), targets).backward()
    return net, images, targets


@pytest.fixture
def state_of():
    """Everything a network and the generators hold, as comparable values."""

    def take(model):
        tensors = {n: t.detach().clone() for n, t in model.state_dict().items()}
        grads = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
        where = {n: t.data_ptr() for n, t in model.state_dict(keep_vars=True).items()}
        flags = [(m.training, getattr(m, "momentum", None)) for m in model.modules()]
        flags += [(p.requires_grad, None) for p in model.parameters()]
        return tensors, grads, where, flags, torch.get_rng_state()

    def check(model, before):
        after = take(model)
        for kind in (0, 1):
            for name, tensor in before[kind].items():
                same = after[kind][name]
                assert (tensor is None) == (same is None), name
                assert tensor is None or torch.equal(tensor, same), name
        assert after[2:4] == before[2:4]
        assert torch.equal(after[4], before[4])

    take.check = check
    return take


@pytest.fixture
def trace():
    """A trace of made-up numbers at steps 0, 100, ...; ``loss`` of shape (n, s) sets its length and grid."""

    def make(loss, *, distance=None, norm=None, step_size=None, every=100, **recipe):
        loss = np.asarray(loss, dtype=np.float64)
        n, s = loss.shape
        step_size = np.array([0.05, 0.1, 0.2, 0.4])[:s] if step_size is None else np.asarray(step_size)
        distance = np.ones((n, s)) if distance is None else np.asarray(distance, dtype=np.float64)
        norm = np.ones(n) if norm is None else np.asarray(norm)
        empty = np.zeros((n, 0))
        return SmoothnessTrace(
            np.arange(n) * every, step_size, np.array([], dtype=np.str_), loss, distance, np.ones((n, s)),
            loss[:, 0], norm, np.zeros(n), empty, empty,
            recipe={"model": "m", "seed": 0, "learning_rate": 0.1, "epochs": 20} | recipe,
        )  # fmt: skip

    return make
