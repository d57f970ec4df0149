"""TensorFlow's padding in a form that torch.export and torch.compile can follow."""

import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

__all__ = ["SamePaddedConv2d", "follow_same_padding"]


class SamePaddedConv2d(Conv2dSame):
    """timm's convolution with TensorFlow's padding, which depends on the input's size.

    The same values, but in whole numbers: timm's quotients of floats, rounded and clipped, pile up
    over five strides into expressions that keep a symbolic trace busy for over a minute.
    """

    def forward(self, x: Tensor) -> Tensor:
        height, width = (
            _padding(*each)
            for each in zip(x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        )
        padded = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def follow_same_padding(backbone: nn.Module) -> None:
    """Turn each of timm's convolutions of that padding into ours, in place, with its weights."""
    for module in backbone.modules():
        if type(module) is Conv2dSame:
            module.__class__ = SamePaddedConv2d


def _padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    reach = dilation * (kernel - 1) + 1
    padding = (size + stride - 1) // stride * stride - stride + reach - size
    return padding if reach >= stride else max(padding, 0)
