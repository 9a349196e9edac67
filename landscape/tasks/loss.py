"""Which loss a checkpoint is measured with: what the user says, else that of the training, else cross-entropy."""

from __future__ import annotations

from landscape import losses
from landscape.errors import UnknownNameError
from landscape.storage import Checkpoint

DEFAULT = "cross_entropy"


def loss_for(checkpoint: Checkpoint, asked: str | None) -> tuple[str, list[str]]:
    """Choose the loss that a checkpoint is measured with.

    Args:
        checkpoint: The weights with what their file says.
        asked: The name that the user gave; None for none.

    Returns:
        The name, and a sentence where it had to be assumed.

    Raises:
        UnknownNameError: The user asked for a loss that is not registered.
    """
    trained = checkpoint.meta.get("recipe", {}).get("loss")
    name = asked or trained
    if not name:
        return DEFAULT, [
            f"the checkpoint does not say which loss it was trained with; assumed {DEFAULT} (--loss changes it)"
        ]
    try:
        losses.resolve(str(name))
    except UnknownNameError:
        if asked:
            raise
        return DEFAULT, [
            f"the network was trained with the loss {name!r}, which is not registered here; assumed {DEFAULT} "
            "(--loss changes it)"
        ]
    return str(name), []
