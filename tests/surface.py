"""The public names of all families with their signatures, as text: what public_api.txt holds.

python tests/surface.py writes that file, for a change that is meant.
"""

import inspect
from collections.abc import Iterator
from enum import EnumType
from importlib import import_module
from pathlib import Path
from types import FunctionType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, Unpack, get_args, get_origin, get_type_hints

import uda_seg

FILE = Path(__file__).with_name("public_api.txt")
PACKAGE = Path(uda_seg.__file__).parent
FAMILIES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
HOOKS = {
    "apply_transform",
    "generate_parameters",
    "transform_tensor",
}  # called by kornia, not by users


class PublicName(NamedTuple):
    name: str
    """Such as "metrics.MeanIoU.update"."""
    member: Any
    owner: type | None
    """The class of a method or property."""

    @property
    def call(self) -> FunctionType | None:
        """What runs on a call, of a property on access, and nothing for a table of constants."""
        member = self.member.__init__ if inspect.isclass(self.member) else self.member
        if isinstance(self.member, EnumType):
            return None
        if isinstance(member, property):
            member = member.fget
        member = getattr(member, "__func__", member)
        return inspect.unwrap(member) if isinstance(member, FunctionType) else None


def public_names() -> Iterator[PublicName]:
    """What the families list, and what their classes themselves define."""
    for family in FAMILIES:
        module = import_module(f"uda_seg.{family}")
        for name in module.__all__:
            member = getattr(module, name)
            yield PublicName(f"{family}.{name}", member, None)
            if inspect.isclass(member) and not isinstance(member, EnumType):
                for attribute, value in vars(member).items():
                    method = PublicName(f"{family}.{name}.{attribute}", value, member)
                    ours = method.call and method.call.__module__.startswith("uda_seg.")
                    if ours and not attribute.startswith("_") and attribute not in HOOKS:
                        yield method


def surface() -> str:
    """One line a name, and an empty line between the families."""
    lines = dict.fromkeys(FAMILIES, "")
    for public in public_names():
        lines[public.name.split(".")[0]] += f"{public.name}{_what(public)}\n"
    return "\n".join(lines.values())


def _public_bases(member: type) -> list[type]:
    return [
        each
        for base in member.__bases__
        for each in (_public_bases(base) if base.__name__.startswith("_") else [base])
    ]


def _what(public: PublicName) -> str:
    member = public.member
    if isinstance(member, property):
        return f": {_spell(member.fget.__annotations__['return'])}"
    if inspect.isclass(member):
        bases = ", ".join(base.__name__ for base in _public_bases(member) if base is not object)
        kind = f": {bases}" if bases else ""
        if isinstance(member, EnumType):
            return f"{kind} of " + ", ".join(f"{each.name} = {each.value}" for each in member)
        return f"({_parameters(inspect.signature(member))}){kind}"
    if public.call is None:
        return f": {type(member).__name__}"
    signature = inspect.signature(public.call)
    words = _parameters(signature, without_first=public.owner is not None)
    return f"({words}) -> {_spell(signature.return_annotation)}"


def _parameters(signature: inspect.Signature, *, without_first: bool = False) -> str:
    words: list[str] = []
    for parameter in list(signature.parameters.values())[without_first:]:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words += _parameter(parameter)
    return ", ".join(words)


def _parameter(parameter: inspect.Parameter) -> list[str]:
    annotation, default = parameter.annotation, parameter.default
    if get_origin(annotation) is Unpack:
        (options,) = get_args(annotation)
        return [f"{name}: {_spell(kind)} = ..." for name, kind in get_type_hints(options).items()]
    word = str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
    if annotation is not parameter.empty:
        word += f": {_spell(annotation)}"
    if default is parameter.empty:
        return [word]
    if callable(default):
        return [f"{word} = {default.__name__}"]
    return [f"{word} = {'{...}' if isinstance(default, dict) else repr(default)}"]


def _spell(annotation: Any) -> str:
    """In the same words under every version of Python."""
    if isinstance(annotation, list):  # the arguments of a Callable
        return f"[{', '.join(map(_spell, annotation))}]"
    if annotation in (None, NoneType):
        return "None"
    if annotation is ...:
        return "..."
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " | ".join(map(_spell, arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is not None:
        return f"{_spell(origin)}[{', '.join(map(_spell, arguments)) or '()'}]"
    return str(annotation.__name__)


if __name__ == "__main__":
    FILE.write_text(surface())
