"""Deep linear networks on vectors: square layers without activations, with and without BatchNorm.

Source: Santurkar et al. 2018, arXiv:1805.11604, section 2.1 and appendix A: 25 layers of 10 x 10.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import ShapeError, UsageError
from landscape.models.base import Family, register
from landscape.models.layers import initialize


class DeepLinear(nn.Sequential):
    """Square linear layers without bias, each followed by BatchNorm where asked for.

    Args:
        batchnorm: BatchNorm after every layer, the last one too.
        width: Entries of a vector.
        depth: Layers.
        init: Initialisation, see ``landscape.models.layers``; Glorot's as the paper has it.
        seed: Seed of the initial weights.

    Raises:
        UsageError: A number is below 1.
    """

    def __init__(
        self, *, batchnorm: bool, width: int = 10, depth: int = 25, init: str = "xavier", seed: int = 0
    ) -> None:
        if width < 1 or depth < 1:
            raise UsageError(f"width and depth are at least 1; got {width} and {depth}")
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers.append(nn.Linear(width, width, bias=False))
            layers += [nn.BatchNorm1d(width)] if batchnorm else []
        super().__init__(*layers)
        self.width = width
        initialize(self, how=init, seed=seed)

    def forward(self, input: Tensor) -> Tensor:
        """Return the product of all layers with the vectors.

        Args:
            input: Shape ``(n, width)``.

        Returns:
            Shape ``(n, width)``.

        Raises:
            ShapeError: The input has another shape.
        """
        if input.ndim != 2 or input.shape[1] != self.width:
            found = " x ".join(str(side) for side in input.shape[1:])
            raise ShapeError(
                f"this network takes vectors of {self.width} numbers; got {found}. It is trained by regression on "
                "vectors (landscape.smoothness.deep_linear), not on images."
            )
        return super().forward(input)  # type: ignore[no-any-return, no-untyped-call]


def _family(*, batchnorm: bool) -> Family:
    def factory(**options: Any) -> nn.Module:
        with torch.random.fork_rng(devices=[]):  # torch's layers draw when they are made; `initialize` draws anew
            return DeepLinear(batchnorm=batchnorm, **options)

    defaults = {"width": 10, "depth": 25, "init": "xavier"}
    return Family(factory, options=(*defaults, "seed"), defaults=defaults, foreign=False)


register("dln", _family(batchnorm=False))
register("dln_bn", _family(batchnorm=True))
