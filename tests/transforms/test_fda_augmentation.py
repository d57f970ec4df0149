"""The promises of FDA's kornia class."""

import copy
import gc
import pickle
import threading
import weakref

import pytest
import torch
from kornia.augmentation import AugmentationSequential

from oracles.images import assert_exact, images
from uda_seg.transforms import FDA, fourier_domain_adaptation, low_frequency_amplitude


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


def test_replays_its_draws_with_the_target():
    source, target = images(8, 3, 20, 20)
    fda = FDA((0.0, 0.5), p=0.5)
    adapted = fda(source, target)
    params = fda._params
    fda(source, target)  # other draws in between
    assert torch.equal(fda(source, target, params=params), adapted)


def test_replays_its_draws_with_another_target_and_leaves_them_alone():
    source, target = images(4, 3, 20, 20)
    fda = FDA((0.0, 0.5))
    adapted = fda(source, target)
    params = fda._params
    other = fda(source, source.flip(0), params=params)
    assert_exact(other, fourier_domain_adaptation(source, source.flip(0), params["beta"]))
    assert torch.equal(fda(source, target, params=params), adapted)


def test_asks_for_a_target():
    source, target = images(1, 3, 8, 8)
    fda = FDA(0.1)
    fda(source, target)  # an earlier call's target must not serve
    for params in (None, fda._params):
        with pytest.raises(ValueError, match=r"target image.*with \(source, target\)"):
            fda(source, params=params)


@pytest.mark.parametrize("call", [{}, {"beta": torch.tensor([0.1, 0.2]), "save_kwargs": True}])
def test_no_target_outlives_its_call_or_its_error(call):
    source, target = images(2, 3, 8, 8)
    fda, gone = FDA((0.1, 0.2), p=0.5), weakref.ref(target)
    fda(source, target, **call)
    with pytest.raises(ValueError, match="frequencies up to"):
        fda(source.repeat(1, 1, 9, 9), target)
    del target
    gc.collect()
    assert gone() is None


def test_threads_that_share_it_keep_their_targets_apart():
    source, targets = images(2, 3, 32, 40)[0], images(6, 3, 32, 40)[0]
    fda, wrong = FDA(0.1), []

    def run(target):
        expected = fourier_domain_adaptation(source, target, 0.1)
        wrong.extend(each for each in range(40) if not torch.equal(fda(source, target), expected))

    threads = [threading.Thread(target=run, args=(pair,)) for pair in targets.split(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda fda: pickle.loads(pickle.dumps(fda))])
def test_a_copy_has_the_settings_and_the_draws_and_no_target(copied):
    source, target = images(4, 3, 8, 8)
    fda = FDA((0.1, 0.4), p=0.5, same_on_batch=True)
    fda.set_target(target)
    adapted = fda(source)
    copy_of_it = copied(fda)
    assert repr(copy_of_it) == repr(fda)
    assert torch.equal(copy_of_it(source, target, params=copy_of_it._params), adapted)
    with pytest.raises(ValueError, match="set_target"):
        copy_of_it(source)
    assert torch.equal(fda(source, params=fda._params), adapted)
    assert all("target" not in name for name in fda.state_dict())
    pickled = pickle.dumps(fda)
    fda.set_target(None)
    assert len(pickled) == len(pickle.dumps(fda))


@pytest.mark.parametrize("settings", [0.1, (0.0, 0.1)])
def test_a_bank_too_narrow_is_refused_at_the_first_call_whatever_is_drawn(settings):
    # The upper end of the range asks for 9 frequencies of this source, and the bank has 6.
    bank = low_frequency_amplitude(images(4, 3, 64, 80)[0], 0.1)
    source, fda = images(4, 3, 97, 131)[0], FDA(settings)
    params = fda.forward_parameters(source.shape)
    if "beta" in params:
        params["beta"].zero_()
    with pytest.raises(ValueError, match=r"frequencies up to 9, .* up to 6"):
        fda(source, bank, params=params)
    assert fda(source, bank, beta=0.06).shape == source.shape


@pytest.mark.parametrize("number", [2, 3, 7])
@pytest.mark.parametrize("banked", [False, True])
def test_of_another_number_of_targets_each_source_draws_one(number, banked):
    torch.manual_seed(0)
    source, targets = images(5, 3, 12, 16)[0], images(number, 3, 12, 16, seed=1)[0]
    each = [fourier_domain_adaptation(source, target[None], 0.2) for target in targets]
    styles = low_frequency_amplitude(targets, 0.2) if banked else targets
    fda, drawn = FDA(0.2), []
    for _ in range(20):
        adapted = fda(source, styles)
        near = [(one - adapted).abs().flatten(1).amax(1) < 1e-12 for one in each]
        drawn.append(torch.stack(near).nonzero()[:, 0].tolist())
        assert torch.equal(fda(source, styles, params=fda._params), adapted)
    assert all(len(ones) == 5 for ones in drawn)
    assert {one for ones in drawn for one in ones} == set(range(number))
    assert any(len(set(ones)) > 1 for ones in drawn)


def test_same_on_batch_draws_one_target_for_all():
    source, targets = images(4, 3, 12, 16)[0], images(9, 3, 12, 16)[0]
    fda = FDA(0.2, same_on_batch=True)
    fda(source, targets)
    assert fda._params["draw"].unique().numel() == 1


def test_as_many_targets_as_sources_go_together_in_order():
    source, target = images(4, 3, 20, 20)
    fda = FDA(0.2)
    fda.set_target(target)
    expected = fourier_domain_adaptation(source, target, 0.2)
    assert_exact(fda(source), expected)
    assert_exact(
        fda(source, target.flip(0)), fourier_domain_adaptation(source, target.flip(0), 0.2)
    )
    assert_exact(fda(source), expected)  # a call's target leaves the set one alone
    fda.set_target(None)
    with pytest.raises(ValueError, match="set_target"):
        fda(source)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), TypeError, "target images, .*uint8; divide"),
        (torch.zeros(8, 8), ValueError, r"target images of shape .* got \(8, 8\)"),
        (torch.zeros(0, 3, 8, 8), ValueError, r"non-empty target images"),
        (torch.zeros(0, 3, 2, 3, 3), ValueError, r"amplitude .* got \(0, 3, 2, 3, 3\)"),
        (torch.zeros(2, 3, 2, 3, 4), ValueError, r"amplitude .* got \(2, 3, 2, 3, 4\)"),
    ],
)
def test_what_is_no_target_is_refused_when_it_is_set(target, error, message):
    with pytest.raises(error, match=message):
        FDA().set_target(target)


@pytest.mark.parametrize("which", ["source", "target"])
def test_integer_images_are_refused_with_advice(which):
    given = dict(zip(("source", "target"), images(1, 3, 8, 8), strict=True))
    given[which] = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(TypeError, match=rf"{which}.*torch.uint8.*divide.*255"):
        FDA(0.1)(**given)


@pytest.mark.parametrize("number", [2, 5])
def test_a_target_or_bank_may_stay_on_another_device(number):
    source, target = images(2, 3, 8, 8)[0].to("meta"), images(number, 3, 8, 8)[0]
    for style in (target, low_frequency_amplitude(target, 0.1)):
        assert FDA(0.1)(source, style).device.type == "meta"


@pytest.mark.parametrize(
    "beta",
    [-0.1, 0.6, float("nan"), (0.3, 0.1), (-0.1, 0.2), (0, 0.6), (0.1,), (0.1, 0.2, 0.3)],
)
def test_refuses_a_beta_out_of_range_or_order(beta):
    with pytest.raises(ValueError, match=r"in \[0, 0\.5\]"):
        FDA(beta)


def test_refuses_a_tensor_of_betas_and_says_where_it_goes():
    with pytest.raises(TypeError, match=r"to the call: \(source, target, beta=beta\)"):
        FDA(torch.tensor([0.01, 0.1]))


def test_refuses_parameters_of_another_number_of_images():
    fda = FDA(0.05)
    fda(*images(4, 3, 8, 8))
    with pytest.raises(ValueError, match="expected 4 images, as in the call of params, got 3"):
        fda(*images(3, 3, 8, 8), params=fda._params)


def test_names_the_parameters_in_those_of_a_container():
    augment = AugmentationSequential(fda := FDA(0.05), data_keys=["input"])
    source, target = images(2, 3, 8, 8)
    fda.set_target(target)
    augment(source)
    (params,) = augment._params
    with pytest.raises(TypeError, match=r"got ParamItem; of a container, .*\[i\]\.data"):
        fda(source, target, params=params)
    fda(source, target, params=params.data)


def test_refuses_a_beta_in_the_place_of_parameters_and_says_its_name():
    with pytest.raises(TypeError, match=r"got float; .* pass a setting by its name"):
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
    assert torch.equal(fda(source, target, params=fda._params), adapted)


@pytest.mark.parametrize("beta", [0.2, (0.1, 0.3)])
def test_draws_one_strength_an_image_and_replays_it(beta):
    source, target = images(4, 3, 20, 20)
    torch.manual_seed(0)
    fda = FDA(beta, strength=(0.2, 0.8))
    adapted = fda(source, target)
    strengths = fda._params["strength"]
    assert strengths.min() >= 0.2
    assert strengths.max() <= 0.8
    assert len(strengths.unique()) == 4
    betas = fda._params.get("beta", torch.full((4,), 0.2))
    expected = fourier_domain_adaptation(source, target, betas, strength=strengths)
    assert_exact(adapted, expected)
    assert torch.equal(fda(source, target, params=fda._params), adapted)


def test_a_call_may_bring_its_own_strength():
    source, target = images(4, 3, 20, 20)
    strength = torch.tensor([0.0, 0.1, 0.2, 1.0])
    for fda in (FDA(0.2, strength=0.5), FDA(0.2, strength=(0.1, 0.9))):
        expected = fourier_domain_adaptation(source, target, 0.2, strength=strength)
        assert_exact(fda(source, target, strength=strength), expected)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), (0.3, 0.1), (0.1,)])
def test_refuses_a_strength_out_of_range_or_order(strength):
    with pytest.raises(ValueError, match=r"strength, or a pair low <= high, in \[0, 1\]"):
        FDA(strength=strength)


@pytest.mark.parametrize("beta", [0.05, (0.01, 0.1)])
def test_shows_its_beta(beta):
    assert f"beta={beta}" in repr(FDA(beta))


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


def test_random_numbers_are_drawn_only_where_a_target_has_to_be_chosen():
    source, target = images(4, 3, 20, 20)
    fda, state = FDA(0.2), torch.get_rng_state()
    fda(source, target)
    fda(source, target[:1])
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match=r"for each of the 4 images.*, or a single target, got 3"):
        fda(source, target[:3], params=fda._params)
