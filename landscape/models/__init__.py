"""Networks by name."""

from landscape.models import vgg as _vgg  # noqa: F401 - registers its names
from landscape.models.base import Family, build, check_options, family, names, register
from landscape.models.layers import initialize

__all__ = ["Family", "build", "check_options", "family", "initialize", "names", "register"]
