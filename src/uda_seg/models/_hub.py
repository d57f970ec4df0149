"""How the arguments of a network, and of its subclasses, get into config.json and out again."""

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Self

import numpy as np
from huggingface_hub import PyTorchModelHubMixin

__all__ = ["HubMixin", "weights_come_later"]

Coders = Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]

_loading: ContextVar[bool] = ContextVar("_loading", default=False)


def weights_come_later() -> bool:
    """Whether the network that is being built gets all weights from a file of its own."""
    return _loading.get()


class HubMixin(PyTorchModelHubMixin):
    """huggingface_hub's mixin, for subclasses too, whatever their arguments are."""

    def __init_subclass__(cls, *, coders: Coders | None = None, **kwargs: Any) -> None:
        integers = {np.integer: (int, int)}  # others than Python's are left out of the config
        super().__init_subclass__(coders={**integers, **(coders or {})}, **kwargs)
        above = super(cls, cls)._hub_mixin_init_parameters
        named: dict[str, inspect.Parameter] = {}
        for name, parameter in cls._hub_mixin_init_parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:  # goes on to the class above
                named |= dict(list(above.items())[1:])  # but for self
            else:
                named[name] = parameter
        cls._hub_mixin_init_parameters = named

    @classmethod
    def _from_pretrained(cls, *, config: Any = None, **kwargs: Any) -> Self:
        arguments = set(list(inspect.signature(cls.__init__).parameters)[1:])
        if config is not None and "config" in arguments:
            kwargs["config"] = config
        if config is None and arguments and not arguments & kwargs.keys():
            raise FileNotFoundError(f"expected a config.json in {kwargs['model_id']!r}, found none")
        token = _loading.set(True)
        try:
            # All weights come from the file: none may lack.
            network: Self = super()._from_pretrained(**{"strict": True, **kwargs})
        finally:
            _loading.reset(token)
        return network
