"""torch's optimisers under the names that settings use."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn, optim

MOMENTUM = 0.9
_OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adamw": optim.AdamW,
    "adam": optim.Adam,
    "sgd": optim.SGD,
    "momentum": lambda parameters, **options: optim.SGD(parameters, momentum=MOMENTUM, **options),
}


def build_optimizer(
    name: str, parameters: Iterable[nn.Parameter], *, learning_rate: float, weight_decay: float
) -> optim.Optimizer:
    """Build an optimiser; what is not named here is torch's default.

    Args:
        name: ``adamw``, ``adam``, ``sgd`` or ``momentum``.
        parameters: What it updates.
        learning_rate: Its learning rate.
        weight_decay: As the optimiser takes it.

    Returns:
        The optimiser.
    """
    every = list(parameters)
    fused = {"fused": True} if every and every[0].is_cuda else {}  # on a CPU torch's default is as quick
    return _OPTIMIZERS[name](every, lr=learning_rate, weight_decay=weight_decay, **fused)
