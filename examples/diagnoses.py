"""What the states that a monitor reports mean, and what to try."""

__all__ = ["MEANING"]

MEANING = {
    "D wins": "the discriminator tells both domains apart with hardly a mistake, so that its "
    "gradient teaches the segmenter nothing; lower the discriminator's learning rate, lengthen "
    "the warm-up, or try the least-squares objective",
    "D is blind": "the discriminator has done no better than a coin since the start, so that the "
    "adversarial loss is noise; raise its learning rate, and check that its maps are "
    "probabilities and that the domain labels are not swapped",
    "D is fooled": "the discriminator could tell the domains apart and no longer can: the goal if "
    "the target's predictions look right, or else a segmenter that games it; compare target "
    "predictions, and raise the discriminator's learning rate if they are poor",
    "one class": "nearly every target pixel gets the same class, and with certainty; lower the "
    "weight of the adversarial or entropy loss, and go back to the last good checkpoint",
    "no class": "target predictions are close to uniform over the classes; lower the adversarial "
    "weight, lengthen the warm-up, and check the normalisation of the target images",
    "segmenter explodes": "the segmenter's gradient is far above its own level; lower the "
    "learning rate, or clip the gradient",
    "D explodes": "the discriminator's gradient is far above its own level; lower its learning "
    "rate, or clip its gradient",
    "segmenter vanishes": "hardly any gradient is left in the segmenter; check that its loss "
    "falls, and lower the learning rate",
    "D vanishes": "hardly any gradient is left in the discriminator; lower its learning rate, or "
    "try the least-squares objective",
    "no label": "the teacher is sure of hardly a pixel, so that its labels count for nothing; "
    "lengthen the warm-up, or lower the confidence that is asked for",
}
