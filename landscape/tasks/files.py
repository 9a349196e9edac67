"""What tasks share about their files: how a result is called, what it may replace, and where it comes from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from landscape.errors import StorageError, UsageError
from landscape.records import Record
from landscape.storage import Checkpoint, load

_ENDINGS = (".h5", ".hdf5", ".nc")


def record_file(out: Path | None, default: Path, what: str) -> Path:
    """Settle the name of a result file, beside which page and picture are written.

    Args:
        out: The name that the user gave, or a folder that exists; None for the default.
        default: The name where none was given; its last part is that within a folder.
        what: What the file holds, for messages: ``surface``, ``evaluation``.

    Returns:
        The name with an ending of a result file.

    Raises:
        UsageError: It has the ending of the page or the picture.
    """
    if out is None:
        return default
    if out.is_dir() and out.suffix not in _ENDINGS:  # a folder of a file's name is in the way: writing says so
        return out / default.name
    if out.suffix in {".html", ".png"}:
        raise UsageError(f"--out names the {what} file, for instance {out.stem}.h5; page and picture go beside it")
    if out.suffix in _ENDINGS:
        return out
    return out.with_name(f"{out.name}.h5")  # "vgg-lr0.001" is a name, not one with the ending ".001"


def check_replaceable(out: Path, kind: type[Record]) -> None:
    """Refuse to write a result over a file that holds something else.

    Args:
        out: The file that will be replaced.
        kind: What will be written.

    Raises:
        StorageError: There is a file that holds no record of this kind.
    """
    if not out.exists():
        return
    try:
        found = f"a record of kind {load(out).kind!r}"
    except StorageError:
        found = "something else"
    if found != f"a record of kind {kind.kind!r}":
        raise StorageError(
            f"{out} holds {found}; it is not replaced by one of kind {kind.kind!r}. Choose another --out"
        )


def origin(ckpt: Path, checkpoint: Checkpoint, assumed: list[str], command: str) -> dict[str, Any]:
    """Say where a result comes from, for its provenance.

    Args:
        ckpt: The checkpoint's file; only its name is kept.
        checkpoint: What it says of itself.
        assumed: What was assumed, as sentences.
        command: What the user typed.

    Returns:
        Plain values.
    """
    trained = {k: v for k, v in checkpoint.meta.items() if k in {"run", "epoch", "val_loss", "val_accuracy"}}
    trained |= {k: v for k, v in checkpoint.meta.get("recipe", {}).get("model_options", {}).items() if k == "init"}
    return {
        "checkpoint": ckpt.name,
        "assumed": assumed,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **({"trained": trained} if trained else {}),
    }
