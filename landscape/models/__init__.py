"""Networks by name."""

# ruff: noqa: I001 - families register themselves, and checkpoints are compared with them in this order
from landscape.models import vgg as _vgg  # noqa: F401
from landscape.models import cifar10net as _cifar10net  # noqa: F401
from landscape.models import net as _net  # noqa: F401
from landscape.models import mlp as _mlp  # noqa: F401
from landscape.models import cnn as _cnn  # noqa: F401
from landscape.models import resnet9 as _resnet9  # noqa: F401
from landscape.models import lenet as _lenet  # noqa: F401
from landscape.models import deep_linear as _deep_linear  # noqa: F401
from landscape.models import torchvision_nets as _torchvision_nets  # noqa: F401
from landscape.models.base import (
    Family,
    build,
    check_options,
    family,
    known,
    lasting,
    names,
    recipe_options,
    register,
    register_prefix,
)
from landscape.models.layers import initialize

__all__ = [
    "Family",
    "build",
    "check_options",
    "family",
    "initialize",
    "known",
    "lasting",
    "names",
    "recipe_options",
    "register",
    "register_prefix",
]
