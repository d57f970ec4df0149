"""Operators that know their own gradient, for autograd, torch.compile and torch.func alike."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

__all__ = ["differentiable"]


def differentiable(forward: Any, backward: Any, twice: str) -> Callable[..., tuple[Tensor, ...]]:
    """Give an operator the gradient of its first input, and a way through every transform.

    Tensors have their batch on the second axis, where ``vmap`` adds its own.

    Args:
        forward: a custom operator of tensors, then settings; gives the value and what backward
            needs.
        backward: one of the value's gradient, those tensors, what was kept, and the settings.
        twice: what a second derivative is told.
    """

    def differentiate(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        result = backward(gradient, *ctx.saved_tensors, *ctx.settings)
        return result, *[None] * ctx.constants

    forward.register_autograd(differentiate, setup_context=_remember)
    _register_vmap(forward, backward)
    # torch.func cannot transform what register_autograd makes; torch.compile traces nothing else
    # well.
    function = _function(forward, backward, twice)

    def apply(*inputs: Any) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = (
            forward(*inputs) if torch.compiler.is_compiling() else function.apply(*inputs)
        )
        return outputs

    return apply


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    tensors = [each for each in inputs if isinstance(each, Tensor)]
    ctx.settings, ctx.constants = inputs[len(tensors) :], len(inputs) - 1
    ctx.save_for_backward(*tensors, *output[1:])


def _function(forward: Any, backward: Any, twice: str) -> Any:
    """The same as a ``torch.autograd.Function``."""

    class Gradient(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return backward(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            """Keep nothing."""

        @staticmethod
        def backward(_ctx: Any, _gradient: Tensor) -> None:
            raise RuntimeError(twice)

    class Value(torch.autograd.Function):
        generate_vmap_rule = True
        setup_context = staticmethod(_remember)

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return forward(*inputs)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
            result = Gradient.apply(gradient, *ctx.saved_tensors, *ctx.settings)
            return result, *[None] * ctx.constants

    return Value


def _register_vmap(forward: Any, backward: Any) -> None:
    """Let a mapped axis join the batch, and leave it again."""

    @forward.register_vmap  # type: ignore[untyped-decorator]
    def _(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        outputs = forward(*_joined(info.batch_size, in_dims, inputs))
        return tuple(_apart(info.batch_size, each) for each in outputs), (0,) * len(outputs)

    @backward.register_vmap  # type: ignore[untyped-decorator]
    def _(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _apart(info.batch_size, backward(*_joined(info.batch_size, in_dims, inputs))), 0


def _joined(size: int, in_dims: tuple[int | None, ...], inputs: tuple[Any, ...]) -> Iterator[Any]:
    """Tensors in which the mapped axis has joined the batch, and what else there is."""
    for value, axis in zip(inputs, in_dims, strict=True):
        if not isinstance(value, Tensor):
            yield value
        elif axis is None:
            yield repeat(value, "h b ... -> h (v b) ...", v=size)
        else:
            yield rearrange(value.movedim(axis, 0), "v h b ... -> h (v b) ...")


def _apart(size: int, tensor: Tensor) -> Tensor:
    return rearrange(tensor, "h (v b) ... -> v h b ...", v=size)
