"""Losses by name, one value per example. A mean over examples, and its error, are taken elsewhere, in float64."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from landscape.errors import ShapeError, UsageError
from landscape.registry import Registry

PerExampleLoss = Callable[[Tensor, Tensor], Tensor]
_LOSSES: Registry[PerExampleLoss] = Registry("loss", group="landscape.losses")


def names() -> list[str]:
    """Return the names of all losses."""
    return _LOSSES.names()


def resolve(loss: str | PerExampleLoss) -> tuple[str, PerExampleLoss]:
    """Return a loss and the name that a recipe records it under.

    Args:
        loss: A registered name; for a loss whose function has a third argument with a default, also
            ``name:number``, and the name alone is recorded with the default. Or a callable
            ``(outputs, targets) -> (n,)``, recorded as ``module:qualname``, with the settings of a
            ``functools.partial``.

    Returns:
        Name and callable.

    Raises:
        UsageError: The number is none, or the loss takes none.
    """
    if isinstance(loss, str):
        return _named(loss)
    if isinstance(loss, functools.partial):
        settings = [*map(repr, loss.args), *(f"{k}={v!r}" for k, v in sorted(loss.keywords.items()))]
        return f"{resolve(loss.func)[0]}({', '.join(settings)})", loss
    kind = loss if hasattr(loss, "__qualname__") else type(loss)
    return f"{kind.__module__}:{kind.__qualname__}", loss


def _named(text: str) -> tuple[str, PerExampleLoss]:
    name, colon, written = text.partition(":")
    found = _LOSSES.get(name)
    setting = _setting(found)
    if setting is None:
        if colon:
            raise UsageError(f"the loss {name!r} takes no number; got {text!r}")
        return name, found
    try:
        value = float(written) if colon else float(setting.default)
    except ValueError:
        raise UsageError(f"{written!r} is no number; write {name}:{setting.default}") from None
    return f"{name}:{value:g}", functools.partial(found, **{setting.name: value})


def _setting(loss: PerExampleLoss) -> inspect.Parameter | None:
    """The number that a loss takes beside outputs and targets."""
    try:
        parameters = list(inspect.signature(loss).parameters.values())
    except (TypeError, ValueError):  # a callable of C
        return None
    third = parameters[2] if len(parameters) > 2 else None
    return third if third is not None and isinstance(third.default, int | float) else None


@_LOSSES.register("cross_entropy")
def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of the target class.

    Args:
        outputs: Logits, shape ``(n, classes)``.
        targets: Classes, int64 of shape ``(n,)``; or class probabilities, shape ``(n, classes)``.

    Returns:
        Shape ``(n,)`` [nats].
    """
    _check_classes(outputs, targets)
    return F.cross_entropy(outputs, targets, reduction="none")


@_LOSSES.register("mse")
def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error, mean over classes; class targets are taken as one-hot.

    Args:
        outputs: Shape ``(n, classes)``.
        targets: Classes, shape ``(n,)``, or values of the outputs' shape.

    Returns:
        Shape ``(n,)``.
    """
    return _over_classes(F.mse_loss(outputs, _like(outputs, targets), reduction="none"))


@_LOSSES.register("bce")
def bce(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each logit, mean over classes; class targets are taken as one-hot.

    Args:
        outputs: Logits, shape ``(n, classes)``.
        targets: Classes, shape ``(n,)``, or values in [0, 1] of the outputs' shape.

    Returns:
        Shape ``(n,)`` [nats].
    """
    wanted = _like(outputs, targets)
    return _over_classes(F.binary_cross_entropy_with_logits(outputs, wanted, reduction="none"))


@_LOSSES.register("label_smoothing")
def label_smoothing(outputs: Tensor, targets: Tensor, share: float = 0.1) -> Tensor:
    """Cross-entropy against a target that gives away a share: ``(1 - share) * one_hot + share / classes``.

    Args:
        outputs: Logits, shape ``(n, classes)``.
        targets: Classes, int64 of shape ``(n,)``; or class probabilities, shape ``(n, classes)``.
        share: What is spread evenly over all classes, 0 to 1; written ``label_smoothing:0.1``.

    Returns:
        Shape ``(n,)`` [nats].

    Raises:
        UsageError: The share is not between 0 and 1.

    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"label smoothing spreads a share between 0 and 1; got {share:g}")
    _check_classes(outputs, targets)
    return F.cross_entropy(outputs, targets, reduction="none", label_smoothing=share)


def _check_classes(outputs: Tensor, targets: Tensor) -> None:
    """Refuse targets that are neither classes nor class probabilities; shapes and dtypes alone are looked at."""
    classes = (*outputs.shape[:1], *outputs.shape[2:])
    if targets.is_floating_point() and targets.shape == outputs.shape:
        return
    if targets.dtype in {torch.int64, torch.uint8} and targets.shape == classes and outputs.ndim > 1:
        return
    kind = str(targets.dtype).removeprefix("torch.")
    raise ShapeError(
        f"targets of {kind} and shape {tuple(targets.shape)} do not fit outputs of "
        f"shape {tuple(outputs.shape)}: cross-entropy takes classes, int64 of shape {classes} (targets.long()), or "
        "class probabilities of the outputs' shape; for values to be met there is the loss 'mse'"
    )


def _over_classes(values: Tensor) -> Tensor:
    """Mean over all but the first dimension; a single output per example may come without a second."""
    return values.flatten(1).mean(dim=1) if values.ndim > 1 else values


def _like(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.dtype == torch.int64 and targets.ndim == 1 and outputs.ndim == 2:
        return F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    if targets.shape != outputs.shape:
        raise ShapeError(f"targets of shape {tuple(targets.shape)} do not fit outputs of {tuple(outputs.shape)}")
    return targets.to(outputs.dtype)
