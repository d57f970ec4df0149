"""The scripts of examples/, by their path: an installed package may have the same name."""

import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location

from published import ROOT


@cache
def load_script(name):
    """The module of ``examples/NAME.py``, once."""
    spec = spec_from_file_location(f"{name}_script", ROOT / "examples" / f"{name}.py")
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
