"""What all tests and doctests share."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from oracles.street_files import WRITERS, some_image

# Last, so that no script hides an installed package: examples/evaluate.py and the hub's evaluate.
sys.path += [str(Path(__file__).parent / folder) for folder in ("examples", "docs/figures")]

collect_ignore = ["docs/conf.py"]  # which needs Sphinx

# No deadline, since shared machines stall now and then; the same examples in every run, so that a
# failure speaks of the change at hand.
settings.register_profile("uda-seg", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("uda-seg")

# Tensors of a few pixels gain nothing from threads, and lose much where other work has the cores.
torch.set_num_threads(1)


def pytest_runtest_setup(item):
    """Skip what an older torch cannot do."""
    old = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14)
    if old and (item.get_closest_marker("newer_torch") or item.name.endswith("export.md")):
        pytest.skip("docs/api.md lists what needs torch 2.14")


@pytest.fixture(autouse=True)
def _seed(request):
    """The same draws in any order; pytest-randomly's --randomly-seed=N tries others."""
    torch.manual_seed(request.config.getoption("randomly_seed", 0))


@pytest.fixture(scope="session", autouse=True)
def _data_sets_for_doctests(doctest_namespace, tmp_path_factory):
    from toy_city import write_toy_city

    root = tmp_path_factory.mktemp("doctest") / "toy-city"
    gta5, cityscapes = write_toy_city(
        root, source_images=1, target_train=1, target_val=1, size=(64, 128), workers=1
    )
    doctest_namespace.update(gta5_root=gta5, cityscapes_root=cityscapes)
    road_car_nothing = {"synthia": [3, 8, 0], "camvid": [3, 8, 11]}
    for name in ("synthia", "camvid", "idd", "acdc", "bdd100k"):
        ids = np.array([road_car_nothing.get(name, [0, 13, 255])], dtype=np.uint8)
        WRITERS[name](root.with_name(name), image=some_image(ids.shape), ids=ids)
        doctest_namespace[f"{name}_root"] = root.with_name(name)
