"""Words that options take. They stand apart from the code they name so that ``--help`` needs no torch."""

from __future__ import annotations

from typing import Literal, get_args

BnMode = Literal["frozen", "batch", "recalibrated"]
Normalization = Literal["filter", "layer", "unit", "none"]
Precision = Literal["fp32", "tf32", "bf16"]
Init = Literal["he", "xavier", "default"]
BnPlacement = Literal["conv", "conv+fc"]
Optimizer = Literal["adamw", "adam", "sgd", "momentum"]
Scheduler = Literal["none", "onecycle", "plateau", "step", "cosine"]
Sampling = Literal["dense", "adaptive"]

BN_MODES: tuple[str, ...] = get_args(BnMode)
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)
PRECISIONS: tuple[str, ...] = get_args(Precision)
INITS: tuple[str, ...] = get_args(Init)
BN_PLACEMENTS: tuple[str, ...] = get_args(BnPlacement)
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULERS: tuple[str, ...] = get_args(Scheduler)
SAMPLINGS: tuple[str, ...] = get_args(Sampling)
AUGMENTATIONS = ("flip", "crop", "autoaugment", "noise")

FUSE = ("auto", "on", "off")
VARIANTS = ("vgg", "vgg_bn", "vgg_dropout", "vgg_dropout_bn", "vgg_light", "vgg_light_bn")
LEARNING_RATES = (1e-4, 5e-4, 1e-3, 3e-3)
