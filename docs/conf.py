"""Sphinx: python -m sphinx -W docs docs/_build."""

from uda_seg import __version__

project = "uda-seg"
author = "The uda-seg authors"
copyright = "2026, The uda-seg authors"  # noqa: A001 (Sphinx's name)
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
napoleon_include_init_with_doc = False
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
