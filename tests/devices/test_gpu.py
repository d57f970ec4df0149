"""Every public call on a real GPU; ``pytest -m gpu`` where there is one."""

import pytest
import torch

from devices.calls import CALLS, On
from devices.test_fake_gpu import WAITING

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
DRAWN_ON_THE_GPU = {"metrics.bootstrap_interval"}  # from another generator than the CPU's


def run(name, device, dtype):
    torch.manual_seed(0)
    return CALLS[name](On(lambda values, dtype: values.to(device, dtype), dtype))()


@pytest.mark.parametrize("name", sorted(CALLS.keys() - DRAWN_ON_THE_GPU))
def test_it_gives_what_the_cpu_gives(name):
    expected = run(name, "cpu", torch.float64)  # in which no TF32 is used
    actual = [each.cpu() for each in run(name, "cuda", torch.float64)]
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", sorted(CALLS))
def test_it_stays_finite_in_every_type(name, dtype):
    for each in run(name, "cuda", dtype):
        assert each.device.type == "cuda"
        assert each.isfinite().all()


@pytest.mark.parametrize("name", sorted(CALLS.keys() - WAITING))
def test_nothing_waits(name):
    torch.manual_seed(0)
    call = CALLS[name](On(lambda values, dtype: values.to("cuda", dtype), torch.float32))
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
