"""The version, apart from everything that imports."""

__version__ = "0.1.0"
