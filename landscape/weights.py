"""Reading files of weights: tensors and plain values, without ever running a file's code.

Containers such as ``state_dict`` are opened and prefixes such as ``module.`` are removed; which network the weights
belong to is not asked here.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape.errors import CheckpointError, LandscapeError, require

_CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.", "model.")


def read(path: Path) -> dict[str, Any]:
    """Read what a file holds.

    Args:
        path: A file of this package, any ``torch.save`` of tensors, or safetensors.

    Returns:
        Its content by key.

    Raises:
        CheckpointError: It is missing, damaged, or holds code.
    """
    if not path.exists():
        raise CheckpointError(f"there is no checkpoint {path}")
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give a checkpoint file in it")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on old pickles; what is wrong is said below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # what torch makes of a damaged file has no type in common
        if _is_code(error, path):
            raise CheckpointError(
                f"{path} holds Python objects, not only tensors and plain values; nothing in it was executed. "
                "Save its weights with torch.save(model.state_dict(), ...) and use that file."
            ) from error
        # torch's own words are left out: some advise to load the file without this protection
        raise CheckpointError(f"{path} is not a checkpoint, or is damaged or truncated") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a mapping of names to weights")
    return dict(content)


def _is_code(error: Exception, path: Path) -> bool:
    text = str(error)
    if isinstance(error, pickle.UnpicklingError):
        with path.open("rb") as file:
            pickled = file.read(1) == b"\x80"
        return pickled or zipfile.is_zipfile(path) or "GLOBAL" in text
    return "TorchScript" in text


def _read_safetensors(path: Path) -> dict[str, Any]:
    library = require("safetensors", extra="safetensors", purpose="a .safetensors file")
    try:
        with library.safe_open(str(path), framework="pt", device="cpu") as file:
            facts = (file.metadata() or {}).get("landscape")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except LandscapeError:
        raise
    except Exception as error:  # the library raises a type of its own that is not exported everywhere
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged: {first_line(error)}") from error
    return {"state_dict": state} | ({"landscape": json.loads(facts)} if facts else {})


def tensors(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Find the weights in what a file holds.

    Args:
        content: What ``read`` returned.
        path: The file, for messages.

    Returns:
        Names to tensors, as they are in the file.

    Raises:
        CheckpointError: There are none.
    """
    for inner in (*(content.get(key) for key in _CONTAINERS), content):
        if isinstance(inner, Mapping):
            state = {str(name): t for name, t in inner.items() if isinstance(t, Tensor)}
            if state:
                return state
    raise CheckpointError(f"{path} holds no weights; its keys are: {', '.join(map(str, list(content)[:8])) or 'none'}")


def forms(state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield a state dict as it is, then without one common prefix after the other.

    Args:
        state: Names to tensors.

    Yields:
        The same tensors, under ever shorter names.
    """
    yield state
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): t for name, t in state.items()}
        yield state


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
