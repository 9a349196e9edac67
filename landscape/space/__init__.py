"""Parameter space: vectors, normalizations, directions, and lending a network out."""

from landscape.space.batchnorm import apply_mode, batchnorm_layers, borrowed, check_single_use, recalibrate
from landscape.space.directions import DirectionPair, cosine, random_pair, random_pairs, tensor_hash
from landscape.space.normalize import (
    filter_normalize,
    layer_normalize,
    normalize,
    row_norms,
    unit_normalize,
)
from landscape.space.vector import Params, check_layout, flatten, parameters_of, unflatten

__all__ = [
    "DirectionPair",
    "Params",
    "apply_mode",
    "batchnorm_layers",
    "borrowed",
    "check_layout",
    "check_single_use",
    "cosine",
    "filter_normalize",
    "flatten",
    "layer_normalize",
    "normalize",
    "parameters_of",
    "random_pair",
    "random_pairs",
    "recalibrate",
    "row_norms",
    "tensor_hash",
    "unflatten",
    "unit_normalize",
]
