"""Checkpoints: saved as tensors and plain values, loaded without ever running a file's code.

A file of this package says which network it holds. A foreign one is opened, its prefixes are removed, and it is
compared with every registered network (``landscape.storage.recognize``).
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape import models, weights
from landscape.atomic import replacing
from landscape.errors import CheckpointError, LandscapeError, require
from landscape.storage.hdf5 import kind_of
from landscape.storage.recognize import expected, recognize


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights with what is known of them.

    Args:
        model_name: Registered name or ``package.module:factory``; empty for a network given as an object.
        model_options: Options to build it with.
        state_dict: Tensors under the network's own names, on the CPU.
        meta: What the file says of its origin: data set, normalization, training; empty for a foreign file.
        notes: What was assumed when the network was recognised, as sentences.
        training: Optimiser state and history of an unfinished run, where the file holds one.
        trusted: Whether the network's name comes from the caller or from this installation's registry. A name that
            only the file gives could name any function: it is shown, and never imported.
    """

    model_name: str
    model_options: Mapping[str, Any]
    state_dict: Mapping[str, Tensor]
    meta: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    trusted: bool = True

    def build(self) -> nn.Module:
        """Build the network and load its weights.

        Returns:
            The network, on the CPU, in evaluation mode.

        Raises:
            CheckpointError: The weights do not fit the network that the file names, or only the file names it.
        """
        if not self.trusted:
            raise CheckpointError(
                f"the file says that it holds {self.model_name!r}, which is no registered network, and a file is not "
                f"trusted to name code. If you know it, say so: --model {self.model_name} (model= in Python)."
            )
        model = models.build(self.model_name, **models.lasting(self.model_name, self.model_options))
        try:
            model.load_state_dict(dict(self.state_dict))
        except RuntimeError as error:
            raise CheckpointError(f"the weights do not fit {self.model_name}: {weights.first_line(error)}") from error
        return model.eval()


def save_checkpoint(
    path: str | Path,
    model: nn.Module | Mapping[str, Tensor],
    *,
    model_name: str = "",
    model_options: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Save weights and plain facts about them, replacing the file whole.

    Args:
        path: ``*.safetensors`` (extra ``[safetensors]``), or any other name for torch's format.
        model: The network, or its state dict.
        model_name: Registered name, so that the file can be recognised.
        model_options: Options that the network was built with.
        meta: Plain values: text, numbers, lists, mappings.
        training: State of an unfinished run: tensors and plain values; torch's format only.

    Raises:
        CheckpointError: ``training`` was given for a safetensors file, or a fact is no plain value.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    state = model.state_dict() if isinstance(model, nn.Module) else model
    state = {name: t.detach().cpu().contiguous() for name, t in state.items()}
    facts = _plain(dict(meta or {}) | {"model": model_name, "model_options": dict(model_options or {})}, path)
    if path.suffix == ".safetensors":
        if training:
            raise CheckpointError(f"{path}: the state of an unfinished run is kept in torch's format, as .pth")
        library = require("safetensors.torch", extra="safetensors", purpose="a .safetensors file")
        state = {name: t.clone() for name, t in state.items()}  # the format has no tied tensors: each is written
        data: bytes = library.save(state, metadata={"landscape": json.dumps(facts)})
    else:
        content: dict[str, Any] = {"state_dict": state, "landscape": facts}
        if training:
            content["training"] = dict(training)
        buffer = io.BytesIO()  # a plain write fails on a full disk as such; torch's writer hides the reason
        torch.save(content, buffer)
        data = buffer.getvalue()  # not getbuffer(): Python 3.12.1 crashes when a failed write is collected with it
    with replacing(path) as partial:
        partial.write_bytes(data)


def _plain(value: Any, path: Path) -> Any:
    """A copy of plain values only; others would make a file that is refused when it is loaded."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return type(value)(_plain(item, path) for item in value)
    if isinstance(value, Mapping):
        return {key: _plain(item, path) for key, item in value.items()}
    raise CheckpointError(
        f"cannot write {path}: its facts hold a {type(value).__name__} ({value!r}); text, numbers, lists and mappings "
        "of them can be kept"
    )


def load_checkpoint(
    path: str | Path, model: str | nn.Module | None = None, *, model_options: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Load weights and find out which network they belong to. No code of the file is ever run.

    Args:
        path: A file of this package, any ``torch.save`` of tensors, or safetensors.
        model: Name of the network, or the network itself, where the file does not say it or says it wrong.
        model_options: Options of the network; they win over what the file says.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: The file is missing, damaged, holds code or no weights, or fits no network or several.
    """
    path = Path(path)
    if kind := kind_of(path):
        raise CheckpointError(
            f"{path} is a result of kind {kind!r}, not a checkpoint: give the checkpoint (.pth) that it was made from"
        )
    content = weights.read(path)
    meta = dict(content.get("landscape") or {}) if isinstance(content.get("landscape"), Mapping) else {}
    forms = list(weights.forms(weights.tensors(content, path)))
    training = content["training"] if isinstance(content.get("training"), Mapping) else {}
    name, options = str(meta.pop("model", "")), dict(meta.pop("model_options", {})) | dict(model_options or {})
    if isinstance(model, nn.Module):
        return Checkpoint("", {}, _fitting(forms, model, path), meta, (), training)
    if name and model in {None, name}:
        trusted = model == name or models.known(name)
        state = _own_form(forms, name, options) if trusted else forms[-1]
        return Checkpoint(name, options, state, meta, (), training, trusted)
    found = recognize(forms[-1], name=model, options=model_options or {}, where=str(path))
    return Checkpoint(found.name, found.options, found.state_dict, meta, found.notes, training)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint without asking which network they belong to.

    Args:
        path: As ``load_checkpoint`` takes it.

    Returns:
        Names to tensors, common prefixes removed.
    """
    path = Path(path)
    return list(weights.forms(weights.tensors(weights.read(path), path)))[-1]


def _fitting(forms: list[dict[str, Tensor]], model: nn.Module, path: Path) -> dict[str, Tensor]:
    wanted, found = {name: tuple(t.shape) for name, t in model.state_dict().items()}, {}
    for state in forms:
        found = {name: tuple(t.shape) for name, t in state.items()}
        if wanted == found:
            return state
    name = next(n for n in (*wanted, *found) if wanted.get(n) != found.get(n))
    raise CheckpointError(
        f"{path} does not fit the given {type(model).__name__}: at {name!r} the network has shape "
        f"{wanted.get(name)}, the file {found.get(name)}"
    )


def _own_form(forms: list[dict[str, Tensor]], name: str, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """The form under the names of the network itself, which may begin like a prefix."""
    if len(forms) > 1:
        with contextlib.suppress(LandscapeError):  # a network that cannot be built says so when it is built
            wanted = set(expected(name, options))
            return next((state for state in forms if set(state) == wanted), forms[-1])
    return forms[-1]
