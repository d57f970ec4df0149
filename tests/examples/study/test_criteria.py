"""The criteria against numpy on all pixels at once."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles import fda as oracle
from study.criteria import certainty_and_diversity, discriminator_confusion, fda_consistency


def entropy(p):
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1) / np.log(p.shape[-1])


@given(classes=st.integers(2, 6), sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_certainty_and_diversity_equal_numpys_on_all_pixels(classes, sizes):
    torch.manual_seed(0)
    batches = [3 * torch.randn(size, classes, 4, 5 + size) for size in sizes]
    rows = np.concatenate(
        [batch.softmax(1).movedim(1, -1).reshape(-1, classes).numpy() for batch in batches]
    ).astype(np.float64)
    mean, diversity = entropy(rows).mean(), entropy(rows.mean(0))
    assert certainty_and_diversity(lambda logits: logits, iter(batches)) == pytest.approx(
        {"certainty": 1 - mean, "diversity": diversity, "information": diversity - mean}, abs=1e-6
    )


def test_a_collapse_is_certain_but_bears_no_information():
    one_class = torch.full((2, 3, 4, 4), -math.inf)
    one_class[:, 1] = 0
    figures = certainty_and_diversity(lambda logits: logits, [one_class])
    assert figures == pytest.approx({"certainty": 1, "diversity": 0, "information": 0})
    figures = certainty_and_diversity(lambda logits: 0 * logits, [torch.ones(2, 3, 4, 4)])
    assert figures == pytest.approx({"certainty": 0, "diversity": 1, "information": 0}, abs=1e-6)


def test_certain_and_evenly_spread_predictions_bear_all_information():
    logits = 100 * torch.eye(4).view(1, 4, 2, 2)
    assert certainty_and_diversity(lambda x: x, [logits])["information"] == pytest.approx(1)


def brightness_classes(images):
    """Three classes by the brightness of each pixel."""
    brightness = images.mean(1, keepdim=True)
    return torch.cat([(brightness - level).abs().neg() for level in (0.2, 0.5, 0.8)], 1)


def test_consistency_equals_a_loop_over_single_images_with_the_numpy_fda():
    torch.manual_seed(0)
    images = torch.rand(6, 3, 32, 40) * torch.linspace(0.3, 1.3, 6).view(6, 1, 1, 1)
    batches = images.split([2, 3, 1])
    images = images.double().numpy()
    order = [1, 0, 1, 2, 3, 4]  # whose low frequencies each takes
    betas, agreement = (0.02, 0.2), []
    for index, style in enumerate(order):
        original = brightness_classes(torch.from_numpy(images[index : index + 1])).argmax(1)
        for beta in betas:
            adapted = oracle.fourier_domain_adaptation(images[index], images[style], beta)
            other = brightness_classes(torch.from_numpy(adapted)[None]).argmax(1)
            agreement.append((original == other).double().mean().item())
    actual = fda_consistency(brightness_classes, iter(batches), betas)
    assert actual == pytest.approx(np.mean(agreement), abs=1e-3)
    assert 0.1 < actual < 0.99


def test_a_network_that_always_says_the_same_is_consistent():
    batches = [torch.rand(2, 3, 32, 32)]
    assert (
        fda_consistency(lambda images: torch.eye(3)[:1, :, None, None] + 0 * images, batches) == 1
    )


@pytest.mark.parametrize(
    ("sources_called_target", "targets_called_target", "confusion"),
    [(0, 4, 0.0), (4, 0, 0.0), (2, 2, 1.0), (4, 4, 1.0), (0, 0, 1.0), (1, 3, 0.5), (0, 2, 0.5)],
)
def test_confusion_is_one_at_chance_and_zero_where_domains_are_told_apart(
    sources_called_target, targets_called_target, confusion
):
    def discriminator(maps):
        assert torch.allclose(maps.sum(1), torch.ones(1))
        return maps[:, :1] - 0.5

    def batches(called_target):
        signs = torch.full((4,), -1.0)
        signs[:called_target] = 1
        return iter([torch.stack([each, -each]).view(1, 2, 1, 1) for each in signs])

    assert discriminator_confusion(
        lambda images: images,
        discriminator,
        batches(sources_called_target),
        batches(targets_called_target),
    ) == pytest.approx(confusion)


def test_every_patch_counts_the_same_and_the_boundary_and_the_maps_can_be_chosen():
    source = [torch.full((1, 1, 1, 3), 0.2), torch.full((1, 1, 1, 1), 0.6)]
    target = [torch.full((2, 1, 1, 1), 0.6)]
    arguments = (lambda x: x + 1, lambda x: x, source, target)
    maps = lambda logits: logits - 1  # noqa: E731
    assert discriminator_confusion(*arguments, maps=maps, boundary=0.5) == pytest.approx(0.25)
    assert discriminator_confusion(*arguments, maps=maps) == pytest.approx(1)


def test_nothing_to_look_at_is_refused():
    some = [torch.rand(2, 3, 32, 32)]
    with pytest.raises(ValueError, match="at least one batch"):
        certainty_and_diversity(brightness_classes, [])
    with pytest.raises(ValueError, match="at least one batch"):
        fda_consistency(brightness_classes, [])
    for source, target in ((some, []), ([], some)):
        with pytest.raises(ValueError, match="at least one batch"):
            discriminator_confusion(brightness_classes, lambda maps: maps, source, target)
    with pytest.raises(ValueError, match="two images"):
        fda_consistency(brightness_classes, [some[0][:1]])
    with pytest.raises(ValueError, match="one beta"):
        fda_consistency(brightness_classes, some, [])
