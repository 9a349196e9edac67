"""Geometry checks at run time: filter norms, orthogonality, the center cell, the caller's network left as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.records import Grid
from landscape.space import DirectionPair, Params, row_norms, tensor_hash
from landscape.space.batchnorm import random_state
from landscape.surface import evaluators
from landscape.surface.evaluators import Planes
from landscape.surface.objective import Objective


def filter_norm_error(direction: Params, center: Params) -> float:
    """Return the largest relative difference between norms of filters of ``direction`` and of ``center``.

    Args:
        direction: Names and shapes as in ``center``.
        center: Parameters of the network.

    Returns:
        The largest ``| |d_f| - |w_f| | / |w_f|`` over filters; for a zero filter of the center, ``|d_f|``. Filters
        that are zero in ``direction`` because they have one element only are left out.
    """
    worst = 0.0
    for name, w in center.items():
        if w.ndim < 2:
            worst = max(worst, _largest(direction[name]))
            continue
        norms, wanted = row_norms(direction[name]), row_norms(w)
        error = (norms - wanted).abs() / torch.where(wanted > 0, wanted, 1.0)
        if w[0].numel() == 1:
            error = error[norms != 0]
        worst = max(worst, _largest(error))
    return worst


def _largest(values: Tensor) -> float:
    """Largest magnitude; NaN counts as infinite, because no comparison would notice it."""
    return float(values.abs().nan_to_num(nan=torch.inf).max()) if values.numel() else 0.0


def fingerprint(model: nn.Module) -> str:
    """Hash everything of a network that a measurement might disturb.

    Args:
        model: The network.

    Returns:
        A digest over parameters, buffers, gradients, flags, momenta and random number generators.
    """
    tensors: dict[str, Tensor] = {f"p.{n}": p for n, p in model.named_parameters()}
    tensors |= {f"b.{n}": b for n, b in model.named_buffers()}
    tensors |= {f"g.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    flags = [(n, m.training, getattr(m, "momentum", None)) for n, m in model.named_modules()]
    flags += [(n, p.requires_grad, str(p.device)) for n, p in model.named_parameters()]
    state = random_state()
    tensors["rng"] = state[0]
    tensors["numpy"] = torch.from_numpy(np.asarray(state[2][1], dtype=np.int64))
    rest = (state[2][2:], hash(state[3]))  # NumPy's position in that block of numbers, and Python's generator
    return tensor_hash(tensors) + repr(flags) + repr(rest)


def check_geometry(objective: Objective, pairs: Sequence[DirectionPair]) -> dict[str, Any]:
    """Check planes on this network and this machine.

    Args:
        objective: The objective that would be measured.
        pairs: Direction pairs through its center.

    Returns:
        ``filter_norm_error`` (largest relative error; only for filter-normalized pairs), ``cosine`` (largest
        magnitude over pairs), ``single_element_filters``, ``center_error`` (center cell minus direct evaluation),
        ``restored`` (the network is bit for bit as before) and ``ok``.
    """
    before = fingerprint(objective.model)
    center = objective.center
    direct = objective(center)
    planes = Planes(pairs, Grid(np.zeros(1), np.zeros(1)))
    with evaluators.get("sequential").open(objective, planes, 1) as measure:
        cells = measure(tuple((k, 0, 0) for k in range(len(pairs)))).cpu().numpy()[:, 0]
    restored = fingerprint(objective.model) == before
    found: dict[str, Any] = plane_checks(pairs, center)
    error = max((abs(float(c) - direct.loss) for c in cells if c != direct.loss), default=0.0)
    both_nan = bool(np.isnan(direct.loss)) and bool(np.isnan(cells).all())
    found |= {"center_error": 0.0 if both_nan else error, "restored": restored}
    eps = max(torch.finfo(w.dtype).eps for w in center.values() if w.is_floating_point())
    return found | {"ok": passed(found, tolerance=max(1e-5, 2 * eps))}  # float32 over a layer; coarser types round more


def plane_checks(pairs: Sequence[DirectionPair], center: Params) -> dict[str, Any]:
    """Check filter norms and cosines, without evaluating anything.

    Args:
        pairs: Direction pairs.
        center: Parameters of the network.

    Returns:
        ``cosine`` and, for pairs of known making, ``filter_norm_error`` and ``single_element_filters``.
    """
    recipes = [pair.recipe or {} for pair in pairs]
    cosines = [abs(pair.cosine) for pair in pairs]
    found: dict[str, Any] = {"cosine": max((c for c in cosines if c == c), default=0.0)}  # noqa: PLR0124 - NaN of a line
    found["orthogonal"] = all(recipe.get("orthogonal", False) for recipe in recipes)
    filtered = [p for p, recipe in zip(pairs, recipes, strict=True) if recipe.get("normalize") == "filter"]
    if filtered:
        found["filter_norm_error"] = max(filter_norm_error(d, center) for p in filtered for d in (p.first, p.second))
        found["single_element_filters"] = max(int((p.recipe or {}).get("single_element_filters", 0)) for p in filtered)
    return found


def passed(checks: dict[str, Any], *, tolerance: float = 1e-5) -> bool:
    """Judge the checks: ``tolerance`` for norms and cosines, equality for the center."""
    orthogonal = checks["cosine"] <= tolerance or not checks["orthogonal"]
    return bool(
        orthogonal
        and checks.get("filter_norm_error", 0.0) <= tolerance
        and checks["center_error"] == 0
        and checks["restored"]
    )
