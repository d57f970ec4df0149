"""Operations of a network's convolutions, from their weights and the sizes of their outputs."""

import torch
from torch import nn


def count_operations(network, shape):
    """Multiply-adds and bias adds of one forward pass, with no arithmetic done."""
    multiply_adds = bias_adds = 0

    def add(convolution, _, output):
        nonlocal multiply_adds, bias_adds
        multiply_adds += output.numel() * convolution.weight[0].numel()
        bias_adds += output.numel() if convolution.bias is not None else 0

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    network.to("meta")(torch.empty(shape, device="meta"))
    return multiply_adds, bias_adds
