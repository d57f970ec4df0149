"""The promises of FDA's kornia class."""

import kornia.augmentation as K
import pytest
import torch

from oracles.images import assert_exact, images
from uda_seg.transforms import FDA, fourier_domain_adaptation, low_frequency_amplitude
from uda_seg.transforms import _fda_augmentation as fda_augmentation


def test_does_what_the_function_does():
    source, target = images(2, 3, 20, 30)
    assert_exact(FDA(0.1)(source, target), fourier_domain_adaptation(source, target, 0.1))


def test_draws_one_beta_an_image_from_a_range():
    source, target = images(8, 3, 40, 40)
    fda = FDA((0.1, 0.4))
    adapted = fda(source, target)
    betas = fda._params["beta"]
    assert betas.unique().numel() == 8
    assert ((betas >= 0.1) & (betas <= 0.4)).all()
    assert_exact(adapted, fourier_domain_adaptation(source, target, betas))


def test_the_same_seed_gives_the_same_result():
    source, target = images(8, 3, 40, 40)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(FDA((0.0, 0.5), p=0.5)(source, target))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_with_probability_zero_images_stay_as_they_are():
    source, target = images(2, 3, 20, 30)
    assert torch.equal(FDA(0.1, p=0.0)(source, target), source)


def test_with_probability_one_half_whole_images_are_adapted_or_not():
    torch.manual_seed(0)
    source, target = images(32, 3, 8, 8)
    adapted = FDA(0.1, p=0.5)(source, target)
    expected = fourier_domain_adaptation(source, target, 0.1)
    same = (adapted == source).flatten(1).all(1)
    changed = (adapted - expected).abs().flatten(1).amax(1) <= 1e-12
    assert (same ^ changed).all()
    # A fair coin lands outside of 6 to 26 heads out of 32 once in 7,000 seeds.
    assert 6 <= changed.sum() <= 26


def test_same_on_batch_draws_once_for_all_images():
    torch.manual_seed(0)
    source, target = images(4, 1, 8, 8)
    fda = FDA((0.0, 0.5), p=0.5, same_on_batch=True)
    decisions = set()
    for _ in range(20):
        fda(source, target)
        assert fda._params["beta"].unique().numel() == 1
        assert fda._params["batch_prob"].unique().numel() == 1
        decisions.add(bool(fda._params["batch_prob"][0]))
    assert decisions == {True, False}


@pytest.mark.parametrize(("keepdim", "shape"), [(True, (3, 8, 9)), (False, (1, 3, 8, 9))])
def test_a_single_image_keeps_its_shape_on_request(keepdim, shape):
    source, target = images(3, 8, 9)
    adapted = FDA(0.2, keepdim=keepdim)(source, target)
    assert adapted.shape == shape
    expected = fourier_domain_adaptation(source[None], target[None], 0.2)
    assert_exact(adapted.reshape(1, 3, 8, 9), expected)


def test_replays_its_parameters_with_and_without_the_target():
    source, target = images(8, 3, 20, 20)
    fda = FDA((0.0, 0.5), p=0.5)
    adapted = fda(source, target)
    params = fda._params
    fda(source, target)  # other draws in between
    assert torch.equal(fda(source, target, params=params), adapted)
    assert torch.equal(fda(source, params=params), adapted)


def test_replays_its_draws_with_another_target_and_leaves_them_alone():
    source, target = images(4, 3, 20, 20)
    fda = FDA((0.0, 0.5))
    adapted = fda(source, target)
    params = fda._params
    other = fda(source, source.flip(0), params=params)
    assert_exact(other, fourier_domain_adaptation(source, source.flip(0), params["beta"]))
    assert torch.equal(fda(source, params=params), adapted)


def test_asks_for_a_target():
    source, target = images(1, 3, 8, 8)
    fda = FDA(0.1)
    fda(source, target)  # an earlier call's target must not serve
    with pytest.raises(ValueError, match=r"target image.*fda\(source, target\)"):
        fda(source)


@pytest.mark.parametrize(
    "beta",
    [-0.1, 0.6, float("nan"), (0.3, 0.1), (-0.1, 0.2), (0, 0.6), (0.1,), (0.1, 0.2, 0.3)],
)
def test_refuses_a_beta_out_of_range_or_order(beta):
    with pytest.raises(ValueError, match=r"in \[0, 0\.5\]"):
        FDA(beta)


def test_refuses_a_tensor_of_betas_and_says_where_it_goes():
    with pytest.raises(TypeError, match=r"fda\(source, target, beta=beta\)"):
        FDA(torch.tensor([0.01, 0.1]))


def test_refuses_a_beta_in_the_place_of_parameters_and_says_its_name():
    with pytest.raises(TypeError, match=r"got float; a beta .*fda\(source, target, beta=beta\)"):
        FDA()(*images(2, 3, 8, 8), 0.1)


@pytest.mark.parametrize("settings", [0.3, (0.1, 0.2)])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_a_call_may_bring_its_own_betas(settings, p):
    source, target = images(4, 3, 20, 20)
    betas = torch.tensor([0.0, 0.1, 0.2, 0.5])
    torch.manual_seed(0)
    fda = FDA(settings, p=p)
    adapted = fda(source, target, beta=betas, save_kwargs=True)
    applied = fda._params["batch_prob"].view(-1, 1, 1, 1) > 0.5
    expected = fourier_domain_adaptation(source, target, betas)
    assert_exact(adapted, torch.where(applied, expected, source))
    assert torch.equal(fda(source, params=fda._params), adapted)


@pytest.mark.parametrize("which", ["source", "target"])
def test_refuses_integer_images_with_advice_also_in_a_container(which):
    given = dict(zip(("source", "target"), images(1, 3, 8, 8), strict=True))
    given[which] = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    message = rf"{which}.*torch.uint8.*divide.*255"
    with pytest.raises(TypeError, match=message):
        FDA(0.1)(**given)
    augment = K.AugmentationSequential(FDA(0.1), data_keys=["input"])
    params = augment.forward_parameters(given["source"].shape)
    params[0].data["target"] = given["target"]
    with pytest.raises(TypeError, match=message):
        augment(given["source"], params=params)


def test_a_target_or_bank_may_stay_on_another_device(monkeypatch):
    source, target = images(2, 3, 8, 8)
    seen = []
    monkeypatch.setattr(
        fda_augmentation,
        "fourier_domain_adaptation",
        lambda source, target, _: seen.append(target.device) or source,
    )
    FDA(0.1)(source.to("meta"), target)
    FDA(0.1)(source.to("meta"), low_frequency_amplitude(target, 0.1))
    assert seen == [torch.device("meta")] * 2


@pytest.mark.parametrize("beta", [0.05, (0.01, 0.1)])
def test_shows_its_beta(beta):
    assert f"beta={beta}" in repr(FDA(beta))


def test_in_a_container_the_image_is_adapted_and_the_mask_is_not():
    source, target = images(4, 3, 16, 24, dtype=torch.float32)
    mask = torch.randint(19, (4, 1, 16, 24)).float()
    augment = K.AugmentationSequential(FDA((0.0, 0.5)), data_keys=["input", "mask"])
    params = augment.forward_parameters(source.shape)
    params[0].data["target"] = target
    adapted, same_mask = augment(source, mask, params=params)
    expected = fourier_domain_adaptation(source, target, params[0].data["beta"])
    torch.testing.assert_close(adapted, expected, rtol=0, atol=0)
    assert torch.equal(same_mask, mask)


def test_a_container_without_a_style_says_where_to_put_it():
    augment = K.AugmentationSequential(FDA(0.1), data_keys=["input"])
    with pytest.raises(ValueError, match='parameters under "target"'):
        augment(torch.rand(1, 3, 8, 8))


def test_in_a_container_boxes_and_keypoints_stay_and_the_draws_replay():
    source, target = images(3, 3, 16, 24, dtype=torch.float32)
    boxes = torch.tensor([[[1.0, 2.0, 9.0, 8.0]]]).expand(3, -1, -1)
    points = torch.tensor([[[3.0, 4.0]]]).expand(3, -1, -1)
    keys = ["input", "bbox_xyxy", "keypoints"]
    augment = K.AugmentationSequential(FDA((0.0, 0.5), p=0.5), data_keys=keys)
    params = augment.forward_parameters(source.shape)
    params[0].data["target"] = target
    adapted, same_boxes, same_points = augment(source, boxes, points, params=params)
    assert torch.equal(same_boxes, boxes)
    assert torch.equal(same_points, points)
    again, _, _ = augment(source, boxes, points, params=augment._params)
    assert torch.equal(again, adapted)
    assert not torch.equal(adapted, source)


@pytest.mark.parametrize("shape", [(3, 16, 24), (1, 3, 16, 24)])
def test_a_container_keeps_the_shape_of_a_single_image_and_its_mask(shape):
    source, target = images(3, 16, 24, dtype=torch.float32)
    augment = K.AugmentationSequential(FDA(0.2), data_keys=["input", "mask"], keepdim=True)
    params = augment.forward_parameters((1, 3, 16, 24))
    params[0].data["target"] = target.reshape(shape)
    mask = torch.ones(1, 16, 24)
    adapted, same_mask = augment(source, mask, params=params)
    expected = fourier_domain_adaptation(source[None], target[None], 0.2)[0]
    torch.testing.assert_close(adapted, expected, rtol=0, atol=0)
    assert torch.equal(same_mask, mask)


def test_a_container_may_draw_once_for_all_images():
    augment = K.AugmentationSequential(
        FDA((0.0, 0.5), p=0.5), data_keys=["input"], same_on_batch=True
    )
    for _ in range(10):
        (params,) = augment.forward_parameters((8, 3, 16, 24))
        assert params.data["beta"].unique().numel() == 1
        assert params.data["batch_prob"].unique().numel() == 1


def test_stands_between_kornia_transforms_in_a_container():
    source, target = images(2, 3, 16, 24, dtype=torch.float32)
    augment = K.AugmentationSequential(K.RandomHorizontalFlip(p=1), FDA(0.2), data_keys=["input"])
    params = augment.forward_parameters(source.shape)
    params[1].data["target"] = target
    expected = fourier_domain_adaptation(source.flip(-1), target, 0.2)
    torch.testing.assert_close(augment(source, params=params), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 20, 30), (3, 20, 30), (1, 3, 12, 50), (4, 3, 12, 50)])
def test_takes_targets_of_other_sizes_and_one_for_all(shape):
    source, _ = images(4, 3, 20, 30)
    target = torch.rand(shape, dtype=torch.float64)
    for p in (1.0, 0.5):
        torch.manual_seed(0)
        fda = FDA(0.2, p=p)
        adapted = fda(source, target)
        batch = target.reshape(-1, *shape[-3:])
        expected = fourier_domain_adaptation(source, batch, 0.2)
        applied = fda._params["batch_prob"].view(-1, 1, 1, 1) > 0.5
        assert_exact(adapted, torch.where(applied, expected, source))


@pytest.mark.parametrize("single", [False, True])
def test_takes_an_amplitude_in_place_of_the_target(single):
    source, target = images(4, 3, 20, 30)
    amplitude = low_frequency_amplitude(target, 0.5)
    if single:
        source, amplitude, target = source[0], amplitude[:1], target[0]
    torch.manual_seed(0)
    fda = FDA((0.0, 0.5), p=0.5)
    adapted = fda(source, amplitude)
    assert_exact(adapted, fda(source, target, params=fda._params))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_keeps_the_dtype_also_under_autocast(dtype):
    source, target = images(2, 3, 16, 16, dtype=dtype)
    assert FDA(0.1)(source, target).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert FDA(0.1)(source, target).dtype == dtype


@pytest.mark.parametrize("settings", [{"beta": 0.05}, {"beta": (0.0, 0.2), "p": 0.5}])
@pytest.mark.parametrize("banked", [False, True])
def test_compiles_without_graph_breaks(settings, banked):
    source, target = images(4, 3, 32, 40)
    if banked:
        target = low_frequency_amplitude(target, 0.2)
    fda = FDA(**settings)
    compiled = torch.compile(fda, backend="aot_eager", fullgraph=True)
    adapted = compiled(source, target)
    assert_exact(adapted, fda(source, target, params=fda._params))
