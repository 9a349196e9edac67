"""Theorem 4.1 of Santurkar et al.: what one BatchNorm layer does to a gradient, from the probe's own gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.smoothness.mini_batch import lent


class OneUnit(nn.Module):
    """Activations ``y`` of one unit as parameters, BatchNorm, and a loss of each normalized value."""

    def __init__(self, y, gamma, shift):
        super().__init__()
        self.y = nn.Parameter(y.clone())
        self.norm = nn.BatchNorm1d(1, eps=1e-300).double()  # torch takes no zero; beside a variance this is one
        self.norm.weight.data.fill_(gamma)
        self.norm.bias.data.fill_(shift)
        self.norm.requires_grad_(False)

    def forward(self, x):
        return self.norm(self.y[:, None])[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_contracts_by_exactly_the_bound(draw, seed):
    """|dL/dy|^2 = gamma^2/sigma^2 (|g|^2 - <1, g>^2/m - <g, yhat>^2/m), g the loss's gradient at gamma yhat + beta."""
    m, gamma, shift = 17, 0.7, -0.4
    y, weight = 3 * draw(m, seed=seed) + 1, draw(m, seed=seed + 100)

    def loss(z, _):
        return m * (weight * torch.sin(z) + z**2 / 3)  # the mean over examples is a sum

    with lent(OneUnit(y, gamma, shift), torch.zeros(m, 1), torch.zeros(m), loss=loss) as lending:
        found = lending.gradient(lending.loss()[0])["y"]
    sigma = y.std(correction=0)
    yhat = (y - y.mean()) / sigma
    z = gamma * yhat + shift
    g = weight * torch.cos(z) + 2 * z / 3
    bound = gamma**2 / sigma**2 * (g @ g - g.sum() ** 2 / m - (g @ yhat) ** 2 / m)
    torch.testing.assert_close(found @ found, bound, rtol=1e-10, atol=0)
    closed = gamma / (m * sigma) * (m * g - g.sum() - yhat * (g @ yhat))
    torch.testing.assert_close(found, closed, rtol=1e-10, atol=1e-12)
    assert bound < gamma**2 / sigma**2 * (g @ g)
