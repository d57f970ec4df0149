import shutil

import pytest
from torch.utils.data import DataLoader

from oracles.street_files import write_gta5
from tolerance import ReadableNeighbour
from uda_seg.datasets import GTA5


@pytest.fixture
def data(tmp_path):
    for name in ("00001", "00002", "00003"):
        write_gta5(tmp_path, name)
    return GTA5(tmp_path)


def test_whole_samples_pass_through(data):
    assert [s.name for s in DataLoader(ReadableNeighbour(data), batch_size=None)] == [
        "00001",
        "00002",
        "00003",
    ]


@pytest.mark.parametrize(("broken", "names"), [(0, "223"), (1, "133"), (2, "121")])
def test_a_broken_one_is_named_and_its_neighbour_taken(data, broken, names):
    data.images[broken].write_bytes(b"")
    with pytest.warns(UserWarning, match="taking the next sample instead") as warned:
        taken = [ReadableNeighbour(data)[index].name for index in range(3)]
    assert taken == [f"0000{name}" for name in names]
    assert str(data.images[broken]) in str(warned[0].message)


def test_without_it_the_run_stops_at_the_broken_one(data):
    data.labels[1].write_bytes(b"")
    with pytest.raises(OSError, match=r"00002\.png"):
        list(DataLoader(data, batch_size=None))


@pytest.mark.filterwarnings("ignore:cannot read")
@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_a_folder_that_vanishes_stops_the_run_after_some_attempts(data, attempts):
    shutil.rmtree(data.images[0].parent)
    with pytest.raises(OSError, match=f"{attempts} samples in a row .*0000[23]") as error:
        ReadableNeighbour(data, attempts=attempts)[1]
    assert str(data.images[1]) in str(error.value)


def test_no_attempt_is_refused(data):
    with pytest.raises(ValueError, match="at least one attempt, got 0"):
        ReadableNeighbour(data, attempts=0)
