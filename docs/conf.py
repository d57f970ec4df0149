"""Sphinx: python -m sphinx -W docs docs/_build."""

import inspect
import tomllib
from enum import Enum
from pathlib import Path
from types import FunctionType
from typing import Any, Unpack, get_args, get_origin, get_type_hints

from sphinx.application import Sphinx
from sphinx.util.inspect import signature, stringify_signature

from uda_seg import __version__
from uda_seg.datasets import SegmentationFolder

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

project = "uda-seg"
author = "The uda-seg authors"
copyright = "2026, The uda-seg authors"  # noqa: A001 (Sphinx's name)
version = release = __version__

extensions = [
    "myst_nb",  # Markdown and the tutorial's notebook
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",  # no page needs another server
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "data", "runs", "**.ipynb_checkpoints"]  # of the tutorial
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # runs the tutorial where it has changed
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_output_stderr = "remove"

autodoc_default_options = {
    "members": True,
    # Such as FDA.set_target, of a private base; is_left_out drops what torch and kornia add.
    "inherited-members": "SegmentationFolder",
}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autosummary_generate = False
maximum_signature_line_length = 80
napoleon_include_init_with_doc = False
python_display_short_literal_types = True
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_theme_options = {
    "source_repository": tomllib.loads(PYPROJECT.read_text())["project"]["urls"]["Source"] + "/",
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
}
pygments_dark_style = "github-dark"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

# Blocks without any prompt, such as commands, are copied whole.
copybutton_prompt_text = r">>> |\.\.\.(?: |$)"
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

HOOKS = {"apply_transform", "generate_parameters", "transform_tensor"}  # called by kornia


def setup(app: Sphinx) -> None:
    """What the extensions above cannot do."""
    app.connect("autodoc-process-signature", show_signature)
    app.connect("autodoc-process-docstring", drop_family)
    app.connect("autodoc-skip-member", is_left_out)


def show_signature(
    _app: Sphinx, what: str, _name: str, obj: Any, *_shown: Any
) -> tuple[str, None] | None:
    """A class's own arguments, not its base's ``*args``, with each of the readers' options."""
    if what != "class":
        return None
    if issubclass(obj, Enum):
        return "", None
    if not (isinstance(obj.__init__, FunctionType) and is_ours(obj.__init__)):
        return None
    call = signature(obj.__init__, bound_method=True)
    parameters: list[inspect.Parameter] = []
    for each in call.parameters.values():
        if get_origin(each.annotation) is not Unpack:
            parameters.append(each)
            continue
        options = get_type_hints(*get_args(each.annotation))
        taken = signature(SegmentationFolder.__init__).parameters
        parameters += [taken[name].replace(annotation=kind) for name, kind in options.items()]
    call = call.replace(parameters=parameters, return_annotation=call.empty)
    words = stringify_signature(call, unqualified_typehints=True, short_literals=True)
    return words, None


def drop_family(
    _app: Sphinx, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    """Leave out the docstring of a family, whose page begins with what it says."""
    if what == "module":
        lines.clear()


def is_left_out(_app: Sphinx, what: str, name: str, obj: Any, *_options: Any) -> bool | None:
    """Of classes, leave out what torch, kornia and Python add, and what kornia calls."""
    if what != "class":
        return None
    if isinstance(obj, Enum):
        return False
    if name in vars(int):
        return True
    function = getattr(obj, "__func__", getattr(obj, "fget", obj))
    if name in HOOKS or (callable(function) and not is_ours(function)):
        return True
    return None


def is_ours(function: Any) -> bool:
    """Whether its text stands in the package: kornia gives copies of its own our module's name."""
    return getattr(function, "__globals__", {}).get("__name__", "").startswith("uda_seg.")
