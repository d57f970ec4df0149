"""A guess is earned by what only one data set has, and by nothing else."""

import json
import os
from functools import partial

import numpy as np
import pytest
from PIL import Image

from data_tools.guess import detect, name_of
from oracles.street_files import (
    PALETTE,
    SIZE,
    WRITERS,
    save,
    some_ids,
    some_image,
    write_bdd100k,
    write_camvid,
    write_cityscapes,
    write_gta5,
    write_idd,
    write_pair,
)


@pytest.mark.parametrize("name", WRITERS)
def test_a_data_set_is_known_by_its_layout(tmp_path, name):
    WRITERS[name](tmp_path)
    assert detect(tmp_path) == name


def test_the_toy_city_is_known(city):
    assert (detect(city.source_root), detect(city.target_root)) == ("gta5", "cityscapes")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("idd", partial(write_idd, "024541", drive="0")),
        ("cityscapes", partial(write_cityscapes, name="bad-honnef_000000_000000")),
    ],
)
def test_images_alone_tell_idd_from_cityscapes(tmp_path, name, write):
    _, label = (
        write(tmp_path)
        if name == "cityscapes"
        else write.func(tmp_path, *write.args, **write.keywords)
    )
    label.unlink()
    assert detect(tmp_path) == name


def test_cityscapes_labels_tell_it_whatever_the_names(tmp_path):
    write_cityscapes(tmp_path, name="mytown_1")
    assert detect(tmp_path) == "cityscapes"
