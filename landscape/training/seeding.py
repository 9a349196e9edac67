"""Randomness of a run: everything is drawn from its seed and the epoch, so a continued run draws what it would have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def key(*parts: object) -> int:
    """Make a seed from what it depends on."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """Draw the order of an epoch's images, on the CPU: the same on every device."""
    return torch.randperm(n, generator=torch.Generator("cpu").manual_seed(key(seed, "order", epoch)))


@contextmanager
def seeded(device: torch.device, *parts: object) -> Iterator[None]:
    """Seed torch's global generators; put them back on exit.

    Args:
        device: Of the run.
        *parts: What the seed depends on.

    Yields:
        Nothing.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(key(*parts))
        yield
