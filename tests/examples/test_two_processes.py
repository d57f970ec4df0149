"""The training script under torchrun, as it is: two gloo processes on one machine."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from oracles import two_processes
from oracles.street_files import write_cityscapes, write_gta5
from uda_seg.datasets import RAW_IDS, Cityscapes
from uda_seg.models import BiSeNet

RANKS = range(2)
LABELLED = [raw_id for raw_id, train_id in RAW_IDS.items() if train_id != 255]


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """Noise; half of each labelled image has one class, since each process weighs its own pixels.

    One class is also all that ClassMix can paste of it, whatever it draws.
    """
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)

    def pixels():
        image = rng.integers(256, size=(64, 128, 3), dtype=np.uint8)
        ids = np.full((64, 128), rng.choice(LABELLED), dtype=np.uint8)
        ignored = rng.permutation(64)[:32]  # of the columns at half the size
        ids[:, 2 * ignored] = ids[:, 2 * ignored + 1] = 0
        return {"image": image, "ids": ids}

    for index in range(20):
        write_gta5(root / "gta5", f"{index:05d}", **pixels())
        write_cityscapes(root / "cityscapes", f"ulm_{index:06d}_000019", **pixels())
    for index in range(5):
        write_cityscapes(root / "cityscapes", f"bonn_{index:06d}_000019", split="val", **pixels())
    return root / "gta5", root / "cityscapes"


@pytest.fixture(scope="module")
def folder(city, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = [two_processes.__file__, folder, *city]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [*launcher, "--nproc-per-node", "2", *script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in RANKS]


def assert_equal(state, expected):
    torch.testing.assert_close(state, expected, rtol=0, atol=0)


@pytest.mark.parametrize("row", two_processes.STEPS)
def test_two_processes_give_the_weights_of_one_with_a_larger_batch(found, city, tmp_path, row):
    alone = two_processes.tiny_row(tmp_path, city, 4, row)
    for rank in RANKS:  # each had batches of 2
        torch.testing.assert_close(found[rank]["tiny"][row], alone)
    assert_equal(found[0]["tiny"][row], found[1]["tiny"][row])
    if row == "self-training":
        assert 0 < alone["losses"][-1]["target/confident share"] < 1


def test_two_passes_before_one_backward_leave_each_process_its_statistics(found):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    gradients, means = [], []
    for images in torch.randn(2, 2, 2, 3, 8, 8).unbind(1):
        network.zero_grad()
        network[1].reset_running_stats()
        (network(images[0]).square().mean() + network(images[1]).cos().mean()).backward()
        gradients.append(network[0].weight.grad.clone())
        means.append(network[1].running_mean.clone())
    for rank in RANKS:
        statistics = found[rank]["statistics"]
        torch.testing.assert_close(statistics["gradient"], sum(gradients) / 2)
        torch.testing.assert_close(statistics["own"], means[rank])
        torch.testing.assert_close(statistics["mean"], sum(means) / 2)


def test_a_row_that_broke_off_goes_on_to_the_same_weights(found, folder):
    whole = BiSeNet.from_pretrained(folder / "run" / "adapted").state_dict()
    for rank in RANKS:
        assert_equal(found[rank]["adapted again"], whole)


def test_students_and_teachers_are_the_same_in_both_and_after_a_break(found, folder):
    kept = torch.load(folder / "run" / "checkpoints" / "taught.pt", weights_only=True)["parts"]
    student, teacher = found[0]["taught"], kept["teacher"]
    assert_equal(kept["segmenter"], student)
    assert teacher["n_averaged"] == 4
    assert not torch.equal(teacher["module.head.classify.weight"], student["head.classify.weight"])
    assert any("running_mean" in name for name in teacher)
    for rank in RANKS:
        assert_equal(found[rank]["taught"], student)
        assert_equal(found[rank]["taught again"], (student, teacher))


def test_each_process_augments_by_random_numbers_of_its_own(folder):
    kept = torch.load(folder / "run" / "checkpoints" / "adapted.pt", weights_only=True)
    (first, _), (second, _) = kept["random_states"]
    assert not torch.equal(first, second)


def test_every_held_out_image_is_scored_once(folder, city):
    score = json.loads((folder / "run" / "adapted" / "result.json").read_text())["score"]
    labels = torch.stack([label for _, label, _ in Cityscapes(city[1], "val")])
    truth = labels.flatten().bincount(minlength=256)[:19]
    assert torch.tensor(score["confusion"]).sum(1).tolist() == truth.tolist()
    assert (folder / "run" / "results.json").is_file()
    assert len(list(folder.glob("run/logs/adapted/events*"))) == 1
    assert not list(folder.rglob(".*"))
