"""The class table against the one of cityscapesScripts."""

from cityscapesscripts.helpers.labels import labels as official

from uda_seg.datasets import CITYSCAPES_CLASSES, TRAIN_CLASSES


def test_equals_the_official_table():
    rows = [
        (row.name, row.id, row.trainId if 0 <= row.trainId < 19 else 255, row.category, row.color)
        for row in official
    ]
    assert [tuple(row) for row in CITYSCAPES_CLASSES] == rows


def test_evaluates_19_classes_in_the_order_of_their_train_ids():
    assert [row.train_id for row in TRAIN_CLASSES] == list(range(19))
