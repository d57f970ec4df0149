"""FDA among kornia's augmentations, where a call has no slot for a target."""

import kornia.augmentation as K
import pytest
import torch

from oracles.images import images
from uda_seg.transforms import FDA, fourier_domain_adaptation, low_frequency_amplitude


def wrapped(fda, **settings):
    return K.AugmentationSequential(fda, data_keys=["input", "mask"], **settings)


def test_the_image_is_adapted_and_the_mask_is_not():
    torch.manual_seed(0)
    source, target = images(4, 3, 16, 24, dtype=torch.float32)
    mask = torch.randint(19, (4, 1, 16, 24)).float()
    fda = FDA((0.0, 0.5))
    fda.set_target(target)
    adapted, same_mask = wrapped(fda)(source, mask)
    expected = fourier_domain_adaptation(source, target, fda._params["beta"])
    torch.testing.assert_close(adapted, expected, rtol=0, atol=1e-6)
    assert torch.equal(same_mask, mask)


def test_boxes_and_keypoints_stay_and_the_draws_replay():
    source, target = images(3, 3, 16, 24, dtype=torch.float32)
    boxes = torch.tensor([[[1.0, 2.0, 9.0, 8.0]]]).expand(3, -1, -1)
    points = torch.tensor([[[3.0, 4.0]]]).expand(3, -1, -1)
    fda = FDA((0.0, 0.5), p=0.5)
    keys = ["input", "bbox_xyxy", "keypoints"]
    augment = K.AugmentationSequential(fda, data_keys=keys)
    torch.manual_seed(0)
    fda.set_target(target)
    adapted, same_boxes, same_points = augment(source, boxes, points)
    assert torch.equal(same_boxes, boxes)
    assert torch.equal(same_points, points)
    again, _, _ = augment(source, boxes, points, params=augment._params)
    assert torch.equal(again, adapted)
    assert not torch.equal(adapted, source)


@pytest.mark.parametrize("shape", [(3, 16, 24), (1, 3, 16, 24)])
def test_a_single_image_and_its_mask_keep_their_shape(shape):
    source, target = images(3, 16, 24, dtype=torch.float32)
    fda, mask = FDA(0.2), torch.ones(1, 16, 24)
    fda.set_target(target.reshape(shape))
    adapted, same_mask = wrapped(fda, keepdim=True)(source, mask)
    expected = fourier_domain_adaptation(source[None], target[None], 0.2)[0]
    torch.testing.assert_close(adapted, expected, rtol=0, atol=0)
    assert torch.equal(same_mask, mask)


def test_a_container_may_draw_once_for_all_images():
    fda = FDA((0.0, 0.5), p=0.5)
    fda.set_target(torch.rand(3, 3, 16, 24))
    augment = wrapped(fda, same_on_batch=True)
    for _ in range(10):
        (params,) = augment.forward_parameters((8, 3, 16, 24))
        for name in ("beta", "batch_prob", "draw"):
            assert params.data[name].unique().numel() == 1


def test_without_a_target_it_says_what_to_call():
    with pytest.raises(ValueError, match=r"set_target\(target\) before the container"):
        wrapped(FDA(0.1))(torch.rand(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))


def test_integer_images_are_refused_with_advice():
    fda = FDA(0.1, p=0.0)
    fda.set_target(torch.rand(1, 3, 8, 8))
    with pytest.raises(TypeError, match=r"source.*torch.uint8.*divide.*255"):
        wrapped(fda)(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 1, 8, 8))


def flip(**settings):
    return K.RandomHorizontalFlip(p=1.0, **settings)


@pytest.mark.parametrize("banked", [False, True])
@pytest.mark.parametrize("random_apply", [False, 1, (1, 3)])
@pytest.mark.parametrize("nested", [False, True])
def test_the_target_finds_it_wherever_it_stands_and_whatever_is_applied(
    banked, random_apply, nested
):
    torch.manual_seed(0)
    source, target = images(2, 3, 16, 24, dtype=torch.float32)
    mask = torch.randint(19, (2, 1, 16, 24)).float()
    fda = FDA(0.2)
    inner = K.ImageSequential(fda) if nested else fda
    augment = K.AugmentationSequential(
        flip(), inner, K.RandomVerticalFlip(p=1.0),
        data_keys=["input", "mask"], random_apply=random_apply,
    )  # fmt: skip
    fda.set_target(low_frequency_amplitude(target, 0.2) if banked else target)
    seen = set()
    for _ in range(12):
        adapted, turned = augment(source, mask)
        applied = [param.name.split("_")[0] for param in augment._params]
        expected, labels = source, mask
        for name in applied:
            if name == "RandomHorizontalFlip":
                expected, labels = expected.flip(-1), labels.flip(-1)
            elif name == "RandomVerticalFlip":
                expected, labels = expected.flip(-2), labels.flip(-2)
            else:
                expected = fourier_domain_adaptation(expected, target, 0.2)
        torch.testing.assert_close(adapted, expected, rtol=0, atol=1e-6)
        assert torch.equal(turned, labels)
        assert torch.equal(augment(source, mask, params=augment._params)[0], adapted)
        seen.add(tuple(applied))
    assert len(seen) == 1 or random_apply
    assert len(seen) > 1 or not random_apply
