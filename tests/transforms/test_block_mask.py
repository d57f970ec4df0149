"""Block masking, block by block, and the promises of its kornia class."""

import kornia.augmentation as K
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.images import images as random_images
from uda_seg.transforms import BlockMask, block_mask

FILL = (-1.0, -2.0, -3.0)  # no image of [0, 1] has it


def images(*shape, dtype=torch.float32):
    return random_images(*shape, dtype=dtype)[0]


def blocks(image, size):
    """The blocks of one image from the top left, the last ones cut."""
    return [part for row in image.split(size, dim=1) for part in row.split(size, dim=2)]


def is_masked(block):
    return torch.equal(block, torch.tensor(FILL).to(block)[:, None, None].expand_as(block))


@given(
    st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.floats(0, 1)
)
def test_every_block_is_either_masked_or_untouched(size, height, width, block_size, ratio):
    before = images(size, 3, height, width)
    after = block_mask(before, FILL, block_size=block_size, ratio=ratio)
    for whole, masked in zip(before, after, strict=True):
        pairs = zip(blocks(whole, block_size), blocks(masked, block_size), strict=True)
        assert all(is_masked(new) or torch.equal(new, old) for old, new in pairs)


def test_blocks_of_64_are_masked_independently_with_the_papers_ratio():
    torch.manual_seed(0)
    masked = block_mask(images(40, 3, 128, 192), FILL)
    drawn = torch.tensor([[is_masked(block) for block in blocks(each, 64)] for each in masked])
    assert drawn.shape == (40, 6)
    # 240 draws of probability 0.7: 4 deviations are 28.
    assert 140 <= drawn.sum() <= 196
    # Independent draws give 2 to 6 masked blocks of 6, an exact share would always give 4.
    assert len(set(drawn.sum(dim=1).tolist())) >= 3
    assert len({tuple(row) for row in drawn.tolist()}) >= 10


@pytest.mark.parametrize(("ratio", "share"), [(0.0, 0), (1.0, 1)])
def test_the_ends_of_the_ratio_mask_nothing_or_all(ratio, share):
    masked = block_mask(images(4, 3, 50, 70), FILL, block_size=8, ratio=ratio)
    assert (masked < 0).float().mean() == share


def test_the_same_mask_serves_the_batch_on_request():
    masked = block_mask(images(4, 3, 64, 64), FILL, block_size=8, same_on_batch=True) < 0
    assert (masked == masked[:1]).all()
    masked = block_mask(images(4, 3, 64, 64), FILL, block_size=8) < 0
    assert not (masked == masked[:1]).all()


def test_the_networks_mean_is_zero_after_normalisation():
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    masked = block_mask(images(1, 3, 64, 64), mean, ratio=1.0)
    normalised = K.Normalize(mean, std)(masked)
    assert torch.equal(normalised, torch.zeros_like(normalised))


@pytest.mark.parametrize("fill", [0.25, [0.25], torch.tensor(0.25), [0.25] * 3])
def test_takes_one_number_for_all_channels_or_one_for_each(fill):
    assert (block_mask(images(2, 3, 9, 9), fill, ratio=1.0) == 0.25).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_keeps_the_type_and_leaves_the_images_alone(dtype):
    before = images(2, 3, 64, 64, dtype=dtype)
    copy = before.clone()
    assert block_mask(before, FILL, block_size=8).dtype == dtype
    assert torch.equal(before, copy)


def test_gradients_reach_what_is_seen():
    seen = images(2, 3, 64, 64).requires_grad_()
    masked = block_mask(seen, FILL, block_size=8)
    masked.sum().backward()
    assert torch.equal(seen.grad, (masked >= 0).float())


@pytest.mark.parametrize("make", [block_mask, lambda images, fill: BlockMask(fill)(images)])
def test_the_same_seed_gives_the_same_masks(make):
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(make(images(2, 3, 256, 256), FILL))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("same_on_batch", [False, True])
def test_a_generator_replaces_the_global_one(same_on_batch):
    def masked(**settings):
        return block_mask(
            images(3, 3, 64, 64), FILL, block_size=8, same_on_batch=same_on_batch, **settings
        )

    torch.manual_seed(0)
    expected, state = masked(), torch.get_rng_state()
    for seed, same in ((0, True), (0, True), (1, False)):
        drawn = masked(generator=torch.Generator().manual_seed(seed))
        assert torch.equal(drawn, expected) == same
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (50, 70)])
@pytest.mark.parametrize("same_on_batch", [False, True])
def test_the_class_does_what_the_function_does(same_on_batch, height, width):
    settings = {"block_size": 16, "ratio": 0.4, "same_on_batch": same_on_batch}
    torch.manual_seed(0)
    expected = block_mask(images(3, 3, height, width), FILL, **settings)
    torch.manual_seed(0)
    assert torch.equal(BlockMask(FILL, **settings)(images(3, 3, height, width)), expected)


def test_the_class_has_the_functions_defaults():
    assert "block_size=64, ratio=0.7" in repr(BlockMask(FILL))
    assert "p=1.0" in repr(BlockMask(FILL))


def test_the_class_masks_whole_images_or_none_and_replays():
    torch.manual_seed(0)
    before = images(32, 3, 16, 16)
    mask = BlockMask(FILL, block_size=16, ratio=1.0, p=0.5)
    after = mask(before)
    masked = torch.tensor([is_masked(image) for image in after])
    assert torch.equal(after[~masked], before[~masked])
    assert 6 <= masked.sum() <= 26  # outside once in 7,000 seeds
    params = mask._params
    mask(before)
    assert torch.equal(mask(before, params=params), after)


@pytest.mark.parametrize(("keepdim", "shape"), [(True, (3, 8, 9)), (False, (1, 3, 8, 9))])
def test_a_single_image_keeps_its_shape_on_request(keepdim, shape):
    assert BlockMask(FILL, keepdim=keepdim)(images(3, 8, 9)).shape == shape


def test_in_a_container_the_image_is_masked_and_the_labels_are_not():
    labels = torch.randint(19, (4, 1, 32, 32)).float()
    augment = K.AugmentationSequential(BlockMask(FILL, ratio=1.0), data_keys=["input", "mask"])
    masked, same = augment(images(4, 3, 32, 32), labels)
    assert (masked < 0).all()
    assert torch.equal(same, labels)


@pytest.mark.parametrize("settings", [{"block_size": 0}, {"ratio": -0.1}, {"ratio": 70}])
def test_settings_out_of_range_are_refused(settings):
    for make in (
        BlockMask,
        lambda *args, **settings: block_mask(images(1, 3, 8, 8), *args, **settings),
    ):
        with pytest.raises(ValueError, match=r"at least 1 pixel and a ratio in \[0, 1\], got"):
            make(FILL, **settings)


@pytest.mark.parametrize("fill", [(1.0, 2.0), torch.zeros(1, 3)])
def test_a_fill_of_another_number_of_channels_is_refused(fill):
    for make in (block_mask, lambda images, fill: BlockMask(fill)(images)):
        with pytest.raises(ValueError, match="one number or 3, one per channel, got shape"):
            make(images(1, 3, 8, 8), fill)


def test_images_of_another_shape_or_type_are_refused():
    with pytest.raises(ValueError, match=r"\(B, C, H, W\), got \(3, 8, 8\)"):
        block_mask(images(3, 8, 8), FILL)
    pixels = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    contained = K.AugmentationSequential(BlockMask(FILL), data_keys=["input"])
    for make in (lambda images: block_mask(images, FILL), BlockMask(FILL), contained):
        with pytest.raises(TypeError, match=r"floating-point images, got torch\.uint8; divide"):
            make(pixels)
