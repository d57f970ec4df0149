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
FAMILIES = [
    "batch_norm",
    "datasets",
    "discriminators",
    "inference",
    "losses",
    "metrics",
    "models",
    "pseudo_labels",
    "transforms",
]
FILES = sorted(PACKAGE.glob("*/_[!_]*.py"))


@cache
def loaded_by(module):
    """Modules that a fresh interpreter has after one import."""
    code = f"import {module}, sys; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_families_are_all_there():
    assert sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")) == FAMILIES


def test_the_package_alone_loads_no_family_and_no_torch():
    loaded = loaded_by("uda_seg")
    assert {name for name in loaded if name.startswith("uda_seg.")} == set()
    assert "torch" not in loaded


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_loads_no_other_family(family):
    families = {name.split(".")[1] for name in loaded_by(f"uda_seg.{family}") if "uda_seg." in name}
    assert families == {family}


@pytest.mark.parametrize(
    ("family", "heavy"),
    [
        ("batch_norm", {"timm", "kornia", "torchvision", "huggingface_hub", "PIL"}),
        ("datasets", {"timm", "kornia", "torchvision", "huggingface_hub"}),
        ("discriminators", {"timm", "kornia", "torchvision", "huggingface_hub", "PIL"}),
        ("inference", {"timm", "kornia", "torchvision", "huggingface_hub", "PIL"}),
        ("losses", {"timm", "kornia", "torchvision", "huggingface_hub", "PIL"}),
        ("metrics", {"timm", "kornia", "torchvision", "huggingface_hub", "PIL"}),
        ("models", {"kornia"}),
        ("pseudo_labels", {"timm", "kornia", "torchvision", "huggingface_hub", "PIL"}),
        ("transforms", {"timm", "torchvision", "huggingface_hub"}),
    ],
)
def test_a_family_loads_no_dependency_of_another(family, heavy):
    assert loaded_by(f"uda_seg.{family}") & heavy == set()


@pytest.mark.parametrize("family", sorted({*FAMILIES} - {"models"}))  # timm loads it
def test_a_family_does_not_load_torchs_compiler(family):
    assert "torch._dynamo" not in loaded_by(f"uda_seg.{family}")


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
