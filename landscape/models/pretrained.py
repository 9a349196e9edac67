"""Weights of a file as the beginning of a network of another number of classes."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from landscape import weights
from landscape.errors import CheckpointError

_SIDE = ("aux", "AuxLogits")  # side outputs that torchvision's own files have, for training only
_COUNTER = "num_batches_tracked"


def load_pretrained(model: nn.Module, file: str | Path) -> None:
    """Load the weights of a file into a network; a last layer of another number of classes keeps its fresh weights.

    Args:
        model: The network, changed in place; one without memory for its weights is left alone.
        file: Weights under the network's own names, in any form that ``landscape.weights`` reads.

    Raises:
        CheckpointError: The file is missing, cannot be read, or differs in more than its last layer. The message names
            the first tensor that does.
    """
    wanted = model.state_dict()
    if any(t.is_meta for t in wanted.values()):
        return
    path = Path(file)
    if not path.exists():
        raise CheckpointError(
            f"the option pretrained names {path}, and there is no such file. Give it the file of weights to begin "
            "with, or leave it out to begin with fresh ones."
        )
    given = list(weights.forms(weights.tensors(weights.read(path), path)))[-1]
    given = {n: t for n, t in given.items() if not n.startswith(_SIDE)}
    last = [n for n, t in wanted.items() if t.ndim > 1][-1].rpartition(".")[0]
    for name in dict.fromkeys((*wanted, *given)):
        there, here = (s[name].shape if name in s else None for s in (given, wanted))
        if there == here or name.endswith(_COUNTER):
            continue
        if name.rpartition(".")[0] == last and there is not None and here is not None:
            del given[name]
            continue
        shapes = ["no such tensor" if s is None else str(tuple(s)) for s in (here, there)]
        raise CheckpointError(
            f"the weights in {path} do not fit: at {name!r} the network has {shapes[0]}, the file {shapes[1]}. Only "
            f"the last layer, {last!r}, may be of another number of classes: give weights of the same network, for "
            "images of as many channels (--channels)."
        )
    model.load_state_dict(given, strict=False)
