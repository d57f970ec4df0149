"""All losses under torch.compile and torch.func, on fake and meta tensors, in half precision."""

from functools import partial

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.func import grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from uda_seg import losses
from uda_seg.losses import _banded, _banded_divergence, ohem_cross_entropy, upsampled_cross_entropy


def maps(shape, stride=4, **options):
    batch, height, width = shape
    return torch.randn(batch, 5, height // stride, width // stride, **options)


def ids(shape, *, device="cpu", **_):
    return torch.randint(5, shape, device=device)


def logits_alone(shape, **options):
    return (maps(shape, **options),)


def two_maps(shape, **options):
    return maps(shape, **options), maps(shape, 8, **options)


def with_labels(stride):
    def make(shape, **options):
        weight = torch.rand(5, **options)
        return maps(shape, stride, **options), ids(shape, **options), weight

    return make


def outputs(shape, **options):
    return maps(shape, 1, **options), [maps(shape, 8, **options)], ids(shape, **options)


def counts(shape, **options):
    return (ids(shape[1:], **options),)


def weighted(loss, **settings):
    return lambda logits, labels, weight: loss(logits, labels, weight=weight, **settings)


CASES = {  # by public name: a function of tensors, and what makes them for labels of some shape
    "upsampled_cross_entropy coarse": (weighted(upsampled_cross_entropy), with_labels(4)),
    "upsampled_cross_entropy full": (
        weighted(upsampled_cross_entropy, reduction="none"),
        with_labels(1),
    ),
    "ohem_cross_entropy coarse": (weighted(ohem_cross_entropy, min_kept=0.1), with_labels(4)),
    "ohem_cross_entropy full": (weighted(ohem_cross_entropy, threshold=None), with_labels(1)),
    "bisenet_loss": (losses.bisenet_loss, outputs),
    "adversarial": (
        lambda logits: losses.adversarial(logits, losses.Domain.SOURCE, objective="hinge"),
        logits_alone,
    ),
    "distillation over classes": (losses.distillation, two_maps),
    "distillation over pixels": (
        lambda *maps: losses.distillation(*maps, softmax_over="pixels", temperature=2.0),
        two_maps,
    ),
    "entropy": (losses.entropy, logits_alone),
    "robust_entropy": (losses.robust_entropy, logits_alone),
    "self_information": (losses.self_information, logits_alone),
    "median_frequency_weights": (losses.median_frequency_weights, counts),
}
every_loss = pytest.mark.parametrize("name", CASES)


def test_no_public_function_is_left_out():
    assert {name.split()[0] for name in CASES} == {*losses.__all__} - {"Domain"}


def value_and_gradient(loss, logits, *others):
    """The gradient of the logits; none of counts, which have none."""
    if not logits.is_floating_point():
        return (loss(logits),)
    logits = logits.detach().requires_grad_()
    value = loss(logits, *others)
    return value.detach(), *torch.autograd.grad(value.sum(), logits)


@pytest.mark.parametrize(("dynamic", "backend"), [(None, "eager"), (True, "aot_eager")])
@every_loss
def test_compiles_in_one_piece_while_shapes_change(name, dynamic, backend):
    loss, make = CASES[name]
    torch.compiler.reset()
    compiled = torch.compile(loss, backend=backend, fullgraph=True, dynamic=dynamic)
    # A smaller last batch, then other images; no two sides that torch could take for one.
    for shape in [(4, 24, 56), (3, 24, 56), (2, 80, 88)]:
        tensors = make(shape)
        torch.testing.assert_close(
            value_and_gradient(compiled, *tensors), value_and_gradient(loss, *tensors)
        )


class OneDevice(TorchDispatchMode):
    """Refuses copies between devices, for which the host waits."""

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if "copy" in str(func):
            assert result.device.type == args[0].device.type, f"{func} waits for the device"
        return result


def torch_has_fake_gpus():
    """Without a driver, 2.9 asks for one when a fake tensor on a GPU is indexed."""
    try:
        with FakeTensorMode():
            torch.ones(1, device="cuda")[None]
    except (RuntimeError, AssertionError):  # the latter where torch knows no GPU at all
        return False
    return True


needs_fake_gpus = pytest.mark.skipif(not torch_has_fake_gpus(), reason="torch asks for a driver")


# A fake tensor has no values: whoever looks at one gets an error, as would who mixes devices.
@needs_fake_gpus
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@every_loss
def test_looks_at_no_value_on_a_gpu(name, dtype):
    loss, make = CASES[name]
    with FakeTensorMode(), OneDevice():
        value = loss(*make((2, 16, 24), device="cuda", dtype=dtype))
    assert value.device.type == "cuda"
    single = torch.float32 if name == "median_frequency_weights" else dtype
    assert value.dtype == torch.promote_types(single, torch.float32)


@pytest.mark.parametrize("fake", [True, False])
@every_loss
def test_needs_no_values_for_shapes(name, fake):
    loss, make = CASES[name]
    expected = value_and_gradient(loss, *make((2, 16, 24)))
    if fake:
        with FakeTensorMode():
            got = value_and_gradient(loss, *make((2, 16, 24)))
    else:
        got = value_and_gradient(loss, *make((2, 16, 24), device="meta"))
    assert [(each.shape, each.dtype) for each in got] == [
        (each.shape, each.dtype) for each in expected
    ]


# Under FakeTensorMode an operator's own code is not run; this runs it.
@needs_fake_gpus
def test_the_bands_are_made_on_the_device_of_the_scores():
    with FakeTensorMode(), OneDevice():
        scores = torch.randn(3, 2, 4, 6, device="cuda")
        labels = torch.zeros(8, 2, 6, dtype=torch.int64, device="cuda")
        values, log2_sums = _banded._forward._init_fn(scores, labels, 255)
        gradient = _banded._backward._init_fn(values, scores, labels, log2_sums, 255)
    assert values.device == log2_sums.device == gradient.device == scores.device
    assert values.shape == log2_sums.shape == labels.shape
    assert gradient.shape == scores.shape


@needs_fake_gpus
def test_the_bands_of_two_maps_are_made_on_their_device():
    with FakeTensorMode(), OneDevice():
        maps = [torch.randn(height, 2, 4, 6, device="cuda") for height in (3, 5)]
        weights = torch.ones(8, 2, 6, device="cuda")
        over_classes = _banded_divergence._class_forward._init_fn(*maps, 8)
        over_pixels = _banded_divergence._pixel_forward._init_fn(*maps, weights)
        gradients = [
            _banded_divergence._class_backward._init_fn(
                over_classes[0], *maps, *over_classes[1:], 8
            ),
            _banded_divergence._pixel_backward._init_fn(
                over_pixels[0], *maps, weights, *over_pixels[1:]
            ),
        ]
    assert {each.shape for each in over_classes} == {weights.shape}
    assert {each.shape for each in over_pixels} == {(1, 2, 4)}
    for gradient in gradients:
        assert (gradient.device, gradient.shape) == (maps[0].device, maps[0].shape)


class Recorder(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


# Its backward adds up in any order; torch has another way for two dimensions, not for one.
@needs_fake_gpus
@pytest.mark.parametrize("name", ["upsampled_cross_entropy coarse", "bisenet_loss"])
def test_no_interpolation_of_torchs_own_where_a_gpu_has_to_be_deterministic(name):
    loss, make = CASES[name]
    torch.use_deterministic_algorithms(True)
    try:
        with FakeTensorMode(), Recorder() as recorder:
            loss(*make((2, 16, 24), device="cuda"))
    finally:
        torch.use_deterministic_algorithms(False)
    assert recorder.names
    assert not [each for each in recorder.names if "upsample" in each]


def one_by_one(function, tensors, in_dims):
    """What vmap over three entries has to give."""
    entries = [
        [
            each if axis is None else each.select(axis, index)
            for each, axis in zip(tensors, in_dims, strict=True)
        ]
        for index in range(3)
    ]
    return torch.stack([function(*entry) for entry in entries])


two_sizes = pytest.mark.parametrize("softmax_over", ["classes", "pixels"])


@two_sizes
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("in_dims", [(0, 0), (0, None), (None, 0), (2, 1)])
def test_vmap_and_grad_of_distillation_equal_a_loop(softmax_over, in_dims, batch):
    loss = partial(losses.distillation, softmax_over=softmax_over)
    mapped = [
        maps((batch, 16, 24), stride)
        if axis is None
        else torch.stack([maps((batch, 16, 24), stride) for _ in range(3)], axis)
        for stride, axis in zip((4, 8), in_dims, strict=True)
    ]
    for function in (loss, grad(loss)):
        expected = one_by_one(function, mapped, in_dims)
        torch.testing.assert_close(vmap(function, in_dims)(*mapped), expected)


labelled = pytest.mark.parametrize("loss", [upsampled_cross_entropy, ohem_cross_entropy])
sizes = pytest.mark.parametrize("stride", [1, 4])


@sizes
@labelled
def test_torch_func_has_the_gradient_of_backward(loss, stride):
    logits, labels = maps((2, 16, 24), stride), ids((2, 16, 24))
    _, expected = value_and_gradient(loss, logits, labels)
    torch.testing.assert_close(grad(loss)(logits, labels), expected)


@pytest.mark.parametrize("in_dims", [(0, 0), (0, None), (None, 0), (2, 1)])
@sizes
@labelled
def test_vmap_equals_a_loop(loss, stride, in_dims):
    tensors = [
        torch.stack([make() for _ in range(3)], axis or 0)
        for make, axis in zip(
            (lambda: maps((2, 16, 24), stride), lambda: ids((2, 16, 24))), in_dims, strict=True
        )
    ]
    tensors = [
        each if axis is not None else each[0] for each, axis in zip(tensors, in_dims, strict=True)
    ]
    for function in (loss, grad(loss)):
        expected = one_by_one(function, tensors, in_dims)
        torch.testing.assert_close(vmap(function, in_dims)(*tensors), expected)


@labelled
def test_vmap_over_weights_of_classes(loss):
    logits, labels, weights = maps((2, 16, 24)), ids((2, 16, 24)), torch.rand(3, 5)
    together = vmap(lambda weight: loss(logits, labels, weight=weight))(weights)
    apart = [loss(logits, labels, weight=weight) for weight in weights]
    torch.testing.assert_close(together, torch.stack(apart))


@labelled
def test_a_second_derivative_is_refused_by_torch_func_too(loss):
    logits, labels = maps((2, 16, 24)), ids((2, 16, 24))
    with pytest.raises(RuntimeError, match="differentiated once, got a second derivative"):
        grad(lambda logits: grad(loss)(logits, labels).sum())(logits)
