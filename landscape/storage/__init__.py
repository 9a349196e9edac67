"""Results and checkpoints on disk."""

from landscape.atomic import replacing
from landscape.storage.checkpoints import Checkpoint, load_checkpoint, read_weights, save_checkpoint
from landscape.storage.hdf5 import load, save
from landscape.storage.resume import check_recipe, stored_record

__all__ = [
    "Checkpoint",
    "check_recipe",
    "load",
    "load_checkpoint",
    "read_weights",
    "replacing",
    "save",
    "save_checkpoint",
    "stored_record",
]
