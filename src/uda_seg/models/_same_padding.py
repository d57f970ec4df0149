"""TensorFlow's padding in a form that torch.export and torch.compile can trace."""

import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

__all__ = ["SamePaddedConv2d", "follow_same_padding"]


class SamePaddedConv2d(Conv2dSame):
    """timm's convolution with TensorFlow's padding, which depends on the input's size.

    The values are the same, but the padding is computed in integers. timm rounds and clips
    quotients of floats. Over five strides, their expressions make a symbolic trace take over a
    minute.
    """

    def forward(self, x: Tensor) -> Tensor:
        height, width = (
            _padding(*each)
            for each in zip(x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        )
        padded = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def follow_same_padding(backbone: nn.Module) -> None:
    """Replace timm's convolutions with this padding by ours, in place; weights stay."""
    for module in backbone.modules():
        if type(module) is Conv2dSame:
            module.__class__ = SamePaddedConv2d


def _padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    reach = dilation * (kernel - 1) + 1
    padding = (size + stride - 1) // stride * stride - stride + reach - size
    return padding if reach >= stride else max(padding, 0)
