from collections.abc import Iterator, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch.nn.functional as F
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from uda_seg.models._backbone import create_backbone, extract_features, normalization
from uda_seg.models._blocks import ContextPath, FeatureFusion, Head, SpatialPath
from uda_seg.models._hub import HubMixin, require_source, weights_come_later
from uda_seg.models._inputs import Size, check_images, check_size
from uda_seg.models._model_card import MODEL_CARD
from uda_seg.models._same_padding import follow_same_padding

__all__ = ["BiSeNet", "BiSeNetOutput"]


class BiSeNetOutput(NamedTuple):
    """Output of :class:`BiSeNet`, in training and in evaluation mode.

    Example:
        >>> import torch
        >>> network = BiSeNet(19, "test_resnet", pretrained_backbone=False).eval()
        >>> network(torch.rand(1, 3, 64, 96)).auxiliary
        ()
    """

    logits: Tensor
    """``(B, K, H, W)`` class logits."""
    auxiliary: tuple[Tensor, Tensor] | tuple[()]
    """``(B, K, H, W)`` logits from the context path at stride 8 and 16; ``()`` in evaluation."""


class BiSeNet(
    nn.Module,
    HubMixin,
    library_name="uda-seg",
    pipeline_tag="image-segmentation",
    model_card_template=MODEL_CARD,
):
    """Bilateral segmentation network (BiSeNet) on any timm backbone with strides 16 and 32.

    A shallow spatial path keeps detail at stride 8. A context path refines the features of the
    backbone from coarse to fine. A fusion module combines both. This is the variant with public
    Cityscapes weights: the attention of the fusion module has one convolution, and heads are 256
    and 64 channels wide. With ResNet-18 and 19 classes, it has 13,425,721 parameters. Evaluation
    uses 13,275,539 of them.

    ``save_pretrained(folder)`` writes safetensors and a config. ``from_pretrained(folder)`` reads
    them without an internet connection, and fetches no backbone weights.

    Reference: Yu et al., *BiSeNet: Bilateral Segmentation Network for Real-time Semantic
    Segmentation*, ECCV 2018.

    Args:
        num_classes: K, the number of classes.
        backbone: name of a timm model with features of stride 16 and 32. If it only takes certain
            image sizes, images are padded for the backbone alone.
        pretrained_backbone: start from timm's ImageNet weights.
        in_channels: channels of the images.
        backbone_kwargs: arguments for ``timm.create_model``, such as ``img_size`` or
            ``pretrained_cfg_overlay``. JSON must be able to hold them.

    Raises:
        ValueError: if ``num_classes`` or ``in_channels`` is not a positive integer, the backbone is
            unknown or has other strides, or ``backbone_kwargs`` do not fit timm or JSON. These
            errors come before any weights are fetched. Also if pretrained weights do not fit.
        FileNotFoundError: if pretrained weights can neither be found nor fetched.

    Example:
        >>> import torch
        >>> network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
        >>> logits, auxiliary = network(torch.rand(2, 3, 64, 96))
        >>> logits.shape, len(auxiliary)
        (torch.Size([2, 19, 64, 96]), 2)
        >>> backbone, heads = network.backbone_parameters(), network.head_parameters()
        >>> rates = [{"params": backbone, "lr": 0.001}, {"params": heads, "lr": 0.01}]
        >>> optimizer = torch.optim.SGD(rates, momentum=0.9)
        >>> mean, std = network.normalization
        >>> mean
        (0.5, 0.5, 0.5)
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network.save_pretrained(folder)
        ...     network = BiSeNet.from_pretrained(folder)
        Loading weights from local directory
        >>> network.training
        False
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet18",
        *,
        pretrained_backbone: bool = True,
        in_channels: int = 3,
        backbone_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        counts: tuple[Any, Any] = num_classes, in_channels
        if not all(isinstance(n, Integral) for n in counts) or min(counts) < 1:
            raise ValueError(
                "expected num_classes and in_channels to be integers of at least 1, "
                f"got {num_classes!r} and {in_channels!r}"
            )
        num_classes, in_channels = int(num_classes), int(in_channels)  # numpy integers to Python's
        self.in_channels = in_channels
        self.spatial_path = SpatialPath(in_channels)
        self.backbone = create_backbone(
            backbone,
            pretrained=pretrained_backbone and not weights_come_later(),
            in_channels=in_channels,
            kwargs=backbone_kwargs or {},
        )
        follow_same_padding(self.backbone)
        self.context_path = ContextPath(*self.backbone.feature_info.channels())  # type: ignore[union-attr, operator]
        self.fusion = FeatureFusion()
        self.head = Head(256, 256, num_classes)
        self.auxiliary_heads = nn.ModuleList(Head(128, 64, num_classes) for _ in range(2))
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith("backbone."):
                nn.init.kaiming_normal_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, *, size: Size | None = None) -> BiSeNetOutput:
        """Class logits of a batch of images.

        Args:
            images: ``(B, C, H, W)`` floating point, normalised by :attr:`normalization`, H and W
                of at least 32. Training with a batch of one works, except for an image of exactly
                32x32: there, the batch norm of most backbones has one value per channel and raises
                an error.
            size: height and width of the logits; by default the size of the images. For an exact
                evaluation, use the size of the ground truth. ``"native"`` skips the upsampling:
                logits are then at stride 8, and the second auxiliary logits at stride 16. Training
                is cheaper with these and a loss that accepts them, such as
                ``uda_seg.losses.bisenet_loss``.

        Returns:
            The logits and, in training mode, the auxiliary logits, all ``(B, K, *size)``.

        Raises:
            TypeError: if the images are not of a floating-point type.
            ValueError: if the images have another number of channels or are too small. If ``size``
                is neither two positive integers nor ``"native"``. If the backbone takes only one
                image size and the images have another.
        """
        check_images(images, self.in_channels)
        check_size(size)
        stride16, stride32 = extract_features(self.backbone, images)
        detail = self.spatial_path(images)
        context8, context16 = self.context_path(stride16, stride32, detail.shape[-2:])
        size = size or (images.shape[-2], images.shape[-1])
        logits = _resize(self.head(self.fusion(detail, context8)), size)
        if not self.training:
            return BiSeNetOutput(logits, ())
        first, second = self.auxiliary_heads
        auxiliary = (_resize(first(context8), size), _resize(second(context16), size))
        return BiSeNetOutput(logits, auxiliary)

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation that the backbone expects, for images in [0, 1].

        Returns:
            Two tuples with one number per channel.
        """
        return normalization(self.backbone, self.in_channels)

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the backbone, which usually start from pretrained weights.

        Returns:
            The parameters of the timm backbone.
        """
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """All other parameters, which start from random weights.

        Their learning rate is often ten times that of the backbone.

        Returns:
            All parameters but those of the backbone.
        """
        return (p for name, p in self.named_parameters() if not name.startswith("backbone."))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load a network that ``save_pretrained`` wrote, in evaluation mode.

        A saved argument must not be an address, such as ``"hf-hub:user/name"`` or
        ``"local-dir:path"``. If you trust it, pass it yourself.

        Args:
            pretrained_model_name_or_path: a folder, or a repository of the Hugging Face hub. If the
                folder or its parent exists, the hub is not contacted.
            **kwargs: arguments of the network, which replace the saved ones, and arguments of
                ``huggingface_hub.PyTorchModelHubMixin``, such as ``map_location``.

        Returns:
            The network with the saved weights; no other weights are fetched.

        Raises:
            FileNotFoundError: if there is no such folder or repository, or a file is missing.
            TypeError: if the network does not take the saved arguments, or needs others.
            ValueError: if a weight is missing, unknown or of another shape, a file is broken, or
                a saved argument is out of range or an address.
        """
        source = str(pretrained_model_name_or_path)
        require_source(source)
        try:
            network: Self = super().from_pretrained(source, **kwargs)
        except HFValidationError:
            raise FileNotFoundError(
                "expected a folder that save_pretrained wrote, or a repository of the Hugging Face "
                f"hub, got {source!r}, which is neither"
            ) from None
        except OSError as error:
            if Path(source).is_dir():
                raise
            raise FileNotFoundError(
                f"found no folder {source!r}, and no such repository of the Hugging Face hub: "
                f"{error}"
            ) from error
        except ValueError as error:
            raise ValueError(f"cannot build the network in {source!r}: {error}") from error
        except TypeError as error:
            raise TypeError(
                f"expected arguments in {source!r} that {cls.__name__} takes: {error}; use the "
                "class that was saved, and pass arguments that JSON cannot hold as name=value"
            ) from error
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(
                f"expected weights in {source!r} that this network can load: {error}; use the "
                "arguments as they were saved, and replace layers afterwards"
            ) from error
        return network.eval()  # older versions of the mixin do not do this for safetensors


def _resize(logits: Tensor, size: Size) -> Tensor:
    if isinstance(size, str):
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
