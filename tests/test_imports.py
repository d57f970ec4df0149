"""What importing a family loads, and what a family and a file list as their own."""

import ast
import inspect
import os
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import uda_seg

PACKAGE = Path(uda_seg.__file__).parent
TORCH_ALONE = ["batch_norm", "discriminators", "inference", "losses", "metrics", "pseudo_labels"]
FAMILIES = [*TORCH_ALONE, "datasets", "transforms", "models"]  # the more a family loads, the later
FILES = sorted(PACKAGE.glob("*/_[!_]*.py"))


# In one interpreter, as torch takes seconds: no earlier family may load what a later one must not.
ONE_BY_ONE = """
import sys
for family in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith("uda_seg")]:
        del sys.modules[name]
    __import__(f"uda_seg.{family}")
    print(*sys.modules)
"""


def fresh_interpreter(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


@cache
def loaded_by_each():
    """Modules that there are after importing each family."""
    *others, models = FAMILIES
    loaded = fresh_interpreter(ONE_BY_ONE, *others) + fresh_interpreter(ONE_BY_ONE, models)
    return dict(zip([*others, models], loaded, strict=True))


def test_the_families_are_all_there():
    assert sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")) == sorted(FAMILIES)


def test_the_package_alone_loads_no_family_and_no_torch():
    (loaded,) = fresh_interpreter("import uda_seg, sys; print(*sys.modules)")
    assert {name for name in loaded if name.startswith("uda_seg.")} == set()
    assert "torch" not in loaded


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_loads_no_other_family(family):
    families = {name.split(".")[1] for name in loaded_by_each()[family] if "uda_seg." in name}
    assert families == {family}


@pytest.mark.parametrize(
    ("family", "heavy"),
    [
        *(
            (each, {"timm", "kornia", "torchvision", "huggingface_hub", "PIL"})
            for each in TORCH_ALONE
        ),
        ("datasets", {"timm", "kornia", "torchvision", "huggingface_hub"}),
        ("transforms", {"timm", "torchvision", "huggingface_hub"}),
        ("models", {"kornia"}),
    ],
)
def test_a_family_loads_no_dependency_of_another(family, heavy):
    assert loaded_by_each()[family] & heavy == set()


@pytest.mark.parametrize("family", FAMILIES[:-1])  # timm loads it
def test_a_family_does_not_load_torchs_compiler(family):
    assert "torch._dynamo" not in loaded_by_each()[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_lists_what_it_imports_and_nothing_else(family):
    source = (PACKAGE / family / "__init__.py").read_text()
    imported = [
        alias.asname or alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(import_module(f"uda_seg.{family}").__all__) == sorted(imported)


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_file_lists_its_functions_and_classes(path):
    module = import_module(f"uda_seg.{path.parent.name}.{path.stem}")
    defined = {
        name
        for name, member in vars(module).items()
        if getattr(member, "__module__", None) == module.__name__
        and (inspect.isclass(member) or inspect.isfunction(member))
        and not name.startswith("_")
    }
    assert defined <= set(module.__all__)
    assert set(module.__all__) <= set(vars(module))
