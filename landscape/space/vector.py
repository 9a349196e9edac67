"""Parameters as one vector, and back.

Order is that of ``named_parameters``: a tensor that a network uses in two places is listed once, under its first name.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from landscape.errors import LayoutError

Params = Mapping[str, Tensor]


def parameters_of(params_or_model: Params | nn.Module) -> dict[str, Tensor]:
    """Return a network's parameters by name, detached; tied tensors once.

    Args:
        params_or_model: A network, or a mapping of tensors, which is returned as a ``dict``.

    Returns:
        Names to tensors that share the network's storage.
    """
    if isinstance(params_or_model, nn.Module):
        return {name: p.detach() for name, p in params_or_model.named_parameters()}
    return dict(params_or_model)


def flatten(params_or_model: Params | nn.Module) -> Tensor:
    """Join all parameters into one vector.

    Args:
        params_or_model: A network or a mapping of tensors of one dtype.

    Returns:
        A new tensor of shape ``(P,)``, each parameter in row-major order, in named order.

    Raises:
        LayoutError: There is no parameter, or dtypes or devices are mixed.
    """
    params = parameters_of(params_or_model)
    if not params:
        raise LayoutError("there is nothing to flatten: the network has no parameters")
    kinds = {(t.dtype, t.device) for t in params.values()}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise LayoutError(f"one vector needs one dtype and one device; the parameters have {found}")
    return torch.cat([t.reshape(-1) for t in params.values()])


def unflatten(vector: Tensor, like: Params | nn.Module) -> dict[str, Tensor]:
    """Cut a vector into tensors with the names and shapes of ``like``; the inverse of ``flatten``.

    Args:
        vector: Shape ``(P,)`` with ``P`` the number of elements of ``like``.
        like: A network or a mapping that gives names and shapes.

    Returns:
        Names to tensors; views of ``vector`` where its memory allows.

    Raises:
        LayoutError: The vector has another length, or is no vector.
    """
    shapes = {name: t.shape for name, t in parameters_of(like).items()}
    total = sum(shape.numel() for shape in shapes.values())
    if vector.ndim != 1 or len(vector) != total:
        raise LayoutError(f"a vector of {total} elements is needed; got shape {tuple(vector.shape)}")
    pieces = torch.split(vector, [shape.numel() for shape in shapes.values()])
    return {name: piece.reshape(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}


def check_layout(tensors: Params, center: Params, *, what: str = "the direction") -> None:
    """Refuse tensors that do not stand under the center's names with the center's shapes.

    Args:
        tensors: What is checked.
        center: Parameters of the network.
        what: The subject of the message.

    Raises:
        LayoutError: Names or shapes differ. The message names the first parameter that does.
    """
    for name, w in center.items():
        if name not in tensors:
            raise LayoutError(f"{what} has no tensor {name!r}, which the center has with shape {tuple(w.shape)}")
        if tensors[name].shape != w.shape:
            raise LayoutError(
                f"{what} has shape {tuple(tensors[name].shape)} at {name!r}; the center has {tuple(w.shape)}"
            )
    extra = next((name for name in tensors if name not in center), None)
    if extra is not None:
        raise LayoutError(f"{what} has a tensor {extra!r} that the center does not have")
