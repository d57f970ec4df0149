"""ClassMix, once the classes are drawn."""


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
