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
    """What :class:`BiSeNet` returns, in training and in evaluation.

    Example:
        >>> import torch
        >>> network = BiSeNet(19, "test_resnet", pretrained_backbone=False).eval()
        >>> network(torch.rand(1, 3, 64, 96)).auxiliary
        ()
    """

    logits: Tensor
    """``(B, K, H, W)`` class logits."""
    auxiliary: tuple[Tensor, Tensor] | tuple[()]
    """While training, ``(B, K, H, W)`` logits of the context path at stride 8 and 16; else ()."""


class BiSeNet(
    nn.Module,
    HubMixin,
    library_name="uda-seg",
    pipeline_tag="image-segmentation",
    model_card_template=MODEL_CARD,
):
    """Bilateral segmentation network over any timm backbone with strides 16 and 32.

    A shallow spatial path keeps detail at stride 8, a context path refines the backbone's
    features from coarse to fine, and a fusion module joins them. The variant is the one with
    public Cityscapes weights (one convolution in the fusion's attention, heads 256 and 64 wide).
    With ResNet-18 and 19 classes 13,425,721 parameters, 13,275,539 of them used in evaluation.

    ``save_pretrained(folder)`` writes safetensors and a config; ``from_pretrained(folder)`` reads
    them without a network and without fetching backbone weights.

    Reference: Yu et al., *BiSeNet: Bilateral Segmentation Network for Real-time Semantic
    Segmentation*, ECCV 2018.

    Args:
        num_classes: K, the number of classes.
        backbone: any name that timm knows and that has features of stride 16 and 32. Where it
            takes no images of odd sizes, they are padded for it alone.
        pretrained_backbone: start from timm's ImageNet weights.
        in_channels: channels of the images.
        backbone_kwargs: passed on to ``timm.create_model``, such as ``img_size`` or
            ``pretrained_cfg_overlay``; what JSON can hold.

    Raises:
        ValueError: if ``num_classes`` or ``in_channels`` is no positive integer, the backbone is
            unknown or has other strides (found out before any weights are fetched), or timm or
            JSON refuses ``backbone_kwargs``.
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
                "expected integers num_classes and in_channels of at least 1, "
                f"got {num_classes!r} and {in_channels!r}"
            )
        num_classes, in_channels = int(num_classes), int(in_channels)  # such as numpy's
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
                of at least 32. A batch of one may train; at 32x32 exactly most backbones' batch
                norm refuses it, having a single value a channel.
            size: height and width of the logits; the images' own by default, and the ground
                truth's for an exact evaluation. ``"native"`` skips the up-sampling: stride 8, the
                second auxiliary stride 16. Training is cheaper with a loss that takes such logits,
                ``uda_seg.losses.bisenet_loss``.

        Returns:
            The logits and, while training, the auxiliary logits, all ``(B, K, *size)``.

        Raises:
            TypeError: if the images are not of a floating-point type.
            ValueError: if the images have another number of channels or are too small, ``size``
                is neither two positive integers nor a known word, or the backbone takes a single
                size and the images have another.
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
            Two tuples of one number a channel.
        """
        return normalization(self.backbone, self.in_channels)

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """What usually starts pretrained.

        Returns:
            The parameters of the timm backbone.
        """
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """What starts from scratch, and may learn ten times faster.

        Returns:
            All parameters but the backbone's.
        """
        return (p for name, p in self.named_parameters() if not name.startswith("backbone."))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load what ``save_pretrained`` wrote, in evaluation mode.

        Args:
            pretrained_model_name_or_path: the folder, or a repository of the Hugging Face hub.
                Of a folder that exists, or whose parent does, the hub is not asked.
            **kwargs: arguments of the network instead of the saved ones (of which an address such
                as ``"hf-hub:user/name"`` or ``"local-dir:path"`` is refused), and those of
                ``huggingface_hub.PyTorchModelHubMixin``, such as ``map_location``.

        Returns:
            The network with the weights of the file, none of them fetched elsewhere.

        Raises:
            FileNotFoundError: if there is no such folder, or a file is missing from it.
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
                f"found no folder {source!r}, and not this repository of the Hugging Face hub: "
                f"{error}"
            ) from error
        except ValueError as error:
            raise ValueError(f"cannot build the network in {source!r}: {error}") from error
        except TypeError as error:
            raise TypeError(
                f"expected arguments in {source!r} that {cls.__name__} takes: {error}; load it as "
                "the class that was saved, and add what JSON could not hold, name=value"
            ) from error
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(
                f"expected weights in {source!r} that this network can load: {error}; leave its "
                "arguments as they were saved, and exchange layers afterwards"
            ) from error
        return network.eval()  # older mixins leave that out for safetensors


def _resize(logits: Tensor, size: Size) -> Tensor:
    if isinstance(size, str):
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
