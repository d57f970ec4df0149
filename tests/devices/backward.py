"""``loss.backward()`` without torch's engine, which asks for the streams of a real GPU."""

import torch


@torch.no_grad()
def backpropagate(loss):
    """Call the nodes of the graph one by one, the last that was made first."""
    pending = {loss.grad_fn: {0: torch.ones_like(loss)}}
    while pending:
        node = max(pending, key=lambda node: node._sequence_nr())  # that of a leaf is the greatest
        gradients = pending.pop(node)
        if hasattr(node, "variable"):
            leaf, (gradient,) = node.variable, gradients.values()
            leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
            continue
        results = _call(node, [gradients.get(place) for place in range(len(node._input_metadata))])
        children = [edge for edge in node.next_functions if edge[0] is not None]
        for (child, place), gradient in zip(children, results, strict=True):
            if gradient is not None:
                gradient = _fit(gradient, child._input_metadata[place])
                others = pending.setdefault(child, {})
                others[place] = gradient + others[place] if place in others else gradient


def _call(node, gradients):
    """What the inputs that want a gradient get."""
    ours = isinstance(node, torch.autograd.function.BackwardCFunction)  # of a class
    results = node.apply(*gradients) if ours else node(*gradients)
    results = results if isinstance(results, tuple) else (results,)
    wanted = (
        node.needs_input_grad if ours else [child is not None for child, _ in node.next_functions]
    )
    return [result for result, want in zip(results, wanted, strict=True) if want]


def _fit(gradient, forward):
    """To the shape and type of the forward pass, as the engine does, but to no other device."""
    assert gradient.device == forward.device
    return gradient.sum_to_size(tuple(forward.shape)).to(forward.dtype)
