"""What a result was made with: versions and device, nothing private."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from landscape._version import __version__

_LIBRARIES = ("torch", "torchvision", "numpy", "h5py")


def environment(device: str) -> dict[str, str]:
    """Describe the software and the device of a measurement.

    Args:
        device: The device as a person would name it, for instance ``"cpu (2 threads)"``.

    Returns:
        Names to versions; neither host, user nor path.
    """
    found = {"landscape": __version__, "python": platform.python_version(), "system": sys.platform}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # vendored builds of torch carry no metadata
            continue
    return found | {"machine": platform.machine(), "device": device}
