"""Networks by name."""

from landscape.models import vgg as _vgg  # noqa: F401, I001 - registers its names
from landscape.models import deep_linear as _deep_linear  # noqa: F401
from landscape.models.base import Family, build, check_options, family, names, register
from landscape.models.layers import initialize

__all__ = ["Family", "build", "check_options", "family", "initialize", "names", "register"]
