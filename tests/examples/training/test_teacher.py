"""A teacher that follows its student, and the losses by its labels."""

import pytest
import torch

from gta2city import segmentation_loss
from oracles import segmentation
from training.data import Batch
from training.teacher import (
    SelfTraining,
    build_teacher,
    pseudo_label_loss,
    relative_weights,
    strong_augmentation,
    update_teacher,
)
from uda_seg.models import BiSeNet, BiSeNetOutput

CLASSES = 5
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.7], dtype=torch.float64)


@pytest.fixture
def some_output():
    """Logits of three resolutions, and labels of which some are ignored."""
    torch.manual_seed(0)
    sizes = (4, 6), (4, 6), (2, 3)
    heads = [torch.randn(2, 5, *size, dtype=torch.float64, requires_grad=True) for size in sizes]
    labels = torch.randint(5, (2, 16, 24))
    labels[0, :9] = 255
    return BiSeNetOutput(heads[0], tuple(heads[1:])), labels


def test_of_a_teachers_labels_a_pixel_counts_by_its_own_weight_alone(some_output):
    output, labels = some_output
    pixel_weights = torch.rand(labels.shape, dtype=torch.float64)
    valid = (labels != 255).numpy()
    losses = [
        segmentation.cross_entropy(logits.detach().numpy(), labels.numpy(), 255)
        for logits in (output.logits, *output.auxiliary)
    ]
    expected = sum((pixel_weights.numpy() * valid * each).sum() for each in losses) / valid.sum()
    found = pseudo_label_loss(output, labels, pixel_weights)
    assert found.item() == pytest.approx(expected)
    half = pseudo_label_loss(output, labels, pixel_weights / 2)
    torch.testing.assert_close(half, found / 2)  # no mean by these weights


def test_pixels_of_weight_zero_have_no_gradient(some_output):
    output, labels = some_output
    pixel_weights = torch.ones(labels.shape, dtype=torch.float64)
    pixel_weights[1] = 0
    pseudo_label_loss(output, labels, pixel_weights).backward()
    for logits in (output.logits, *output.auxiliary):
        assert logits.grad[0].any()
        assert not logits.grad[1].any()


def test_pseudo_labels_that_are_all_ignored_have_loss_and_gradient_zero(some_output):
    output, labels = some_output
    nothing = torch.full_like(labels, 255)
    loss = pseudo_label_loss(output, nothing, torch.ones(labels.shape))
    loss.backward()
    assert loss == 0
    assert not any(logits.grad.any() for logits in (output.logits, *output.auxiliary))


def test_relative_weights_turn_the_weighted_mean_into_a_plain_one(some_output):
    output, labels = some_output
    batch = Batch(None, labels, None, WEIGHTS)
    relative = pseudo_label_loss(output, labels, relative_weights(labels, WEIGHTS))
    torch.testing.assert_close(relative, segmentation_loss(output, batch))


@pytest.mark.parametrize("size", [(64, 128), (20, 19), (96, 133)])
def test_strong_augmentation_changes_images_but_neither_size_nor_range(size):
    torch.manual_seed(0)
    images = torch.rand(12, 3, *size)
    strong = strong_augmentation(size)(images)
    assert strong.shape == images.shape
    assert 0 <= strong.min() < strong.max() <= 1
    same = [torch.allclose(*pair, atol=1e-4) for pair in zip(strong, images, strict=True)]
    assert sum(same) < 12
    means = (strong.mean((2, 3)) - images.mean((2, 3))).abs().amax(1)
    assert len({round(change, 3) for change in means.tolist()}) > 6  # each image by itself


def test_a_teacher_begins_as_its_student_and_follows_it_and_its_statistics(fabric):
    student = BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False)
    teacher, state = build_teacher(student, SelfTraining(teacher_decay=0.75)), student.state_dict()
    torch.testing.assert_close(teacher.module.state_dict(), state, rtol=0, atol=0)
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())
    names = "head.classify.weight", next(name for name in state if "running_mean" in name)
    for value in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
        for name in names:
            state[name].fill_(value)
        update_teacher(fabric, teacher, student)
    taught = teacher.module.state_dict()
    # The mean of 1 to 4, in which each decay is below 0.75; then twice 0.75.
    expected = 0.75 * (0.75 * 2.5 + 0.25 * 5) + 0.25 * 6
    for name in names:
        torch.testing.assert_close(taught[name], torch.full_like(taught[name], expected))


@pytest.mark.parametrize(
    "wrong",
    [
        {"teacher_decay": 1.1},
        {"teacher_decay": -0.1},
        {"confidence": 96.8},
        {"confidence": -0.1},
        {"mask_ratio": 1.5},
        {"mask_ratio": float("nan")},
        {"block_size": 0},
    ],
    ids=str,
)
def test_what_would_fail_after_the_warm_up_is_refused(wrong):
    with pytest.raises(ValueError, match=r"in \[0, 1\], and blocks of at least one pixel, got"):
        SelfTraining(**wrong)
