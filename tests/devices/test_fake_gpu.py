"""Every public call on a GPU that is not there: no tensor goes astray, and no host waits unsaid."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

from devices.backward import backpropagate
from devices.calls import CALLS, On
from devices.fake_gpu import WAITS, FakeGPU
from surface import FAMILIES

pytestmark = pytest.mark.newer_torch

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
SECTION = PAGE.read_text().split("## What waits for the device")[1].split("\n## ")[0]
WAITING = re.findall(r"^\| `([\w.]+)`(.*?) \|", SECTION, re.MULTILINE)
WAITING = {name + words for name, words in WAITING}

WITHOUT_A_DEVICE = {
    "losses.Domain": "numbers",
    "metrics.gap_recovered": "three floats",
    "models.BiSeNetOutput": "holds tensors",
    "models.convert_bisenetv1_state_dict": "renames tensors, and looks at nothing but shapes",
    "transforms.MixedBatch": "holds tensors",
}
WITHOUT_A_DEVICE |= {  # they read files, in the processes of a loader
    f"datasets.{name}": "on the host" for name in import_module("uda_seg.datasets").__all__
}
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def run(name, dtype):
    torch.manual_seed(0)
    gpu = FakeGPU()
    call = CALLS[name](On(gpu.put, dtype, backpropagate))
    with gpu:
        return call()


@pytest.mark.parametrize("name", [name for name in CALLS if name not in WAITING])
def test_all_stays_on_the_gpu_and_nothing_waits(name):
    for dtype in DTYPES:
        for each in run(name, dtype):
            assert each.device.type == "cuda", dtype


@pytest.mark.parametrize("name", sorted(WAITING))
def test_what_the_page_lists_does_wait(name):
    with pytest.raises(WAITS):
        run(name, torch.float32)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_public_name_has_a_call(family):
    names = {f"{family}.{name}" for name in import_module(f"uda_seg.{family}").__all__}
    called = {".".join(name.partition(",")[0].split(".")[:2]) for name in CALLS}
    assert names - WITHOUT_A_DEVICE.keys() <= called


def test_the_lists_speak_of_calls_that_there_are():
    assert CALLS.keys() >= WAITING
    assert not CALLS.keys() & WITHOUT_A_DEVICE.keys()


@pytest.mark.parametrize(
    "read",
    [
        lambda values: values.sum().item(),
        lambda values: bool(values.any()),
        lambda values: values.tolist(),
        lambda values: values[values > 0],
        lambda values: values.cpu(),
        lambda values: torch.tensor([1.0, 2.0]).to(values),
        lambda values: torch.tensor([1.0, 2.0], device=values.device),
    ],
)
def test_reading_and_copying_are_noticed(read):
    gpu = FakeGPU()
    values = gpu.put(torch.rand(3), torch.float32)
    with gpu, pytest.raises(WAITS):
        read(values)


def test_a_tensor_on_another_device_is_noticed():
    gpu = FakeGPU()
    values = gpu.put(torch.rand(3), torch.float32)
    with gpu, pytest.raises(RuntimeError, match="same device"):
        values + torch.rand(3)


def test_a_tensor_that_a_cache_has_kept_is_noticed():
    kept = FakeGPU().put(torch.rand(3), torch.float32)
    with FakeGPU(), pytest.raises(AssertionError, match="was kept"):
        kept + 1


def test_tensors_on_the_host_keep_their_values():
    with FakeGPU():
        assert torch.tensor([1.0, 2.0]).sum().item() == 3.0


@pytest.mark.parametrize(
    "name", ["models.BiSeNet", "losses.upsampled_cross_entropy", "transforms.FDA"]
)
def test_the_gradients_are_those_of_torchs_engine(name):
    on = On(torch.Tensor.to, torch.float64)
    outputs = []
    for each in (on, on._replace(backward=backpropagate)):
        torch.manual_seed(0)
        outputs.append(CALLS[name](each)())
    torch.testing.assert_close(*outputs, rtol=0, atol=0)
