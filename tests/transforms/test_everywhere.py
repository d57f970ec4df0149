"""Every function and module: compiled, on tensors without values, and in half precision."""

from functools import partial

import kornia.augmentation as K
import pytest
import torch
from torch._subclasses import FakeTensorMode

from uda_seg import transforms
from uda_seg.transforms import (
    FDA,
    PASTA,
    BlockMask,
    MatchHistogram,
    MatchStatistics,
    block_mask,
    class_mix,
    color_statistics,
    fourier_domain_adaptation,
    lab_quantiles,
    low_frequency_amplitude,
    match_histogram,
    match_statistics,
    perturb_amplitude,
    random_crop,
)

FILL = (0.4, 0.5, 0.6)
SHAPES = [(4, 3, 40, 48), (3, 3, 33, 70), (2, 3, 36, 60)]


def each_its_beta(source, target):
    betas = torch.linspace(0, 0.2, len(source), device=source.device)
    return fourier_domain_adaptation(source, target, betas)


def from_a_bank(source, target):
    return fourier_domain_adaptation(source, low_frequency_amplitude(target, 0.2), 0.1)


def mix(source, target):
    labels = (source[:, 0].float() * 3).long()
    weights = source[:, 0, 0, 0]
    return class_mix(source, labels, target, labels.flip(0), target_weights=weights)


def crop(source, target):  # noqa: ARG001
    labels = (source[:, 0].float() * 3).long()
    return random_crop(source, labels, (16, 24), class_weights=source.float()[0, 0, 0, :3])


def drawn_of_few(fda, source, target):
    return fda(source, target.repeat(2, 1, 1, 1)[1:])


def contained(augment, source, target):
    augment[0].set_target(target)
    return augment(source)


def of_the_source(make):
    return lambda source, target: make(source)  # noqa: ARG005


# A maker of a callable for source and target images.
COMPILED = {
    "fourier_domain_adaptation": lambda: partial(fourier_domain_adaptation, beta=0.1),
    "low_frequency_amplitude": lambda: of_the_source(partial(low_frequency_amplitude, beta=0.1)),
    "FDA": lambda: FDA((0.0, 0.2), p=0.5),
    "block_mask": lambda: of_the_source(partial(block_mask, fill=FILL, block_size=8)),
    "BlockMask": lambda: of_the_source(BlockMask(FILL, block_size=8, p=0.5)),
    "class_mix": lambda: mix,
    "match_statistics": lambda: match_statistics,
    "color_statistics": lambda: of_the_source(color_statistics),
    "MatchStatistics": lambda: MatchStatistics((0.0, 1.0), p=0.5),
    "match_histogram": lambda: match_histogram,
    "lab_quantiles": lambda: of_the_source(lab_quantiles),
    "MatchHistogram": lambda: MatchHistogram((0.0, 1.0), p=0.5),
    "perturb_amplitude": lambda: of_the_source(perturb_amplitude),
    "random_crop": lambda: crop,
    "PASTA": lambda: of_the_source(PASTA(p=0.5)),
}
ALL = COMPILED | {
    "beta 0.4": lambda: partial(fourier_domain_adaptation, beta=0.4),
    "a beta an image": lambda: each_its_beta,
    "a bank": lambda: from_a_bank,
    "FDA of one beta": lambda: FDA(0.1),
    "FDA of few targets": lambda: partial(drawn_of_few, FDA(0.1)),
    "a container": lambda: partial(
        contained, K.AugmentationSequential(FDA((0.0, 0.2)), BlockMask(FILL), data_keys=["input"])
    ),
}


def test_nothing_public_is_forgotten():
    assert set(COMPILED) | {"MixedBatch"} == set(transforms.__all__)


def batches(*shape, **kinds):
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(**kinds).unbind()


def seeded(make, *images):
    """What is made, as a tuple, with the same draws every time."""
    torch.manual_seed(0)
    made = make(*images)
    return made if isinstance(made, tuple) else (made,)


# A graph of match_histogram takes seconds, and MatchHistogram is that inside FDA's base class.
GRAPHS = [(name, dynamic) for name in COMPILED for dynamic in (False, True)]
SLOW = [("MatchHistogram", False), ("MatchHistogram", True), ("match_histogram", False)]


@pytest.mark.newer_torch
@pytest.mark.parametrize(("name", "dynamic"), [each for each in GRAPHS if each not in SLOW])
def test_compiles_over_three_shapes(name, dynamic):
    torch.compiler.reset()
    make = COMPILED[name]()
    backend = "eager" if dynamic else "aot_eager"
    compiled = torch.compile(make, backend=backend, fullgraph=True, dynamic=dynamic)
    for shape in SHAPES:
        pairs = [seeded(each, *batches(*shape)) for each in (compiled, make)]
        for made, expected in zip(*pairs, strict=True):
            torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_tensors_without_values_give_the_shapes(name):
    make, images = ALL[name](), batches(*SHAPES[1])
    on_meta = seeded(make, *(image.to("meta") for image in images))
    for made, expected in zip(on_meta, seeded(make, *images), strict=True):
        assert (made.shape, made.dtype) == (expected.shape, expected.dtype)
        assert made.device.type == "meta"


@pytest.mark.parametrize("name", ALL)
def test_fake_tensors_run_backward_and_leave_nothing_behind(name):
    make, images = ALL[name](), batches(*SHAPES[1])
    with FakeTensorMode(allow_non_fake_inputs=True):  # kornia's generators hold some
        fakes = [torch.rand(SHAPES[1], requires_grad=True) for _ in images]
        seeded(make, *fakes)[0].sum().backward()
        assert fakes[0].grad.shape == SHAPES[1]
    for made, expected in zip(seeded(make, *images), seeded(ALL[name](), *images), strict=True):
        assert torch.equal(made, expected)


def fake_gpu():
    """Whether this torch slices a fake tensor on a GPU without the driver; 2.9 does not."""
    try:
        with FakeTensorMode():
            return torch.empty(2, device="cuda")[:1].is_cuda
    except RuntimeError:
        return False


@pytest.mark.newer_torch
@pytest.mark.skipif(not fake_gpu(), reason="this torch asks for a driver")
@pytest.mark.parametrize("name", ALL)
def test_no_value_is_read_and_all_stays_on_a_gpu_that_is_not_there(name):
    make = ALL[name]()
    with FakeTensorMode(allow_non_fake_inputs=True):  # kornia's generators hold some
        fakes = [torch.rand(SHAPES[1], device="cuda") for _ in range(2)]
        assert all(made.device.type == "cuda" for made in seeded(make, *fakes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ALL)
def test_half_precision_gives_the_nearest_of_float32(name, dtype):
    make, images = ALL[name](), batches(*SHAPES[0], dtype=dtype)
    singles = seeded(make, *(image.float() for image in images))
    for made, expected in zip(seeded(make, *images), singles, strict=True):
        if name in ("low_frequency_amplitude", "color_statistics", "lab_quantiles"):
            assert made.dtype == torch.float32
        elif expected.is_floating_point():
            assert made.dtype == dtype
        torch.testing.assert_close(made.to(expected.dtype), expected, rtol=0, atol=1e-2)
