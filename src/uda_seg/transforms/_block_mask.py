from collections.abc import Sequence
from typing import Any

import torch
from einops import repeat
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

from uda_seg.transforms._checks import check_floating_point
from uda_seg.transforms._draws import uniform

__all__ = ["BlockMask", "block_mask"]

Fill = float | Sequence[float] | Tensor


def block_mask(
    images: Tensor,
    fill: Fill,
    *,
    block_size: int = 64,
    ratio: float = 0.7,
    same_on_batch: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mask random square blocks of images, so that a network has to infer them from the context.

    An image is divided into square blocks, from the top left. Each block is masked with
    probability ``ratio``, independently of the others. The last row and column of blocks are cut
    off at the border of the image. In MIC, the student sees the masked image, and the teacher sees
    the whole image.

    ``fill`` has no default, since its value depends on the normalisation. For images in [0, 1],
    use the mean that the network subtracts, such as ``network.normalization[0]``. For normalised
    images use 0, as MIC does. In images in [0, 1], 0 would be black, which a network rarely sees.

    Reference: Hoyer et al., *MIC: Masked Image Consistency for Context-Enhanced Domain
    Adaptation*, CVPR 2023; the default block size and ratio are from the paper.

    Args:
        images: ``(B, C, H, W)`` floating-point images of any range and size.
        fill: value of the masked pixels; one number, or one per channel.
        block_size: side of a block in pixels, at least 1; the paper uses 64 for 512x1024 images.
        ratio: probability that a block is masked, in [0, 1].
        same_on_batch: mask the same blocks in all images.
        generator: random generator, on any device; by default torch's global generator of the
            images' device. Under ``torch.compile``, leave it None.

    Returns:
        ``(B, C, H, W)`` of the images' dtype.

    Raises:
        TypeError: if the images are not floating point.
        ValueError: if the images are not ``(B, C, H, W)``, ``fill`` has neither one value nor one
            per channel, or a setting is out of range.

    Example:
        >>> images, mean = torch.rand(2, 3, 128, 256), (0.485, 0.456, 0.406)
        >>> masked = block_mask(images, mean, ratio=1.0)
        >>> masked[0, :, 0, 0]
        tensor([0.4850, 0.4560, 0.4060])
    """
    _check_settings(block_size, ratio)
    if images.ndim != 4:
        raise ValueError(f"expected images of shape (B, C, H, W), got {tuple(images.shape)}")
    check_floating_point(images, "images")
    grid = _grid(images.shape, block_size, same_on_batch)
    masked = uniform(grid, images.device, generator) < ratio
    return _mask(images, masked, block_size, fill)


class BlockMask(IntensityAugmentationBase2D):
    """:func:`block_mask` as a kornia augmentation, whose masks can be replayed by ``params``.

    Inside a kornia container, segmentation masks stay unchanged.

    Reference: Hoyer et al., CVPR 2023.

    Args:
        fill: value of the masked pixels; one number, or one per channel.
        block_size: side of a block in pixels, at least 1.
        ratio: probability that a block is masked, in [0, 1].
        p: probability that an image is masked at all.
        same_on_batch: make one decision and draw one mask for the whole batch.
        keepdim: return ``(C, H, W)`` for an input of ``(C, H, W)`` instead of a batch of one.

    Raises:
        TypeError: on a call with images that are not floating point.
        ValueError: if a setting is out of range.

    Example:
        >>> import torch
        >>> images = torch.rand(4, 3, 128, 256)
        >>> mask = BlockMask(fill=(0.485, 0.456, 0.406), block_size=32)
        >>> masked = mask(images)
        >>> torch.equal(mask(images, params=mask._params), masked)
        True
    """

    def __init__(
        self,
        fill: Fill,
        *,
        block_size: int = 64,
        ratio: float = 0.7,
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        _check_settings(block_size, ratio)
        self.flags = {"fill": fill, "block_size": block_size, "ratio": ratio}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Draw the blocks to mask, ``(B, rows, columns)`` bool; called by kornia."""
        grid = _grid(batch_shape, self.flags["block_size"], self.same_on_batch)
        masked = uniform(grid, self.device, None) < self.flags["ratio"]
        return {"masked": masked.expand(batch_shape[0], -1, -1)}

    def transform_tensor(self, input: Tensor, **kwargs: Any) -> Tensor:  # noqa: A002
        """Raise a helpful error for integer images, before kornia's own; called by kornia."""
        check_floating_point(input, "images")
        return super().transform_tensor(input, **kwargs)

    def apply_transform(
        self,
        input: Tensor,  # noqa: A002 (kornia's name)
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,  # noqa: ARG002 (kornia's signature)
    ) -> Tensor:
        """Do the work on a batch; called by kornia."""
        return _mask(input, params["masked"], flags["block_size"], flags["fill"])


def _grid(shape: Sequence[int], block_size: int, same_on_batch: bool) -> tuple[int, int, int]:
    """Number of masks to draw, and of rows and columns of blocks in each."""
    batch_size, _, height, width = shape
    rows, columns = (-(-side // block_size) for side in (height, width))
    return 1 if same_on_batch else batch_size, rows, columns


def _mask(images: Tensor, masked: Tensor, block_size: int, fill: Fill) -> Tensor:
    channels, height, width = images.shape[1:]
    pixels = repeat(
        masked.to(images.device), "b r c -> b 1 (r i) (c j)", i=block_size, j=block_size
    )
    values = torch.as_tensor(fill, dtype=images.dtype, device=images.device)
    # Written without "in", which torch 2.9 cannot compile for dynamic sizes.
    if values.ndim > 1 or (values.numel() != 1 and values.numel() != channels):
        raise ValueError(
            f"expected fill to be one number or {channels}, one per channel, got shape "
            f"{tuple(values.shape)}"
        )
    return torch.where(pixels[..., :height, :width], values.reshape(-1, 1, 1), images)


def _check_settings(block_size: int, ratio: float) -> None:
    if block_size < 1 or not 0 <= ratio <= 1:
        raise ValueError(
            "expected a block_size of at least 1 pixel and a ratio in [0, 1], got "
            f"{block_size} and {ratio}"
        )
