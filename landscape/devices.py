"""Devices, precision and threads: chosen once, stated, and put back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from landscape.errors import UsageError
from landscape.words import PRECISIONS


def resolve(device: str | torch.device = "auto") -> torch.device:
    """Turn a device's name into a device that is there.

    Args:
        device: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:i``.

    Returns:
        The device.

    Raises:
        UsageError: There is no such device here.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"there is no device {device!r}; write auto, cpu, cuda or cuda:i") from error
    if found.type not in {"cpu", "cuda"}:  # others lack float64, or are no place to compute on
        raise UsageError(f"device {device} is not supported; write auto, cpu, cuda or cuda:i")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {device} was asked for; this machine has {torch.cuda.device_count()} CUDA devices")
    return found


def describe(device: torch.device) -> str:
    """Name a device for a reader: the GPU's model, or the CPU with its threads."""
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    count = torch.get_num_threads()
    return f"{device.type}, {count} {'thread' if count == 1 else 'threads'}"


@contextmanager
def exact_products(name: str) -> Iterator[None]:
    """Fix how float32 products are computed, whatever the caller's global settings are; they are put back.

    Args:
        name: ``fp32`` and ``bf16`` switch TF32 and reduced products off, ``tf32`` switches them on.

    Yields:
        Nothing.

    Raises:
        UsageError: ``name`` is another word.
    """
    if name not in PRECISIONS:
        raise UsageError(f"there is no precision {name!r}; known: {', '.join(PRECISIONS)}")
    knobs = _knobs()
    before: list[str] = []
    try:
        for knob in knobs:
            before.append(knob.fp32_precision)
            if len(before) <= _GENERAL:
                knob.fp32_precision = "none"  # a knob below an open one answers with that one's value, not its own
        legacy = _legacy()
        for knob in knobs[_GENERAL:]:
            knob.fp32_precision = "none"
        _set_legacy("high" if name == "tf32" else "highest", name == "tf32")
        yield
    finally:
        if len(before) == len(knobs):
            _set_legacy(*legacy)
        for knob, value in reversed(list(zip(knobs, before, strict=False))):  # torch.backends last: mkldnn's writes it
            knob.fp32_precision = value


_GENERAL = 3  # how many of the knobs are inherited by others


def _knobs() -> list[Any]:
    """Where torch keeps the precision of float32 products; an unset one takes the value of a more general one."""
    b: Any = torch.backends
    special = [b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn, b.mkldnn.matmul, b.mkldnn.conv, b.mkldnn.rnn]
    return [b, b.cudnn, b.mkldnn, *special]


def _legacy() -> tuple[str, bool]:
    """The two older switches; torch refuses to read one that disagrees with the knobs, and then its default stands."""
    matmul, cudnn = "highest", True
    with suppress(RuntimeError):
        matmul = torch.get_float32_matmul_precision()
    with suppress(RuntimeError):
        cudnn = torch.backends.cudnn.allow_tf32
    return matmul, cudnn


def _set_legacy(matmul: str, cudnn: bool) -> None:
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn


def autocast(device: torch.device, name: str) -> torch.autocast:
    """Return the context that runs a forward pass in bfloat16 for ``bf16``, and changes nothing otherwise."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bf16")


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Keep freed memory for the next allocation while measuring on the CPU, where the C library is glibc.

    Above 32 MB glibc maps fresh pages for every allocation and gives them back when it is freed. A network that
    allocates the same activations in every pass then spends its time on page faults. The library does not tell its
    present limits, so on exit it has those that it comes to by itself once large blocks were freed.

    Args:
        device: Where activations live; nothing is done for others than the CPU.

    Yields:
        Nothing.
    """
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if device.type != "cpu" or not hasattr(libc, "mallopt"):
        yield
        return
    mapped, trimmed = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
    libc.malloc_trim(0)  # what was freed before in other sizes would stay between the pieces to come
    libc.mallopt(mapped, 1 << 30)
    libc.mallopt(trimmed, 1 << 30)
    try:
        yield
    finally:
        libc.mallopt(mapped, 32 << 20)
        libc.mallopt(trimmed, 64 << 20)
        libc.malloc_trim(0)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Run with ``count`` CPU threads, or as it is with None; the number is put back.

    Args:
        count: Threads for one operation.

    Yields:
        Nothing.
    """
    before = torch.get_num_threads()
    try:
        if count is not None and count != before:
            torch.set_num_threads(count)
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
