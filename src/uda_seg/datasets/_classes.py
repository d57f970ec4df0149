"""The class table that Cityscapes, GTA5 and most street-scene data sets share."""

from typing import NamedTuple

__all__ = [
    "CITYSCAPES_CLASSES",
    "IGNORE_INDEX",
    "RAW_IDS",
    "TRAIN_CLASSES",
    "TRAIN_IDS",
    "CityscapesClass",
]

IGNORE_INDEX = 255
"""The train id of every pixel that is neither trained on nor evaluated."""


class CityscapesClass(NamedTuple):
    """One row of the class table: name, ids, category and colour of a class.

    Example:
        >>> from uda_seg.datasets import CITYSCAPES_CLASSES, TRAIN_CLASSES
        >>> len(CITYSCAPES_CLASSES), TRAIN_CLASSES[13].name
        (35, 'car')
        >>> from uda_seg.datasets import IGNORE_INDEX, RAW_IDS, TRAIN_IDS
        >>> RAW_IDS[26], TRAIN_IDS[13], RAW_IDS[4] == TRAIN_IDS[255] == IGNORE_INDEX
        (13, 13, True)
    """

    name: str
    """The name in Cityscapes, in lower case."""
    raw_id: int
    """The id in label files; -1 (license plate) never appears in the files of Cityscapes."""
    train_id: int
    """0 to 18, or 255 if the class is ignored."""
    category: str
    """One of eight categories, such as ``"vehicle"``."""
    color: tuple[int, int, int]
    """RGB, 0 to 255."""


CITYSCAPES_CLASSES: tuple[CityscapesClass, ...] = (
    CityscapesClass("unlabeled", 0, 255, "void", (0, 0, 0)),
    CityscapesClass("ego vehicle", 1, 255, "void", (0, 0, 0)),
    CityscapesClass("rectification border", 2, 255, "void", (0, 0, 0)),
    CityscapesClass("out of roi", 3, 255, "void", (0, 0, 0)),
    CityscapesClass("static", 4, 255, "void", (0, 0, 0)),
    CityscapesClass("dynamic", 5, 255, "void", (111, 74, 0)),
    CityscapesClass("ground", 6, 255, "void", (81, 0, 81)),
    CityscapesClass("road", 7, 0, "flat", (128, 64, 128)),
    CityscapesClass("sidewalk", 8, 1, "flat", (244, 35, 232)),
    CityscapesClass("parking", 9, 255, "flat", (250, 170, 160)),
    CityscapesClass("rail track", 10, 255, "flat", (230, 150, 140)),
    CityscapesClass("building", 11, 2, "construction", (70, 70, 70)),
    CityscapesClass("wall", 12, 3, "construction", (102, 102, 156)),
    CityscapesClass("fence", 13, 4, "construction", (190, 153, 153)),
    CityscapesClass("guard rail", 14, 255, "construction", (180, 165, 180)),
    CityscapesClass("bridge", 15, 255, "construction", (150, 100, 100)),
    CityscapesClass("tunnel", 16, 255, "construction", (150, 120, 90)),
    CityscapesClass("pole", 17, 5, "object", (153, 153, 153)),
    CityscapesClass("polegroup", 18, 255, "object", (153, 153, 153)),
    CityscapesClass("traffic light", 19, 6, "object", (250, 170, 30)),
    CityscapesClass("traffic sign", 20, 7, "object", (220, 220, 0)),
    CityscapesClass("vegetation", 21, 8, "nature", (107, 142, 35)),
    CityscapesClass("terrain", 22, 9, "nature", (152, 251, 152)),
    CityscapesClass("sky", 23, 10, "sky", (70, 130, 180)),
    CityscapesClass("person", 24, 11, "human", (220, 20, 60)),
    CityscapesClass("rider", 25, 12, "human", (255, 0, 0)),
    CityscapesClass("car", 26, 13, "vehicle", (0, 0, 142)),
    CityscapesClass("truck", 27, 14, "vehicle", (0, 0, 70)),
    CityscapesClass("bus", 28, 15, "vehicle", (0, 60, 100)),
    CityscapesClass("caravan", 29, 255, "vehicle", (0, 0, 90)),
    CityscapesClass("trailer", 30, 255, "vehicle", (0, 0, 110)),
    CityscapesClass("train", 31, 16, "vehicle", (0, 80, 100)),
    CityscapesClass("motorcycle", 32, 17, "vehicle", (0, 0, 230)),
    CityscapesClass("bicycle", 33, 18, "vehicle", (119, 11, 32)),
    CityscapesClass("license plate", -1, 255, "vehicle", (0, 0, 142)),
)
"""All 35 Cityscapes classes in the order of their raw ids."""

TRAIN_CLASSES = tuple(row for row in CITYSCAPES_CLASSES if row.train_id != IGNORE_INDEX)
"""The 19 classes that are trained and evaluated, in the order of their train ids."""

RAW_IDS: dict[int, int] = {
    row.raw_id: row.train_id for row in CITYSCAPES_CLASSES if row.raw_id >= 0
}
"""Maps raw ids to train ids, for label files such as Cityscapes' ``labelIds``."""

TRAIN_IDS: dict[int, int] = {**{train_id: train_id for train_id in range(19)}, 255: IGNORE_INDEX}
"""Maps train ids to themselves, for label files such as Cityscapes' ``labelTrainIds``."""
