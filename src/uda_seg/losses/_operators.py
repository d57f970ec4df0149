"""Custom operators with a gradient, for autograd, torch.compile and torch.func."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

__all__ = ["differentiable"]


def differentiable(forward: Any, backward: Any, twice: str) -> Callable[..., tuple[Tensor, ...]]:
    """Register the gradient of an operator's first input, for autograd, compile and torch.func.

    Tensors have their batch on the second axis; an axis that ``vmap`` maps joins it there.

    Args:
        forward: custom operator on tensors, then settings. It returns the value, then tensors that
            backward needs.
        backward: custom operator on the gradient of the value, the input tensors, the tensors that
            forward returned, and the settings.
        twice: error message for a second derivative.
    """

    def differentiate(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        result = backward(gradient, *ctx.saved_tensors, *ctx.settings)
        return result, *[None] * ctx.constants

    forward.register_autograd(differentiate, setup_context=_remember)
    _register_vmap(forward, backward)
    # torch.func cannot transform operators of register_autograd, and torch.compile traces only
    # those well.
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
    """The same operator as a ``torch.autograd.Function``."""

    class Gradient(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return backward(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            """Keep nothing, since there is no second derivative."""

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
    """Support vmap: merge the mapped axis into the batch, and split it off again."""

    @forward.register_vmap  # type: ignore[untyped-decorator]
    def _(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        outputs = forward(*_joined(info.batch_size, in_dims, inputs))
        return tuple(_apart(info.batch_size, each) for each in outputs), (0,) * len(outputs)

    @backward.register_vmap  # type: ignore[untyped-decorator]
    def _(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _apart(info.batch_size, backward(*_joined(info.batch_size, in_dims, inputs))), 0


def _joined(size: int, in_dims: tuple[int | None, ...], inputs: tuple[Any, ...]) -> Iterator[Any]:
    """Tensors with the mapped axis merged into the batch; other inputs unchanged."""
    for value, axis in zip(inputs, in_dims, strict=True):
        if not isinstance(value, Tensor):
            yield value
        elif axis is None:
            yield repeat(value, "h b ... -> h (v b) ...", v=size)
        else:
            yield rearrange(value.movedim(axis, 0), "v h b ... -> h (v b) ...")


def _apart(size: int, tensor: Tensor) -> Tensor:
    return rearrange(tensor, "h (v b) ... -> v h b ...", v=size)
