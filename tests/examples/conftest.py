"""A city of a few images, and the settings of a training that takes seconds on it."""

import pytest

from toy_city.data_sets import write_toy_city
from training.config import TrainingConfig
from training.distributed import open_fabric
from training.domains import open_domains


@pytest.fixture(scope="session")
def city(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "toy-city"
    return write_toy_city(
        root, source_images=6, target_train=6, target_val=4, size=(64, 128), workers=1
    )


@pytest.fixture
def config(city, tmp_path):
    return TrainingConfig(
        source_root=city.source_root,
        target_root=city.target_root,
        output=tmp_path / "run",
        size=(64, 128),
        backbone="test_resnet",
        batch_size=2,
        steps=4,
        warmup_steps=2,
        workers=0,
    )


@pytest.fixture
def fabric():
    return open_fabric()


@pytest.fixture
def domains(fabric, config):
    return open_domains(fabric, config)
