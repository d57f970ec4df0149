"""Self-training against a plain loop in which teacher, mixing and masks are written out."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim.swa_utils import update_bn

from evaluation.results import read_results
from gta2city import source_step
from oracles.loops import assert_equal_states, run_fit, taught_loop
from self_training import Config, Row, main, self_training_step, train_row
from training.batch_norm import frozen_running_stats
from training.config import TrainingConfig
from training.data import Batch
from training.networks import Networks
from training.teacher import SelfTraining, build_teacher, strong_augmentation, update_teacher
from uda_seg.discriminators import DepthwiseFC
from uda_seg.models import BiSeNet
from uda_seg.transforms import block_mask, class_mix

STEPS, CLASSES = 3, 5
QUIET = SelfTraining(strong=False, teacher_decay=0.6, confidence=0.45, block_size=24)
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.7], dtype=torch.float64)
EVEN = torch.ones_like(WEIGHTS)  # teachers' labels
RATE = 0.02


def changed(**changes):
    return SelfTraining(**{**vars(QUIET), **changes})


@pytest.fixture
def setting():
    torch.manual_seed(0)
    # In double precision, since training amplifies the rounding of two orders of summation.
    network = BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False).double()
    images = torch.rand(STEPS, 2, 2, 3, 64, 64, dtype=torch.float64)
    images *= torch.rand(STEPS, 2, 2, 3, 1, 1, dtype=torch.float64)
    # With the statistics of these images, as after a warm-up, predictions vary.
    update_bn([normalize(network, images.flatten(0, 2))], network.train())
    labels = torch.randint(CLASSES, (STEPS, 2, 8, 8)).repeat_interleave(8, 2)
    labels = labels.repeat_interleave(8, 3)
    labels[:, 0, :20] = 255
    batches = [Batch(images[n, 0], labels[n], images[n, 1], WEIGHTS) for n in range(STEPS)]
    return network, batches


def normalize(network, images):
    mean, std = (torch.tensor(each).double().view(3, 1, 1) for each in network.normalization)
    return (images - mean) / std


def networks_of(fabric, network):
    """Ready to train, with a discriminator that idles."""
    discriminator = DepthwiseFC(CLASSES, width=8).double()
    both = (
        torch.optim.SGD(network.parameters(), RATE),
        torch.optim.SGD(discriminator.parameters(), RATE),
    )
    config = TrainingConfig(steps=STEPS, warmup_steps=0)
    return Networks(fabric, config, network.train(), discriminator, both)


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


def replay(student, batches, settings, strong=lambda images: images):
    """The reference: student, teacher, losses of each step and the shares of sure pixels."""
    teacher = copy.deepcopy(student).eval()
    optimizer = torch.optim.SGD(student.train().parameters(), RATE)
    of_network = partial(normalize, student)
    found, shares = [], []
    torch.manual_seed(1)
    for step, (images, labels, target, class_weights) in enumerate(batches):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS) ** 0.9
        with torch.no_grad():
            probabilities = F.softmax(teacher(of_network(target)).logits, 1)
        sureness, pseudo = probabilities.max(1)
        share = (sureness >= settings.confidence).double().mean((1, 2))
        shares += share.tolist()
        of_target = share.view(-1, 1, 1).repeat(1, *target.shape[-2:])
        ones = torch.ones_like(of_target)
        learn = partial(learn_without_trace, student)
        losses = {"segmentation": learn(of_network(images), labels, ones, class_weights)}
        if settings.class_mix:
            pasted = class_mix(images, labels, target, pseudo).pasted  # the draw alone
            mixed = images * pasted[:, None] + target * ~pasted[:, None]
            truth = labels * pasted + pseudo * ~pasted
            labelled = labels != 255
            of_class = class_weights[labels.where(labelled, 0)]
            relative = of_class * labelled.sum() / of_class[labelled].sum()
            losses["mixed"] = learn(
                of_network(strong(mixed)), truth, relative * pasted + of_target * ~pasted
            )
        else:
            losses["target"] = learn(of_network(strong(target)), pseudo, of_target)
        if settings.masked:
            size, ratio, view = settings.block_size, settings.mask_ratio, strong(target)
            seen = block_mask(torch.ones_like(target), 0.0, block_size=size, ratio=ratio)
            losses["masked"] = learn(of_network(view) * seen, pseudo, of_target)
        with torch.no_grad():
            student(of_network(target))
        optimizer.step()
        optimizer.zero_grad()
        found.append(losses)
        decay = min(1 - 1 / (step + 1), settings.teacher_decay)
        states = zip(teacher.state_dict().values(), student.state_dict().values(), strict=True)
        for mine, other in states:
            if mine.is_floating_point():
                mine.copy_(decay * mine + (1 - decay) * other)
    return teacher, found, shares


def with_fit(fabric, folder, student, batches, settings):
    teacher, networks = build_teacher(student, settings), networks_of(fabric, student)
    step = partial(self_training_step, teacher=teacher, settings=settings)
    found = []
    torch.manual_seed(1)
    for _, losses in run_fit(fabric, folder, networks, batches, step):
        update_teacher(fabric, teacher, student)
        found.append(losses)
    return teacher.module, found


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
def test_the_loop_with_its_step_equals_a_plain_loop(setting, fabric, changes, tmp_path):
    settings = changed(**changes)
    student, batches = setting
    start, expected = copy.deepcopy((student, student))
    # Colours and blur draw from torch's global numbers: here in the order of the step.
    strong = strong_augmentation((64, 64)) if settings.strong else lambda images: images
    expected_teacher, expected_losses, shares = replay(expected, batches, settings, strong)
    teacher, losses = with_fit(fabric, tmp_path, student, batches, settings)
    assert_equal_states((student, teacher), (expected, expected_teacher))
    sure = torch.tensor(shares).view(STEPS, -1).mean(1).tolist()
    for found, named, share in zip(losses, expected_losses, sure, strict=True):
        assert {name: found[name] for name in named} == pytest.approx(named)
        assert [name for name in found if "/" not in name] == list(named)
        assert found["target/confident share"] == pytest.approx(share)
    assert not torch.equal(student.head.classify.weight, start.head.classify.weight)
    if settings.confidence == QUIET.confidence:  # or the weights of images were for nothing
        assert any(0 < share < 1 for share in shares)
    else:
        assert set(shares) == {1 - settings.confidence}


def gradients(network):
    return [p.grad for p in network.parameters() if p.grad is not None]


def take(fabric, student, batch, settings, teacher=None):
    teacher = teacher or build_teacher(student, settings)
    networks = networks_of(fabric, student)
    return self_training_step(fabric, networks, batch, teacher=teacher, settings=settings)


def test_a_target_of_which_the_teacher_is_unsure_gives_no_gradient(setting, fabric):
    student, [batch, *_] = setting
    alone = copy.deepcopy(student)
    losses = take(fabric, student, batch, changed(confidence=1.0, class_mix=False))
    with frozen_running_stats(alone):
        source_step(fabric, networks_of(fabric, alone), batch)
    torch.testing.assert_close(gradients(student), gradients(alone))
    assert losses["target"] == losses["masked"] == losses["target/confident share"] == 0


def test_mixed_images_teach_what_was_pasted_however_unsure_the_teacher_is(setting, fabric):
    student, [batch, *_] = setting
    settings, found = changed(confidence=1.0, masked=False), []
    for seed in (1, 2, 2):
        torch.manual_seed(seed)  # of another network: other pseudo labels
        teacher = build_teacher(
            BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False).double(), settings
        )
        learner = copy.deepcopy(student)
        torch.manual_seed(3)
        even = batch._replace(class_weights=EVEN)
        assert take(fabric, learner, even, settings, teacher)["mixed"] > 0
        found.append(gradients(learner))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_the_teacher_stays_as_it_is_in_a_step_and_no_loss_holds_a_graph(setting, fabric):
    student, [batch, *_] = setting
    teacher = build_teacher(student, QUIET)
    before = copy.deepcopy(teacher.state_dict())
    losses = take(fabric, student, batch, QUIET, teacher)
    torch.testing.assert_close(teacher.state_dict(), before, rtol=0, atol=0)
    assert not teacher.training
    assert not gradients(teacher)
    assert not any(value.requires_grad for value in losses.values())
    assert {"target/entropy", "target/top class", "target/confident share"} <= losses.keys()


def test_a_batch_without_a_label_does_no_harm(setting, fabric):
    student, [batch, *_] = setting
    nothing = batch._replace(labels=torch.full_like(batch.labels, 255))
    losses = take(fabric, student, nothing, QUIET)
    assert losses["segmentation"] == 0
    assert all(value.isfinite() for value in losses.values())
    assert all(gradient.isfinite().all() for gradient in gradients(student))


# Rows.


@pytest.mark.parametrize("warmup_steps", [0, 2])
def test_a_teacher_is_the_average_of_the_students_since_the_warm_up(
    fabric, config, domains, warmup_steps
):
    config = replace(config, steps=6, warmup_steps=warmup_steps)
    row = Row(self_training=SelfTraining(teacher_decay=0.6))
    own = replace(config, output=config.output / "own")
    students, teachers = {}, {}
    for done, losses, networks, teacher in taught_loop(fabric, own, "row", row, domains):
        students[done] = copy.deepcopy(networks.network.state_dict())
        teachers[done] = copy.deepcopy(teacher.module.state_dict())
        assert ("mixed" in losses) == (done > warmup_steps)
    first = max(warmup_steps, 1)
    decays = dict.fromkeys(range(first + 1, 7), 0.6) | {first + 1: 1 / 2}
    for name, value in students[1].items():
        # The first labels after the warm-up are those of its last student.
        assert torch.equal(teachers[first][name], students[first][name])
        if value.is_floating_point():
            expected = students[first][name]
            for done, decay in decays.items():
                expected = decay * expected + (1 - decay) * students[done][name]
                torch.testing.assert_close(teachers[done][name], expected)
    trained = train_row(fabric, config, domains, "row", row)
    torch.testing.assert_close(trained.network.state_dict(), students[6], rtol=0, atol=0)
    kept = torch.load(config.output / "checkpoints" / "row.pt", weights_only=True)["parts"]
    for name, value in teachers[6].items():
        assert torch.equal(kept["teacher"][f"module.{name}"], value)


def test_the_whole_path(config):
    main(whole := Config(config, SelfTraining(confidence=0.06)))
    results = read_results(config.output / "results.json")
    names = ["source only", "self-training"]
    assert list(results) == [*names, *(f"{name} + AdaBN" for name in names)]
    for name in names:
        trained, adapted = (
            BiSeNet.from_pretrained(config.output / folder)
            for folder in (name.replace(" ", "-"), f"{name} + AdaBN".replace(" ", "-"))
        )
        assert all(map(torch.equal, trained.parameters(), adapted.parameters()))
        statistics = [
            torch.cat([each for name, each in network.named_buffers() if "running" in name])
            for network in (trained, adapted)
        ]
        assert not torch.equal(*statistics)
        scores = [results[each][0]["pixel_accuracy"] for each in (name, f"{name} + AdaBN")]
        assert scores[0] != scores[1]
    assert (config.output / "comparison.png").stat().st_size > 10_000
    log = EventAccumulator(str(config.output / "logs" / "self-training")).Reload()
    assert len(log.Scalars("mixed")) == len(log.Scalars("masked")) == 2
    assert len(log.Scalars("learning rate/segmenter")) == config.steps
    assert len(log.Images("held-out")) == 1
    for changed, named in (
        ({"self_training": SelfTraining()}, r"self_training\.confidence 0\.06 instead of its def"),
        ({"beta": None}, r"row\.style\.function FDA.* instead of its default"),
        ({"rare_classes": True}, "row.rare_classes at its default instead of True"),
        ({"photometric": False}, "row.photometric True instead of its default"),
    ):
        with pytest.raises(FileExistsError, match=named):
            main(replace(whole, **changed))
