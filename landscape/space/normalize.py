"""Normalizations that make two directions comparable.

A direction holds one tensor per parameter, under the parameter's name. It says where to walk; how far is the
grid's business. Nothing here draws random numbers, evaluates a loss or changes its arguments.
"""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import UsageError
from landscape.space.vector import Params, check_layout
from landscape.words import NORMALIZATIONS


def row_norms(tensor: Tensor) -> Tensor:
    """Return the Frobenius norm of every row of a tensor of two or more dimensions.

    Args:
        tensor: Shape ``(rows, ...)``.

    Returns:
        Shape ``(rows,)``, float64 whatever the dtype of ``tensor``.
    """
    norms: Tensor = torch.linalg.vector_norm(torch.flatten(tensor, 1), dim=1, dtype=torch.float64)
    return norms


def scale_rows(tensor: Tensor, factors: Tensor) -> Tensor:
    """Multiply row ``i`` of ``tensor`` by ``factors[i]``, in float64, and return the dtype of ``tensor``."""
    shape = (-1,) + (1,) * (tensor.ndim - 1)
    return (tensor.double() * factors.reshape(shape)).to(tensor.dtype)


def ratio(wanted: Tensor, found: Tensor) -> Tensor:
    """Divide norms elementwise; where the direction has norm zero the answer is zero, never NaN."""
    return torch.where(found > 0, wanted / torch.where(found > 0, found, 1.0), 0.0)


def filter_normalize(direction: Params, center: Params) -> dict[str, Tensor]:
    """Give every filter of ``direction`` the norm of the same filter of ``center``.

    Row ``i`` of a parameter of shape ``(out, ...)`` becomes ``d[i] * |w[i]| / |d[i]|`` with Frobenius norms, so one
    unit of alpha moves each filter by its own length whatever the scale of the network. Vectors and scalars (biases,
    BatchNorm) have no filter and become zero. A zero filter of either stays zero.

    Args:
        direction: Names and shapes as in ``center``; any scale.
        center: Parameters of the checkpoint that the surface is centered on.

    Returns:
        New tensors with the dtype and device of ``direction``.

    A transposed convolution stores ``(in, out, ...)``: its rows are its input channels, and those are what is matched.

    Source: Li et al. 2018, arXiv:1712.09913, section 4; zeroed vectors as ``biasbn`` in the authors' code.
    """
    check_layout(direction, center)
    return {
        name: scale_rows(d, ratio(row_norms(center[name]), row_norms(d))) if d.ndim >= 2 else torch.zeros_like(d)
        for name, d in direction.items()
    }


def layer_normalize(direction: Params, center: Params) -> dict[str, Tensor]:
    """Give every tensor of two or more dimensions the norm of the center's tensor; the others become zero.

    Args:
        direction: Names and shapes as in ``center``; any scale.
        center: Parameters of the checkpoint.

    Returns:
        New tensors with the dtype and device of ``direction``.

    Source: Li et al. 2018, ``--xnorm layer`` with ``--xignore biasbn`` in the authors' code.
    """
    check_layout(direction, center)
    result: dict[str, Tensor] = {}
    for name, d in direction.items():
        if d.ndim < 2:
            result[name] = torch.zeros_like(d)
            continue
        factor = ratio(row_norms(center[name]).norm(), row_norms(d).norm())
        result[name] = (d.double() * factor).to(d.dtype)
    return result


def unit_normalize(direction: Params, center: Params) -> dict[str, Tensor]:
    """Give the whole direction norm one, whatever the center's scale.

    Args:
        direction: Names and shapes as in ``center``; any scale.
        center: Parameters of the checkpoint; only its layout is used.

    Returns:
        New tensors with the dtype and device of ``direction``; a zero direction stays zero.
    """
    check_layout(direction, center)
    norms = [torch.linalg.vector_norm(d, dtype=torch.float64) for d in direction.values()]
    total = torch.stack(norms).norm()
    factor = ratio(torch.ones_like(total), total)
    return {name: (d.double() * factor).to(d.dtype) for name, d in direction.items()}


def normalize(direction: Params, center: Params, how: str) -> dict[str, Tensor]:
    """Normalize a direction by name.

    Args:
        direction: Names and shapes as in ``center``.
        center: Parameters of the checkpoint.
        how: ``filter``, ``layer``, ``unit`` or ``none``.

    Returns:
        New tensors; with ``none``, clones.

    Raises:
        UsageError: ``how`` is another word.
    """
    if how == "none":
        check_layout(direction, center)
        return {name: d.clone() for name, d in direction.items()}
    table = {"filter": filter_normalize, "layer": layer_normalize, "unit": unit_normalize}
    if how not in table:
        raise UsageError(f"there is no normalization {how!r}; known: {', '.join(NORMALIZATIONS)}")
    return table[how](direction, center)
