"""Image sizes: which a backbone takes, padding up to them, cropping what padding added."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from uda_seg.models._sizes import (
    ImageSizes,
    crop_features,
    find_image_sizes,
    fit_images,
    require_cover,
)

sides = st.integers(1, 200)


def picky(takes):
    """Takes the image sizes that pass a test."""

    def run(images):
        assert images.device.type == "meta"
        if not takes(*images.shape[-2:]):
            raise RuntimeError("the size of tensor a must match the size of tensor b")

    return run


class TestFinding:
    @pytest.mark.parametrize(
        ("takes", "sizes"),
        [
            (lambda *_: True, ImageSizes()),
            (lambda h, w: h % 32 == w % 32 == 0, ImageSizes((32, 32))),
            (lambda h, w: h % 8 == w % 8 == 0, ImageSizes((32, 32))),
            (lambda h, w: h % 256 == w % 256 == 0, ImageSizes((256, 256))),
            (lambda h, w: h % 64 == w % 96 == 0, ImageSizes((64, 96))),
            (lambda h, w: h % 64 == 0 and w == 96, ImageSizes((64, 96), fixed=True)),
            (lambda h, w: (h, w) == (64, 96), ImageSizes((64, 96), fixed=True)),
            (lambda h, w: (h, w) == (256, 256), ImageSizes((256, 256), fixed=True)),
        ],
    )
    def test_finds_the_most_that_a_backbone_takes(self, takes, sizes):
        assert find_image_sizes(picky(takes), 3, [(64, 96), (256, 256)]) == sizes

    def test_a_backbone_that_never_runs_is_refused_with_its_complaint(self):
        run = picky(lambda *_: False)
        with pytest.raises(ValueError, match=r"every size tried \(97x289, 96x288.*64x96") as error:
            find_image_sizes(run, 4, [(64, 96)])
        assert "tensor a must match" in str(error.value.__cause__)


class TestFitting:
    @given(height=sides, width=sides, rows=sides, columns=sides)
    def test_padding_leads_to_the_next_multiple_and_moves_no_pixel(
        self, height, width, rows, columns
    ):
        images = torch.rand(1, 1, height, width)
        fitted = fit_images(images, ImageSizes((rows, columns)))
        assert torch.equal(fitted[..., :height, :width], images)
        assert fitted.count_nonzero() == images.count_nonzero()
        for side, given_side, step in zip(
            fitted.shape[2:], (height, width), (rows, columns), strict=True
        ):
            assert side % step == 0
            assert given_side <= side < given_side + step

    def test_images_for_a_backbone_that_takes_all_are_left_alone(self):
        images = torch.rand(1, 1, 33, 47)
        assert fit_images(images, ImageSizes()) is images

    @given(height=sides, width=sides, stride=st.sampled_from([16, 32]))
    def test_cropped_features_are_those_of_the_images(self, height, width, stride):
        images = torch.rand(1, 1, height, width) + 1
        fitted = fit_images(images, ImageSizes((32, 32)))
        cropped = crop_features(F.max_pool2d(fitted, stride), images, stride)
        assert (cropped > 0).all()  # a feature that sees padding alone is 0
        expected = F.max_pool2d(images, stride, ceil_mode=True)
        assert torch.equal(cropped, expected)

    def test_the_one_size_is_left_alone(self):
        images = torch.rand(1, 1, 64, 96)
        assert fit_images(images, ImageSizes((64, 96), fixed=True)) is images

    @pytest.mark.parametrize("size", [(96, 64), (64, 97), (128, 192), (63, 96)])
    def test_another_than_the_one_size_is_refused_with_what_works(self, size):
        with pytest.raises(ValueError, match=r"64x96 pixels.*img_size.*strict_img_size") as error:
            fit_images(torch.rand(1, 1, *size), ImageSizes((64, 96), fixed=True))
        assert f"got {size[0]}x{size[1]}" in str(error.value)


class TestCovering:
    @pytest.mark.parametrize("extents", [(6, 18), (7, 19), (6, 19)])
    def test_sizes_may_be_rounded_either_way(self, extents):
        require_cover(torch.empty(1, 1, *extents), torch.empty(1, 3, 97, 289), 16)

    @pytest.mark.parametrize("extents", [(5, 18), (6, 17), (8, 19), (4, 16)])
    def test_features_without_an_edge_are_refused(self, extents):
        with pytest.raises(ValueError, match=r"stride 16 are .* for 97x289 pixels") as error:
            require_cover(torch.empty(1, 1, *extents), torch.empty(1, 3, 97, 289), 16)
        assert f"are {extents[0]}x{extents[1]} for" in str(error.value)
