"""BiSeNet over ResNet-18 in plain torch, under the module names of the public checkpoints."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


def unit(inputs, outputs, kernel, stride=1):
    """Convolution, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return named(conv=convolution, bn=nn.BatchNorm2d(outputs), relu=nn.ReLU())


def named(**modules):
    return nn.Sequential(OrderedDict(modules))


def classifier(inputs, middle, classes):
    return named(conv=unit(inputs, middle, 3), conv_out=nn.Conv2d(middle, classes, 1))


class Residual(nn.Module):
    """He et al., CVPR 2016, the basic block."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1, _ = unit(inputs, outputs, 3, stride)
        self.conv2, self.bn2, _ = unit(outputs, outputs, 3)
        self.downsample = nn.Sequential()
        if (inputs, stride) != (outputs, 1):
            self.downsample = nn.Sequential(*unit(inputs, outputs, 1, stride)[:2])

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet18(nn.Module):
    """Features of stride 16 and 32."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, _ = unit(3, 64, 7, 2)
        for number, (inputs, outputs) in enumerate(
            [(64, 64), (64, 128), (128, 256), (256, 512)], 1
        ):
            first = Residual(inputs, outputs, stride=1 if number == 1 else 2)
            layer = nn.Sequential(first, Residual(outputs, outputs, stride=1))
            self.add_module(f"layer{number}", layer)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        stride16 = self.layer3(self.layer2(self.layer1(x)))
        return stride16, self.layer4(stride16)


class Refine(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.conv = unit(inputs, 128, 3)
        self.conv_atten, self.bn_atten, _ = unit(128, 128, 1)

    def forward(self, x):
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(F.adaptive_avg_pool2d(x, 1))))


class ContextPath(nn.Module):
    """Context at stride 8 and 16."""

    def __init__(self):
        super().__init__()
        self.resnet = ResNet18()
        self.conv_avg = unit(512, 128, 1)
        self.arm32, self.arm16 = Refine(512), Refine(256)
        self.conv_head32, self.conv_head16 = unit(128, 128, 3), unit(128, 128, 3)

    def forward(self, images, stride8_size):
        stride16, stride32 = self.resnet(images)
        context = self.arm32(stride32) + self.conv_avg(F.adaptive_avg_pool2d(stride32, 1))
        context16 = F.interpolate(context, stride16.shape[2:], mode="nearest")
        context16 = self.conv_head32(context16)
        context = self.arm16(stride16) + context16
        return self.conv_head16(F.interpolate(context, stride8_size, mode="nearest")), context16


class Fusion(nn.Module):
    def __init__(self):
        super().__init__()
        self.convblk = unit(256, 256, 1)
        self.conv, self.bn, _ = unit(256, 256, 1)

    def forward(self, detail, context):
        x = self.convblk(torch.cat([detail, context], 1))
        return x + x * torch.sigmoid(self.bn(self.conv(F.adaptive_avg_pool2d(x, 1))))


class OracleBiSeNet(nn.Module):
    """Logits at full size, of the fusion and of the context at stride 8 and 16.

    The layers are defined in the library's order, so that weights can be copied one by one.
    """

    def __init__(self, classes):
        super().__init__()
        self.sp = named(
            conv1=unit(3, 64, 7, 2),
            conv2=unit(64, 64, 3, 2),
            conv3=unit(64, 64, 3, 2),
            conv_out=unit(64, 128, 1),
        )
        self.cp = ContextPath()
        self.ffm = Fusion()
        self.conv_out = classifier(256, 256, classes)
        self.conv_out16, self.conv_out32 = (
            classifier(128, 64, classes),
            classifier(128, 64, classes),
        )

    def forward(self, images):
        detail = self.sp(images)
        context8, context16 = self.cp(images, detail.shape[2:])
        fused = self.ffm(detail, context8)
        return [
            F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)
            for logits in (
                self.conv_out(fused),
                self.conv_out16(context8),
                self.conv_out32(context16),
            )
        ]
