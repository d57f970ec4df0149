"""Saving the arguments of a network, or of a subclass, in config.json, and loading them."""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import numpy as np
from huggingface_hub import PyTorchModelHubMixin

__all__ = ["HubMixin", "require_source", "weights_come_later"]

Coders = Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]

_loading: ContextVar[bool] = ContextVar("_loading", default=False)
_given: ContextVar[frozenset[str]] = ContextVar("_given", default=frozenset())
_ADDRESS = re.compile(r"[a-z][\w+.-]+:\S", re.IGNORECASE)  # such as hf-hub:NAME, local-dir:PATH
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def weights_come_later() -> bool:
    """Whether the network that is being built will get all its weights from its saved file."""
    return _loading.get()


def require_source(source: str) -> None:
    """Raise an error for a missing folder, or for a folder with a broken config.

    The hub is not contacted if the disk can tell.
    """
    path = Path(source)
    if not path.is_dir():
        if path.exists() or path.parent.is_dir() or not _REPOSITORY.fullmatch(source):
            found = "which is a file" if path.exists() else "and there is no such folder"
            raise FileNotFoundError(
                "expected a folder that save_pretrained wrote, or a repository of the Hugging Face "
                f"hub such as user/name, got {source}, {found}"
            )
        return
    for file in (path / "model.safetensors", path / "config.json"):
        if file.exists() and not file.is_file():
            raise FileNotFoundError(f"expected {file} to be a file, got something else")
    if not file.exists():
        return
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError(f"a {type(config).__name__}")
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or not a mapping
        raise ValueError(
            f"expected {file} to hold a network's arguments in JSON, got something else: {error}"
        ) from error


def _refuse_addresses(name: str, value: Any) -> None:
    """Raise an error for a saved argument that would load something from elsewhere."""
    for text in filter(_ADDRESS.match, _strings(value)):
        raise ValueError(
            f"expected a saved {name} without an address, got {text!r}; if you trust it, pass it "
            f"yourself: from_pretrained(..., {name}=...)"
        )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(each)


class HubMixin(PyTorchModelHubMixin):
    """huggingface_hub's mixin, which also works for subclasses with other arguments."""

    def __init_subclass__(cls, *, coders: Coders | None = None, **kwargs: Any) -> None:
        integers = {np.integer: (int, int)}  # the config would leave out numpy integers
        super().__init_subclass__(coders={**integers, **(coders or {})}, **kwargs)
        above = super(cls, cls)._hub_mixin_init_parameters
        named: dict[str, inspect.Parameter] = {}
        for name, parameter in cls._hub_mixin_init_parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:  # passed on to the parent class
                named |= dict(list(above.items())[1:])  # without self
            else:
                named[name] = parameter
        cls._hub_mixin_init_parameters = named

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        token = _given.set(frozenset(kwargs))
        try:
            network: Self = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        finally:
            _given.reset(token)
        return network

    @classmethod
    def _from_pretrained(cls, *, config: Any = None, **kwargs: Any) -> Self:
        for name in cls._hub_mixin_init_parameters.keys() & kwargs.keys() - _given.get():
            _refuse_addresses(name, kwargs[name])
        arguments = set(list(inspect.signature(cls.__init__).parameters)[1:])
        if config is not None and "config" in arguments:
            kwargs["config"] = config
        if config is None and arguments and not arguments & kwargs.keys():
            raise FileNotFoundError(f"expected a config.json in {kwargs['model_id']!r}, found none")
        token = _loading.set(True)
        try:
            # All weights come from the file, so none may be missing.
            network: Self = super()._from_pretrained(**{"strict": True, **kwargs})
        finally:
            _loading.reset(token)
        return network
