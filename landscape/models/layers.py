"""Initialisations that treat a network and its variants alike.

Every convolution and linear layer has a generator of its own, seeded by the network's seed and the layer's place among
them. BatchNorm and dropout layers draw nothing, so a variant and its twin start from equal weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import nn

from landscape.errors import UsageError
from landscape.words import INITS


def initialize(model: nn.Module, *, how: str = "he", seed: int = 0) -> None:
    """Draw the weights of all convolution and linear layers anew; biases become zero, BatchNorm 1 and 0.

    ``he``: Kaiming normal over fan-out for convolutions, Xavier normal for linear layers. ``xavier``: Xavier normal for
    both. ``default``: what the layers' own ``reset_parameters`` does, biases included.

    Args:
        model: The network, changed in place.
        how: ``he``, ``xavier`` or ``default``.
        seed: Seed of the draws; torch's global generator is left alone.

    Raises:
        UsageError: ``how`` is another word.

    Source: He et al. 2015, arXiv:1502.01852; Glorot and Bengio 2010.
    """
    if how not in INITS:
        raise UsageError(f"there is no initialisation {how!r}; known: {', '.join(INITS)}")
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for place, layer in enumerate(layers):
        if layer.weight.is_meta:
            continue
        key = int.from_bytes(hashlib.sha256(f"init {seed} {place}".encode()).digest()[:8], "big") >> 1
        if how == "default":
            _own_reset(layer.reset_parameters, key)
            continue
        generator = torch.Generator("cpu").manual_seed(key)
        if how == "he" and isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        else:
            nn.init.xavier_normal_(layer.weight, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _own_reset(reset: Callable[[], None], key: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key)  # torch.manual_seed would reach the CUDA generators too
        reset()
