"""FDA reads torch's settings, and leaves nothing of its own in a process."""

import math
import os
import signal
import sys
import threading
import time
import warnings
from functools import partial

import pytest
import torch
from torch._subclasses import FakeTensorMode

from oracles import fda as oracle
from oracles.images import images
from uda_seg.transforms import (
    _matrix_products,
    _spectrum,
    fourier_domain_adaptation,
    low_frequency_amplitude,
)


def adapt(dtype=torch.float32):
    source, target = images(1, 3, 64, 96, dtype=dtype)
    expected = oracle.fourier_domain_adaptation(source.double().numpy(), target.numpy(), 0.05)
    adapted = fourier_domain_adaptation(source, target, 0.05).double()
    # The largest error of uniform noise; products in bfloat16 are off by 1e-2.
    torch.testing.assert_close(adapted, torch.tensor(expected), rtol=0, atol=2e-6)


@pytest.fixture
def no_products(monkeypatch):
    for name in ("analyze", "add"):
        monkeypatch.setattr(_matrix_products, name, None)


OPERATIONS = {
    f"{backend.__name__.split('.')[-1]}.{name}": getattr(backend, name)
    for backend, name in (
        (torch.backends.cuda, "matmul"), (torch.backends.cudnn, "conv"),
        (torch.backends.mkldnn, "matmul"), (torch.backends.mkldnn, "conv"),
    )
}  # fmt: skip


def settings():
    """What torch says of its precision, some of which it may refuse to say."""
    older = (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda: torch.backends.cudnn.allow_tf32,
        lambda: torch.backends.mkldnn.allow_tf32,
    )
    said = [torch.backends.fp32_precision, torch.backends.mkldnn.fp32_precision]
    said += [operation.fp32_precision for operation in OPERATIONS.values()]
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # torch 2.9, of these
        for read in older:
            try:
                said.append(read())
            except RuntimeError as error:
                said.append(str(error))
    return said


@pytest.fixture
def restored():
    """Settings as they were, inherited ones inherited again."""
    before, whole = settings(), torch.backends.fp32_precision
    parts = {name: operation.fp32_precision for name, operation in OPERATIONS.items()}
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.fp32_precision = whole
    for name, operation in OPERATIONS.items():
        operation.fp32_precision = parts[name]
    assert settings() == before


def allow(name, value):
    part = OPERATIONS[name] if name else torch.backends
    part.fp32_precision = value


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    "choose",
    [
        lambda: None,
        *(partial(torch.set_float32_matmul_precision, each) for each in ("medium", "high")),
        partial(setattr, torch.backends.cuda.matmul, "allow_tf32", True),
        *(partial(allow, None, value) for value in ("tf32", "bf16", "ieee")),
        *(partial(allow, "mkldnn.matmul", value) for value in ("tf32", "bf16", "ieee")),
        partial(allow, "cudnn.conv", "tf32"),
    ],
)
def test_no_choice_of_precision_is_written_or_makes_it_coarse(choose, monkeypatch):
    monkeypatch.setattr(_spectrum, "_PRODUCTS_PER_LEVEL", math.inf)
    choose()
    before = settings()
    adapt()
    assert settings() == before


@pytest.mark.usefixtures("restored")
def test_an_inherited_precision_stays_inherited():
    adapt()
    for value in ("bf16", "ieee", "tf32"):
        torch.backends.fp32_precision = value
        adapt()
        assert torch.backends.mkldnn.matmul.fp32_precision == value


@pytest.mark.usefixtures("no_products", "restored")
@pytest.mark.parametrize("value", ["tf32", "bf16"])
def test_coarse_products_are_not_taken(value):
    torch.backends.mkldnn.matmul.fp32_precision = value
    adapt()


@pytest.mark.usefixtures("no_products")
def test_a_compiled_graph_takes_no_products():
    torch.compiler.reset()
    source, target = images(1, 3, 64, 96)
    compiled = torch.compile(fourier_domain_adaptation, backend="eager", fullgraph=True)
    expected = oracle.fourier_domain_adaptation(source.numpy(), target.numpy(), 0.05)
    torch.testing.assert_close(compiled(source, target, 0.05), torch.tensor(expected))


@pytest.mark.usefixtures("restored")
def test_float64_products_are_exact_whatever_is_allowed(monkeypatch):
    taken = []
    analyze = _matrix_products.analyze
    monkeypatch.setattr(
        _matrix_products, "analyze", lambda *given: taken.append(given) or analyze(*given)
    )
    torch.set_float32_matmul_precision("medium")
    adapt(torch.float64)
    assert len(taken) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_a_thread_is_inside_goes_on(monkeypatch):
    inside, leave = threading.Event(), threading.Event()
    basis = _matrix_products._basis

    def waiting(*given):
        if threading.current_thread() is worker:
            inside.set()
            leave.wait(60)
        return basis(*given)

    monkeypatch.setattr(_matrix_products, "_basis", waiting)
    worker = threading.Thread(target=adapt)
    worker.start()
    inside.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12, of a fork with threads
        child = os.fork()
    if child == 0:
        try:
            adapt()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    deadline, status = time.monotonic() + 60, None
    while status is None and time.monotonic() < deadline:
        done, code = os.waitpid(child, os.WNOHANG)
        status = code if done else time.sleep(0.02)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    leave.set()
    worker.join()
    assert status == 0


def test_a_fake_call_does_not_poison_later_ones():
    _matrix_products._waves.cache_clear()
    with FakeTensorMode():
        fourier_domain_adaptation(*torch.rand(2, 1, 3, 64, 96), 0.05)
    adapt()


def test_inference_serves_training():
    _matrix_products._waves.cache_clear()
    with torch.inference_mode():
        adapt()
    source, target = images(1, 3, 64, 96)
    fourier_domain_adaptation(source.requires_grad_(), target, 0.05).sum().backward()
    low_frequency_amplitude(source, 0.05).sum().backward()
