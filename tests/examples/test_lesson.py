"""Which step each recipe takes, and with what."""

from contextlib import nullcontext

import pytest
import torch
from kornia.augmentation import AugmentationSequential
from lightning_fabric import Fabric

import lesson
from cast import Cast
from learner import Learner
from lesson import learn
from evaluation.normalization import normalization
from oracles.tiny import TinyNetwork
from study.recipes import Recipe
from supervision import segmentation_loss
from teaching import SelfTraining
from uda_seg.datasets import Sample
from uda_seg.discriminators import DepthwiseFC
from uda_seg.models import BiSeNetOutput
from uda_seg.transforms import fourier_domain_adaptation

STEPS = ("source_step", "control_step", "entropy_step", "adversarial_step", "self_training_step")
TEACHER = object()
HINGE = Recipe(discriminator="full", objective="hinge", maps="self_information")


@pytest.fixture
def fabric():
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture
def samples():
    torch.manual_seed(0)
    images = torch.randint(256, (2, 2, 3, 16, 32), dtype=torch.uint8)
    labels = torch.randint(19, (2, 16, 32))
    unlabelled = Sample(images[1], torch.full_like(labels, 255), ["c", "d"])
    return Sample(images[0], labels, ["a", "b"]), unlabelled


@pytest.fixture
def cast(fabric):
    networks = TinyNetwork(19), DepthwiseFC(19, width=8)
    learners = (
        Learner(fabric, network, torch.optim.SGD(network.parameters(), 0.1), 2)
        for network in networks
    )
    return Cast(*learners, None)


def take(fabric, recipe, cast, samples, **options):
    settings = {
        "weights": torch.rand(19),
        "augment": AugmentationSequential(data_keys=["input", "mask"]),
        "normalize": normalization(cast.network),
        "adversarial_weight": 0.7,
        "share": 0.5,
        "exchange": True,
        "watch": lambda **_: None,
    }
    return learn(fabric, recipe, cast, *samples, **{**settings, **options})


@pytest.mark.parametrize(
    ("recipe", "teacher", "expected", "options"),
    [
        (Recipe(), None, "source_step", {}),
        (Recipe(photometric=True, beta=0.1), None, "source_step", {}),
        (Recipe(target_statistics=True), None, "control_step", {}),
        (Recipe(entropy_weight=0.3), None, "entropy_step", {"weight": 0.3}),
        (
            HINGE,
            None,
            "adversarial_step",
            {"weight": 0.7, "objective": "hinge", "maps": "self_information"},
        ),
        (Recipe(self_training=SelfTraining(masked=False)), TEACHER, "self_training_step", {}),
        (
            Recipe(self_training=SelfTraining()).before_adaptation(),
            TEACHER,
            "control_step",
            {},
        ),
    ],
    ids=["source", "FDA", "control", "entropy", "adversarial", "self-training", "its warm-up"],
)
def test_each_recipe_takes_its_step(
    fabric, samples, cast, recipe, teacher, expected, options, monkeypatch
):
    taken, result = [], object()
    for name in STEPS:
        monkeypatch.setattr(
            lesson,
            name,
            lambda *given, name=name, **named: taken.append((name, given, named)) or result,
        )
    cast, normalize, watch = cast._replace(teacher=teacher), normalization(cast.network), object()
    weights = torch.rand(19)
    given = {"weights": weights, "normalize": normalize, "watch": watch}
    assert take(fabric, recipe, cast, samples, **given) is result
    [(name, (its_fabric, segmenter, *arguments), named)] = taken
    assert (name, its_fabric, segmenter) == (expected, fabric, cast.segmenter.module)
    watched = {"watch": watch} if name in ("adversarial_step", "self_training_step") else {}
    assert named == {**options, **watched, "share": 0.5}

    images, target_images = (sample.image / 255 for sample in samples)
    if recipe.beta is not None:
        images = fourier_domain_adaptation(images, target_images, recipe.beta)
    labels = samples[0].label
    if name == "self_training_step":  # it normalises what it has mixed
        its_teacher, *tensors, loss, of_class, settings, its_normalize = arguments
        assert of_class is weights
        assert (its_teacher, settings, its_normalize) == (teacher, recipe.self_training, normalize)
        torch.testing.assert_close(tensors, [images, labels, target_images])
    else:
        judge = [arguments.pop(0)] if name == "adversarial_step" else []
        assert judge == ([cast.discriminator.module] if judge else [])
        *tensors, loss = arguments
        both = [normalize(images), normalize(target_images)]
        torch.testing.assert_close(tensors, both if name != "source_step" else both[:1])
    found = loss(output := some_output())
    torch.testing.assert_close(found, segmentation_loss(output, labels, weights))


def some_output():
    first, second, third = torch.randn(3, 2, 19, 4, 8)
    return BiSeNetOutput(first, (second, third))


def test_gradients_are_kept_from_all_but_the_last_of_several_micro_batches(
    fabric, samples, cast, monkeypatch
):
    kept = []

    def no_exchange(*given, enabled):
        kept.append((*given, enabled))
        return nullcontext()

    monkeypatch.setattr(lesson, "no_exchange", no_exchange)
    monkeypatch.setattr(lesson, "source_step", lambda *_, **__: {})
    for exchange in (True, False):
        take(fabric, Recipe(), cast, samples, exchange=exchange)
    both = fabric, cast.segmenter.module, cast.discriminator.module
    assert kept == [(*both, False), (*both, True)]
