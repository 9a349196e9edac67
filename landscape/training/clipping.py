"""Gradients that are cut before an update, by torch's own functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from torch import nn

from landscape.errors import UsageError

Clip = Callable[[Iterable[nn.Parameter]], object]
_KINDS: dict[str, Callable[..., object]] = {
    "value": nn.utils.clip_grad_value_,  # every element to [-bound, bound]
    "norm": nn.utils.clip_grad_norm_,  # the norm over all parameters to at most the bound
}


def clip_from(text: str | None) -> Clip | None:
    """Read how gradients are cut.

    Args:
        text: ``value:0.1`` (each element), ``norm:1`` (the norm of all together), or None.

    Returns:
        What cuts the gradients of parameters in place, without waiting for the device; None for nothing.

    Raises:
        UsageError: The text has another form.
    """
    if text is None:
        return None
    kind, _, written = text.partition(":")
    try:
        bound = float(written)
    except ValueError:
        bound = float("nan")
    if kind not in _KINDS or not 0 < bound < float("inf"):
        raise UsageError(f"gradients are clipped by value:BOUND or norm:BOUND, a number above zero; got {text!r}")
    if kind == "value":
        return partial(_KINDS[kind], clip_value=bound)
    return partial(_KINDS[kind], max_norm=bound)
