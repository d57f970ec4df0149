"""The parts of BiSeNet, in the variant with public Cityscapes weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "AttentionRefinement",
    "BatchNorm",
    "ChannelAttention",
    "ContextPath",
    "ConvBNReLU",
    "FeatureFusion",
    "Head",
    "SpatialPath",
]


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that can train with a single value per channel: a batch of one with a 1x1 map.

    Such a batch has no variance, so the running statistics are used.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class ConvBNReLU(nn.Sequential):
    """Convolution padded by half its kernel, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False
        )
        self.norm = BatchNorm(out_channels)
        self.relu = nn.ReLU(inplace=True)


class SpatialPath(nn.Sequential):
    """Detail at stride 8, 128 channels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            ConvBNReLU(in_channels, 64, 7, stride=2),
            ConvBNReLU(64, 64, 3, stride=2),
            ConvBNReLU(64, 64, 3, stride=2),
            ConvBNReLU(64, 128, 1),
        )


class ChannelAttention(nn.Module):
    """One weight in (0, 1) per channel, computed from the global means of the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = BatchNorm(channels)

    def forward(self, features: Tensor) -> Tensor:
        pooled = features.mean(dim=(2, 3), keepdim=True)
        weights: Tensor = self.norm(self.conv(pooled))
        return weights.sigmoid()


class AttentionRefinement(nn.Module):
    """Project backbone features to 128 channels, and weight them by channel attention."""

    def __init__(self, in_channels: int, out_channels: int = 128) -> None:
        super().__init__()
        self.project = ConvBNReLU(in_channels, out_channels, 3)
        self.attention = ChannelAttention(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        features = self.project(features)
        weights: Tensor = self.attention(features)
        return features * weights


class ContextPath(nn.Module):
    """Backbone features and their global mean, refined from coarse to fine."""

    def __init__(self, stride16_channels: int, stride32_channels: int) -> None:
        super().__init__()
        self.pool = ConvBNReLU(stride32_channels, 128, 1)
        self.refine32 = AttentionRefinement(stride32_channels)
        self.refine16 = AttentionRefinement(stride16_channels)
        self.smooth32 = ConvBNReLU(128, 128, 3)
        self.smooth16 = ConvBNReLU(128, 128, 3)

    def forward(
        self, stride16: Tensor, stride32: Tensor, stride8_size: torch.Size
    ) -> tuple[Tensor, Tensor]:
        """Context at stride 8 and at stride 16."""
        pooled = self.pool(stride32.mean(dim=(2, 3), keepdim=True))
        context = self.refine32(stride32) + pooled
        # Nearest, to the exact size of the finer level: a fixed factor fails on sizes such as 720.
        at16 = self.smooth32(F.interpolate(context, size=stride16.shape[-2:]))
        context = self.refine16(stride16) + at16
        at8 = self.smooth16(F.interpolate(context, size=stride8_size))
        return at8, at16


class FeatureFusion(nn.Module):
    """Fuse detail and context, then add the fused features weighted by channel attention.

    The attention has one 1x1 convolution, as in the public weights; the paper has two.
    """

    def __init__(self, in_channels: int = 256, out_channels: int = 256) -> None:
        super().__init__()
        self.project = ConvBNReLU(in_channels, out_channels, 1)
        self.attention = ChannelAttention(out_channels)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        fused: Tensor = self.project(torch.cat((detail, context), dim=1))
        weights: Tensor = self.attention(fused)
        return fused + fused * weights


class Head(nn.Sequential):
    """Class logits at the features' own size."""

    def __init__(self, in_channels: int, mid_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(in_channels, mid_channels, 3)
        self.classify = nn.Conv2d(mid_channels, num_classes, 1)
