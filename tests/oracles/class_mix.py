"""ClassMix, once the classes are drawn."""

import torch

from uda_seg.transforms import MixedBatch


def mixed_without_a_draw(images, labels, target_images, target_labels, *, target_weights):
    """Every second class, so that it does not matter how a batch is cut or spread."""
    pasted = labels % 2 == 0
    return MixedBatch(
        torch.where(pasted[:, None], images, target_images),
        torch.where(pasted, labels, target_labels),
        torch.where(pasted, 1, target_weights[:, None, None]),
        pasted,
    )


def classes_of(label, ignore_index=255):
    """The classes of one image as a set."""
    return set(label.flatten().tolist()) - {ignore_index}


def paste(source, target, chosen):
    """Paste the chosen classes of some maps of an image, the labels second, onto a target's."""
    mixed = [part.clone() for part in target]
    height, width = source[1].shape
    for row in range(height):
        for column in range(width):
            if source[1][row, column].item() in chosen:
                for part, pasted in zip(mixed, source, strict=True):
                    part[..., row, column] = pasted[..., row, column]
    return mixed
