"""The public names: pinned with their signatures, documented with all that a caller needs."""

import ast
import difflib
import inspect
import re
from functools import cache
from importlib import import_module
from itertools import pairwise
from textwrap import dedent

import pytest
from torch import Tensor

from surface import FAMILIES, FILE, PACKAGE, public_names, surface

NAMES = {public.name: public for public in public_names()}
CALLS = {name: public for name, public in NAMES.items() if public.call}
TUPLES = [name for name, public in NAMES.items() if hasattr(public.member, "_fields")]
CONSTANTS = [n for n, public in NAMES.items() if not (public.owner or callable(public.member))]
CANNOT_HAPPEN = {  # what a function that they call may raise, but not with their arguments
    "metrics.MeanIoU": {"TypeError"},
    "metrics.MeanIoU.reset": {"TypeError", "ValueError"},
    "models.convert_bisenetv1_state_dict": {"FileNotFoundError"},
}


def sections(member):
    """The docstring's parts by their titles."""
    parts = re.split(r"^([A-Z]\w+):\n", inspect.cleandoc(member.__doc__ or ""), flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))


def entries(member, title):
    """What a section says of each name, such as of each argument."""
    section = sections(member).get(title, "")
    parts = re.split(r"^ {4}\**(\w+):", section, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def parameters(public):
    unbound = public.owner or inspect.isclass(public.member)
    return list(inspect.signature(public.call).parameters.values())[bool(unbound) :]


@cache
def errors(function, owner, callers=()):
    """The names of the errors that a function raises, itself or through others of ours."""
    raised = set()
    for node in ast.walk(ast.parse(dedent(inspect.getsource(function)))):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=error))):
                raised.add(error)
                continue
            case ast.Call(func=ast.Name(id=name)):
                called, its_owner = function.__globals__.get(name), None
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)):
                called, its_owner = getattr(owner, name, None), owner
            case _:
                continue
        if inspect.isclass(called):
            called, its_owner = called.__init__, called
        ours = inspect.isfunction(called) and called.__module__.startswith("uda_seg.")
        if ours and called not in callers:
            raised |= errors(called, its_owner, (*callers, called))
    return raised


def documented_errors(member):
    """Those of the section, and of what the docstring names for its errors."""
    elsewhere = re.search(r"errors, are\s+those of\s+:class:`(\w+)`", member.__doc__ or "")
    own = set(entries(member, "Raises"))
    return own | documented_errors(NAMES[f"datasets.{elsewhere[1]}"].member) if elsewhere else own


def documented_assignments(body):
    """The names that are assigned right above a string, which is their docstring."""
    for statements in pairwise(body):
        match statements:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str())),
            ):
                yield name


def test_the_surface_is_the_pinned_one():
    pinned, present = FILE.read_text(), surface()
    change = "\n".join(difflib.unified_diff(pinned.splitlines(), present.splitlines(), n=0))
    advice = "if that is meant, run `python tests/surface.py` and tell users in CHANGELOG.md"
    assert present == pinned, f"public names or signatures have changed; {advice}\n{change}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_says_what_it_is_for(family):
    assert import_module(f"uda_seg.{family}").__doc__


@pytest.mark.parametrize("name", CALLS)
def test_a_docstring_says_what_it_does_in_its_first_line(name):
    first, *rest = (inspect.cleandoc(NAMES[name].member.__doc__ or "")).splitlines()
    assert first.endswith((".", ":", "?"))
    assert not any(rest[:1])


@pytest.mark.parametrize("name", CALLS)
def test_a_docstring_says_what_each_argument_is_and_the_shape_of_tensors(name):
    public = CALLS[name]
    described = entries(public.member, "Args")
    assert list(described) == [parameter.name for parameter in parameters(public)]
    for parameter in parameters(public):
        if parameter.annotation is Tensor:
            assert re.search(r"``\(|shape", described[parameter.name])


@pytest.mark.parametrize("name", CALLS)
def test_a_docstring_says_what_is_returned_and_the_shape_of_a_tensor(name):
    returned = inspect.signature(CALLS[name].call).return_annotation
    said = sections(CALLS[name].member).get("Returns", "")
    assert bool(said) == (returned is not None)
    if returned is Tensor:
        assert re.search(r"``\(|[Ss]calar", said)


@pytest.mark.parametrize("name", CALLS)
def test_a_docstring_names_every_error(name):
    public = CALLS[name]
    owner = public.member if inspect.isclass(public.member) else public.owner
    raised = errors(public.call, owner) - CANNOT_HAPPEN.get(name, set())
    assert raised <= documented_errors(public.member)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CONSTANTS])
def test_an_example_shows_each_name_at_work(name):
    public = NAMES[name]
    example = sections(public.owner or public.member).get("Example", "")
    made_elsewhere = name in TUPLES or name.endswith(".forward")
    at_work = "" if made_elsewhere else rf"\b{name.split('.')[-1]}\b"
    assert re.search(rf"^    (?:>>>|\.\.\.) .*{at_work}", example, re.MULTILINE)


@pytest.mark.parametrize("name", TUPLES)
def test_each_field_of_a_named_tuple_has_a_docstring(name):
    (tuple_class,) = ast.parse(inspect.getsource(NAMES[name].member)).body
    assert tuple(documented_assignments(tuple_class.body)) == NAMES[name].member._fields


@pytest.mark.parametrize("name", CONSTANTS)
def test_each_constant_has_a_docstring_and_an_example(name):
    family, constant = name.split(".")
    module = import_module(f"uda_seg.{family}")
    files = [ast.parse(path.read_text()) for path in (PACKAGE / family).glob("_*.py")]
    assert any(constant in documented_assignments(file.body) for file in files)
    assert any(constant in sections(each).get("Example", "") for each in vars(module).values())
