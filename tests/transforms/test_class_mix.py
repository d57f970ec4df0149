"""ClassMix against pasting pixel by pixel."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.class_mix import classes_of, paste
from uda_seg.transforms import class_mix


def batch(size, height, width, classes, seed=0, dtype=torch.float32):
    """Images, labels of which about one in three pixels is ignored, and weights."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(size, 3, height, width, generator=generator).to(dtype)
    labels = torch.randint(classes, (size, height, width), generator=generator)
    unknown = torch.rand(labels.shape, generator=generator) < 1 / 3
    weights = torch.rand(labels.shape, generator=generator)
    return images, labels.masked_fill(unknown, 255), weights


@given(
    st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(1, 255), st.integers(0, 99)
)
def test_equals_pasting_pixel_by_pixel_with_the_same_classes(size, height, width, classes, seed):
    images, labels, _ = batch(size, height, width, classes, seed)
    target_images, target_labels, target_weights = batch(size, height, width, classes, seed + 100)
    mixed = class_mix(images, labels, target_images, target_labels, target_weights=target_weights)
    for each in range(size):
        chosen = classes_of(labels[each][mixed.pasted[each]])
        assert len(chosen) == math.ceil(len(classes_of(labels[each])) / 2)
        ones = torch.ones(height, width)
        source = images[each], labels[each], ones, ones
        target = target_images[each], target_labels[each], target_weights[each], 0 * ones
        expected = paste(source, target, chosen)
        assert all(map(torch.equal, [part[each] for part in mixed[:3]], expected))
        assert torch.equal(mixed.pasted[each], expected[3].bool())


def test_every_half_of_the_classes_is_equally_likely():
    torch.manual_seed(0)
    labels = torch.tensor([3, 0, 200, 254, 255]).expand(3000, 1, 5)
    images = torch.zeros(3000, 1, 1, 5)
    pasted = class_mix(images, labels, images, labels).pasted
    drawn = Counter(tuple(row) for row in pasted[:, 0].tolist())
    # 6 pairs of 4 classes, 500 each; 4 deviations of the binomial are 82.
    assert len(drawn) == 6
    assert all(418 <= count <= 582 for count in drawn.values())


def test_the_same_seed_gives_the_same_classes_and_another_gives_others():
    images, labels, _ = batch(4, 8, 8, 19)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(class_mix(images, labels, images, labels).pasted)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_the_images_of_a_batch_draw_their_own_classes():
    labels = torch.arange(10).expand(8, 1, 10)
    images = torch.zeros(8, 3, 1, 10)
    pasted = class_mix(images, labels, images, labels).pasted
    assert len({tuple(row) for row in pasted[:, 0].tolist()}) > 1


@pytest.mark.parametrize("ignore_index", [255, -100, 0, 1000])
def test_an_unlabelled_image_pastes_nothing(ignore_index):
    images, labels, weights = batch(2, 4, 5, 19)
    nothing = torch.full_like(labels, ignore_index)
    mixed = class_mix(
        images + 1, nothing, images, labels, target_weights=weights, ignore_index=ignore_index
    )
    assert not mixed.pasted.any()
    assert torch.equal(mixed.images, images)
    assert torch.equal(mixed.labels, labels)
    assert torch.equal(mixed.weights, weights)


def test_255_is_a_class_where_another_id_is_ignored():
    images = torch.zeros(1, 3, 2, 2)
    labels = torch.full((1, 2, 2), 255)
    assert class_mix(images, labels, images, labels, ignore_index=-100).pasted.all()


def test_one_weight_an_image_serves_all_of_its_target_pixels():
    images = torch.zeros(2, 3, 1, 2)
    labels = torch.tensor([[[4, 255]], [[255, 4]]])
    weights = torch.tensor([0.25, 0.5])
    mixed = class_mix(images, labels, images, labels, target_weights=weights)
    assert mixed.weights.tolist() == [[[1, 0.25]], [[0.5, 1]]]


def test_without_weights_every_pixel_counts_one():
    images, labels, _ = batch(2, 4, 5, 19)
    weights = class_mix(images, labels, images, labels).weights
    assert torch.equal(weights, torch.ones(2, 4, 5))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float64])
def test_keeps_types_and_leaves_the_inputs_alone(dtype):
    source = (255 * batch(2, 4, 5, 19)[0]).to(dtype), batch(2, 4, 5, 19)[1]
    before = [part.clone() for part in source]
    mixed = class_mix(*source, *source, target_weights=torch.rand(2).double())
    assert mixed.images.dtype == dtype
    assert mixed.labels.dtype == torch.int64
    assert mixed.weights.dtype == torch.float64
    assert all(map(torch.equal, source, before))


def test_gradients_reach_both_images_where_their_pixels_are():
    images, labels, _ = batch(2, 4, 5, 19, dtype=torch.float64)
    source, target = images.clone().requires_grad_(), images.clone().requires_grad_()
    mixed = class_mix(source, labels, target, labels)
    mixed.images.sum().backward()
    pasted = mixed.pasted[:, None].expand_as(images).double()
    assert torch.equal(source.grad, pasted)
    assert torch.equal(target.grad, 1 - pasted)


def test_an_empty_batch_stays_empty():
    images, labels = torch.zeros(0, 3, 4, 5), torch.zeros(0, 4, 5, dtype=torch.int64)
    assert class_mix(images, labels, images, labels).images.shape == (0, 3, 4, 5)


def test_a_generator_replaces_the_global_one():
    images, labels, _ = batch(4, 8, 8, 19)
    torch.manual_seed(0)
    expected = class_mix(images, labels, images, labels).pasted
    state = torch.get_rng_state()
    results = [
        class_mix(images, labels, images, labels, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(results[0].pasted, expected)
    assert torch.equal(results[1].pasted, expected)
    assert not torch.equal(results[2].pasted, expected)


INTEGERS = [
    torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
    torch.uint64,
]  # fmt: skip


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("ignore_index", [255, -100, 7])
def test_labels_of_any_integer_type_give_the_same(dtype, ignore_index):
    images, labels, _ = batch(2, 8, 8, 19)
    labels = labels.masked_fill(labels == 255, 7)  # within int8
    expected, same = (
        class_mix(
            images, source, 1 - images, target, ignore_index=ignore_index,
            generator=torch.Generator().manual_seed(0),
        )
        for source, target in (
            (labels, labels.flip(0)),
            (labels.to(dtype), labels.flip(0).to(dtype)),
        )
    )  # fmt: skip
    assert same.labels.dtype == torch.int64
    assert all(map(torch.equal, same, expected))


@pytest.mark.parametrize("source_axis", [False, True])
@pytest.mark.parametrize("target_axis", [False, True])
@pytest.mark.parametrize("weights_axis", [False, True, None])
def test_masks_with_a_channel_give_the_same_with_the_sources_axes(
    source_axis, target_axis, weights_axis
):
    images, labels, weights = batch(2, 8, 8, 19)
    targets = labels.flip(0)
    weights = weights[:, 0, 0] if weights_axis is None else weights
    expected = class_mix(
        images, labels, 1 - images, targets, target_weights=weights,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    mixed = class_mix(
        images,
        labels[:, None] if source_axis else labels,
        1 - images,
        targets[:, None] if target_axis else targets,
        target_weights=weights[:, None] if weights_axis else weights,
        generator=torch.Generator().manual_seed(0),
    )
    assert torch.equal(mixed.images, expected.images)
    for part, whole in zip(mixed[1:], expected[1:], strict=True):
        assert torch.equal(part, whole[:, None] if source_axis else whole)


def test_ids_out_of_range_are_no_class_where_they_cannot_be_refused():
    torch.compiler.reset()
    images, labels = torch.zeros(1, 3, 1, 5), torch.tensor([[[4, -1, 256, 255, 10**6]]])
    mixed = torch.compile(class_mix, backend="aot_eager", fullgraph=True)(
        images, labels, images + 1, torch.full_like(labels, 9)
    )
    assert mixed.labels.tolist() == [[[4, 9, 9, 9, 9]]]
    assert mixed.pasted.tolist() == [[[True, False, False, False, False]]]


@pytest.mark.parametrize("wrong", [-1, 256, -100])
def test_ids_out_of_range_are_refused(wrong):
    images, labels = torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)
    labels[0, 1, 1] = wrong
    with pytest.raises(ValueError, match=r"labels in \[0, 256\) or 255 for no class, got ids from"):
        class_mix(images, labels, images, labels.clamp(0, 1))


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"images": torch.zeros(2, 3, 4, 6)},
            r"the same shape .*\(2, 3, 4, 6\) and \(2, 3, 4, 5\)",
        ),
        ({"images": torch.zeros(3, 4, 5)}, r"the same shape \(B, C, H, W\), got \(3, 4, 5\)"),
        ({"labels": torch.zeros(2, 4, 6).long()}, r"source labels of shape \(2, 4, 5\)"),
        ({"target_labels": torch.zeros(1, 4, 5).long()}, r"target labels .* got \(1, 4, 5\)"),
        ({"target_weights": torch.zeros(2, 4)}, r"\(2, 4, 5\), \(2, 1, 4, 5\) or \(2,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(replaced, message):
    images, labels = torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.int64)
    arguments = {
        "images": images,
        "labels": labels,
        "target_images": images,
        "target_labels": labels,
    }
    with pytest.raises(ValueError, match=message):
        class_mix(**{**arguments, **replaced})


def test_types_that_do_not_fit_are_refused():
    images, labels = torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"source labels of an integer type, got torch\.bool"):
        class_mix(images, labels.bool(), images, labels)
    with pytest.raises(TypeError, match=r"target labels of an integer type, got torch\.float32"):
        class_mix(images, labels, images, labels.float())
    with pytest.raises(TypeError, match=r"the same dtype, got torch\.float32 and torch\.uint8"):
        class_mix(images, labels, images.byte(), labels)
