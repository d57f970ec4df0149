"""Self-training against a plain loop in which teacher, mixing and masks are written out."""

import copy
from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, update_bn

import teaching
from adaptation import source_step
from training.batch_norm import running_statistics_kept
from oracles.class_mix import mixed_without_a_draw
from oracles.tiny import TinyNetwork
from supervision import segmentation_loss
from teaching import SelfTraining, self_training_step, strong_augmentation
from uda_seg.models import BiSeNet
from uda_seg.pseudo_labels import ramped_ema
from uda_seg.transforms import block_mask, class_mix

STEPS, CLASSES = 3, 5
QUIET = SelfTraining(strong=False, teacher_decay=0.6, confidence=0.45, block_size=24)
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.7], dtype=torch.float64)
EVEN = torch.ones_like(WEIGHTS)  # teachers' labels


def changed(**changes):
    return SelfTraining(**{**vars(QUIET), **changes})


def normalize(images):
    return (images - 0.4) / 0.3


@pytest.fixture
def fabric():
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture
def setting():
    torch.manual_seed(0)
    # In double precision, since training amplifies the rounding of two orders of summation.
    network = BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False).double()
    images = torch.rand(STEPS, 2, 2, 3, 64, 64, dtype=torch.float64)
    images *= torch.rand(STEPS, 2, 2, 3, 1, 1, dtype=torch.float64)
    # With the statistics of these images, as after a warm-up, predictions vary.
    update_bn([normalize(images.flatten(0, 2))], network.train())
    labels = torch.randint(CLASSES, (STEPS, 2, 8, 8)).repeat_interleave(8, 2)
    labels = labels.repeat_interleave(8, 3)
    labels[:, 0, :20] = 255
    return network, [(images[n, 0], labels[n], images[n, 1]) for n in range(STEPS)]


def optimizer_of(network):
    return torch.optim.SGD(network.parameters(), 0.02)


def plain_loss(output, labels, pixel_weights, weights):
    """The mean over labelled pixels by the weights of their classes, of which some count less."""
    valid = labels != 255
    of_class = torch.where(valid, weights[labels.where(valid, 0)], 0)
    total = 0
    for logits in (output.logits, *output.auxiliary):
        losses = F.cross_entropy(logits, labels, ignore_index=255, reduction="none")
        total = total + (losses * of_class * pixel_weights).sum() / of_class.sum()
    return total


def learn_without_trace(student, images, labels, pixel_weights, weights=EVEN):
    """Gradients are added up, and all buffers put back by hand."""
    before = {name: value.clone() for name, value in student.named_buffers()}
    loss = plain_loss(student(images), labels, pixel_weights, weights)
    loss.backward()
    for name, value in student.named_buffers():
        value.copy_(before[name])
    return loss.item()


def plain_loop(student, batches, settings, strong=lambda images: images):
    """The reference: student, teacher, losses of each step and the shares of sure pixels."""
    teacher = copy.deepcopy(student).eval()
    optimizer, found, shares = optimizer_of(student), [], []
    for step, (images, labels, target) in enumerate(batches):
        with torch.no_grad():
            probabilities = F.softmax(teacher(normalize(target)).logits, 1)
        sureness, pseudo = probabilities.max(1)
        share = (sureness >= settings.confidence).double().mean((1, 2))
        shares += share.tolist()
        of_target = share.view(-1, 1, 1).repeat(1, *target.shape[-2:])
        ones = torch.ones_like(of_target)
        learn = partial(learn_without_trace, student)
        losses = {"segmentation": learn(normalize(images), labels, ones, WEIGHTS)}
        if settings.class_mix:
            pasted = class_mix(images, labels, target, pseudo).pasted  # the draw alone
            mixed = images * pasted[:, None] + target * ~pasted[:, None]
            truth = labels * pasted + pseudo * ~pasted
            labelled = labels != 255
            of_class = WEIGHTS[labels.where(labelled, 0)]
            relative = of_class * labelled.sum() / of_class[labelled].sum()
            losses["mixed"] = learn(
                normalize(strong(mixed)), truth, relative * pasted + of_target * ~pasted
            )
        else:
            losses["target"] = learn(normalize(strong(target)), pseudo, of_target)
        if settings.masked:
            size, ratio = settings.block_size, settings.mask_ratio
            seen = block_mask(torch.ones_like(target), 0.0, block_size=size, ratio=ratio)
            losses["masked"] = learn(normalize(strong(target)) * seen, pseudo, of_target)
        with torch.no_grad():
            student(normalize(target))
        optimizer.step()
        optimizer.zero_grad()
        found.append(losses)
        decay = min(1 - 1 / (step + 1), settings.teacher_decay)
        states = zip(teacher.state_dict().values(), student.state_dict().values(), strict=True)
        for mine, other in states:
            if mine.is_floating_point():
                mine.copy_(decay * mine + (1 - decay) * other)
    return teacher, found, shares


def teacher_of(student, settings):
    average = ramped_ema(settings.teacher_decay)
    teacher = AveragedModel(student, multi_avg_fn=average, use_buffers=True)
    return teacher.eval().requires_grad_(False)


def loss_of(labels, weights=WEIGHTS):
    return partial(segmentation_loss, labels=labels, weights=weights)


def with_steps(fabric, student, batches, settings, weights=WEIGHTS, micro_batches=1):
    teacher, optimizer, found = teacher_of(student, settings), optimizer_of(student), []
    for batch in batches:
        for part in zip(*(each.chunk(micro_batches) for each in batch), strict=True):
            share, loss = 1 / micro_batches, loss_of(part[1], weights)
            losses = self_training_step(
                fabric, student, teacher, *part, loss, weights, settings, normalize, share=share
            )
            found.append({name: value.item() for name, value in losses.items()})
        optimizer.step()
        optimizer.zero_grad()
        teacher.update_parameters(student)
    return teacher.module, found


def assert_equal_states(module, reference):
    for (name, value), other in zip(
        module.state_dict().items(), reference.state_dict().values(), strict=True
    ):
        if "num_batches_tracked" not in name:  # counts calls; nothing reads it
            torch.testing.assert_close(value, other, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"masked": False},
        {"class_mix": False, "masked": False},
        {"strong": True},
        {"strong": True, "class_mix": False},
        {"confidence": 0.0},
        {"confidence": 1.0},
        {"teacher_decay": 1.0, "mask_ratio": 1.0},
    ],
    ids=str,
)
def test_the_steps_equal_a_plain_loop(setting, fabric, changes, monkeypatch):
    changed_ones = []

    def strong(images):
        changed_ones.append(images)
        return 1 - images / 2

    monkeypatch.setattr(teaching, "strong_augmentation", lambda _: strong)
    settings = changed(**changes)
    student, batches = setting
    start = copy.deepcopy(student)
    expected = copy.deepcopy(student)
    torch.manual_seed(1)
    expected_teacher, expected_losses, shares = plain_loop(
        expected, batches, settings, *([strong] if settings.strong else [])
    )
    wanted = len(changed_ones)
    torch.manual_seed(1)
    teacher, losses = with_steps(fabric, student, batches, settings)
    assert len(changed_ones) == 2 * wanted
    assert_equal_states(student, expected)
    assert_equal_states(teacher, expected_teacher)
    for found, named in zip(losses, expected_losses, strict=True):
        assert found == pytest.approx(named)
        assert list(found) == list(named)
    assert not torch.equal(student.head.classify.weight, start.head.classify.weight)
    if settings.confidence == QUIET.confidence:  # or the weights of images were for nothing
        assert any(0 < share < 1 for share in shares)
    else:
        assert set(shares) == {1 - settings.confidence}


def gradients(network):
    return [p.grad for p in network.parameters() if p.grad is not None]


def test_a_target_of_which_the_teacher_is_unsure_gives_no_gradient(setting, fabric):
    student, [(images, labels, target), *_] = setting
    alone = copy.deepcopy(student)
    settings = changed(confidence=1.0, class_mix=False)
    loss = loss_of(labels)
    losses = self_training_step(
        fabric,
        student,
        teacher_of(student, settings),
        images,
        labels,
        target,
        loss,
        WEIGHTS,
        settings,
        normalize,
    )
    with running_statistics_kept(alone):
        source_step(fabric, alone, normalize(images), loss)
    torch.testing.assert_close(gradients(student), gradients(alone))
    assert losses["target"] == losses["masked"] == 0


def test_mixed_images_teach_what_was_pasted_however_unsure_the_teacher_is(setting, fabric):
    student, [(images, labels, target), *_] = setting
    settings, found = changed(confidence=1.0, masked=False), []
    loss = loss_of(labels, EVEN)
    for seed in (1, 2, 2):
        torch.manual_seed(seed)  # of another network: other pseudo labels
        teacher = teacher_of(BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False), settings)
        learner = copy.deepcopy(student)
        torch.manual_seed(3)
        batch = images, labels, target
        losses = self_training_step(
            fabric, learner, teacher.double(), *batch, loss, EVEN, settings, normalize
        )
        assert losses["mixed"] > 0
        found.append(gradients(learner))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_micro_batches_equal_one_large_batch_without_batch_norm(setting, fabric, monkeypatch):
    monkeypatch.setattr(teaching, "class_mix", mixed_without_a_draw)
    _, batches = setting
    batches = [(images, labels % CLASSES, target) for images, labels, target in batches]
    whole, parts = (copy.deepcopy(TinyNetwork(CLASSES).double()) for _ in range(2))
    parts.load_state_dict(whole.state_dict())
    settings, weights = changed(mask_ratio=1.0, confidence=0.28), EVEN
    with torch.no_grad():
        sureness = whole(normalize(batches[0][2])).logits.softmax(1).amax(1)
    shares = (sureness >= settings.confidence).double().mean((1, 2)).tolist()
    assert all(0 < share < 1 for share in shares)
    teacher, _ = with_steps(fabric, whole, batches, settings, weights)
    other, _ = with_steps(fabric, parts, batches, settings, weights, micro_batches=2)
    assert_equal_states(parts, whole)
    assert_equal_states(other, teacher)


def test_the_teacher_stays_as_it_is_and_a_monitor_sees_what_it_said(setting, fabric):
    student, [(images, labels, target), *_] = setting
    teacher, seen = teacher_of(student, QUIET), {}
    before = copy.deepcopy(teacher.state_dict())
    with torch.no_grad():
        expected = teacher(normalize(target)).logits
        coarse = teacher(normalize(target), size="native").logits
    loss = loss_of(labels)
    batch = images, labels, target
    self_training_step(
        fabric,
        student,
        teacher,
        *batch,
        loss,
        WEIGHTS,
        QUIET,
        normalize,
        watch=lambda **named: seen.update(named),
    )
    torch.testing.assert_close(teacher.state_dict(), before, rtol=0, atol=0)
    assert not teacher.training
    assert not gradients(teacher)
    torch.testing.assert_close(seen.pop("target_logits"), coarse)
    sure = (expected.softmax(1).amax(1) >= QUIET.confidence).double().mean()
    torch.testing.assert_close(seen, {"confident": sure.float()})


@pytest.mark.parametrize("class_mix", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_the_last_pass_alone_exchanges_gradients(setting, fabric, class_mix, masked, monkeypatch):
    student, [batch, *_] = setting
    kept = []

    def no_exchange(*_, enabled=True):
        kept.append(enabled)
        return nullcontext()

    monkeypatch.setattr(teaching, "no_exchange", no_exchange)
    settings = changed(class_mix=class_mix, masked=masked)
    with_steps(fabric, student, [batch], settings)
    assert kept == [True, True, False] if masked else [True, False]


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
