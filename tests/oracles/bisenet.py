"""BiSeNet over ResNet-18 in plain torch, in the order of the papers' own figures."""

import torch
import torch.nn.functional as F
from torch import nn


def unit(inputs, outputs, kernel, stride=1):
    """Convolution, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def gate(channels):
    """Channel weights out of the global mean."""
    convolution = nn.Conv2d(channels, channels, 1, bias=False)
    norm = nn.BatchNorm2d(channels)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), convolution, norm, nn.Sigmoid())


def classifier(inputs, middle, classes):
    return nn.Sequential(*unit(inputs, middle, 3), nn.Conv2d(middle, classes, 1))


class Residual(nn.Module):
    """He et al., CVPR 2016, the basic block."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        first, second = unit(inputs, outputs, 3, stride), unit(outputs, outputs, 3)
        self.body = nn.Sequential(*first, *second[:2])
        self.shortcut = nn.Sequential()
        if (inputs, stride) != (outputs, 1):
            self.shortcut = unit(inputs, outputs, 1, stride)[:2]

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def residuals(inputs, outputs, stride):
    return nn.Sequential(Residual(inputs, outputs, stride), Residual(outputs, outputs, 1))


class Refine(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.to_128 = unit(inputs, 128, 3)
        self.gate = gate(128)

    def forward(self, x):
        x = self.to_128(x)
        return x * self.gate(x)


class OracleBiSeNet(nn.Module):
    """Logits at stride 8 of the fusion and of the context at stride 8 and 16, at full size.

    The layers are defined in the library's order, so that weights can be copied one by one.
    """

    def __init__(self, classes):
        super().__init__()
        self.spatial = nn.Sequential(
            unit(3, 64, 7, 2), unit(64, 64, 3, 2), unit(64, 64, 3, 2), unit(64, 128, 1)
        )
        self.stem = nn.Sequential(*unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.to_stride8 = nn.Sequential(residuals(64, 64, 1), residuals(64, 128, 2))
        self.to_stride16 = residuals(128, 256, 2)
        self.to_stride32 = residuals(256, 512, 2)
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), *unit(512, 128, 1))
        self.refine32, self.refine16 = Refine(512), Refine(256)
        self.smooth32, self.smooth16 = unit(128, 128, 3), unit(128, 128, 3)
        self.fuse = unit(256, 256, 1)
        self.fuse_gate = gate(256)
        self.main = classifier(256, 256, classes)
        self.deep8, self.deep16 = classifier(128, 64, classes), classifier(128, 64, classes)

    def forward(self, images):
        detail = self.spatial(images)
        stride16 = self.to_stride16(self.to_stride8(self.stem(images)))
        stride32 = self.to_stride32(stride16)

        context32 = self.refine32(stride32) + self.tail(stride32)
        context16 = F.interpolate(context32, stride16.shape[2:], mode="nearest")
        context16 = self.smooth32(context16)
        context8 = self.refine16(stride16) + context16
        context8 = self.smooth16(F.interpolate(context8, detail.shape[2:], mode="nearest"))

        fused = self.fuse(torch.cat([detail, context8], 1))
        fused = fused + fused * self.fuse_gate(fused)
        return [
            F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)
            for logits in (self.main(fused), self.deep8(context8), self.deep16(context16))
        ]
