"""Configuration of the manual: `make docs` builds it, and a warning is an error."""

from __future__ import annotations

from landscape import __version__

project = "landscape"
author = "The landscape developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nitpicky = False

autodoc_member_order = "groupwise"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"landscape {__version__}"
html_copy_source = False
html_show_sphinx = False
