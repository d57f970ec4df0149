"""What a trained teacher teaches: the step against a plain loop, and the row of the script."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from evaluation.results import read_results
from gta2city import source_step
from oracles.loops import assert_equal_states, run_fit
from self_training import Config, Row, main, train_row
from training import distillation
from training.config import TrainingConfig
from training.data import Batch
from training.distillation import Distillation, distillation_step
from training.networks import Networks
from training.teacher import SelfTraining, strong_augmentation
from uda_seg.discriminators import DepthwiseFC
from uda_seg.models import BiSeNet

CLASSES, STEPS, RATE = 5, 3, 0.02


def build(seed):
    torch.manual_seed(seed)
    return BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False).double()


def networks_of(fabric, network):
    discriminator = DepthwiseFC(CLASSES, width=8).double()
    both = [torch.optim.SGD(each.parameters(), RATE) for each in (network, discriminator)]
    config = TrainingConfig(steps=STEPS, warmup_steps=0)
    return Networks(fabric, config, network.train(), discriminator, both)


def batches():
    torch.manual_seed(1)
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.7]).double()
    return [
        Batch(
            torch.rand(2, 3, 64, 96).double(),
            torch.randint(CLASSES, (2, 64, 96)),
            torch.rand(2, 3, 64, 96).double(),
            weights,
        )
        for _ in range(STEPS)
    ]


def plain_loop(student, teacher, data, settings, normalize):
    """Everything at full size, and every buffer put back by hand."""
    optimizer = torch.optim.SGD(student.train().parameters(), RATE)
    teacher.eval()
    losses = []
    for done, batch in enumerate(data):
        optimizer.param_groups[0]["lr"] = RATE * (1 - done / STEPS) ** 0.9
        optimizer.zero_grad()
        before = {name: value.clone() for name, value in student.named_buffers()}
        if settings.source:
            output = student(normalize(batch.images))
            weight = batch.class_weights
            sum(
                F.cross_entropy(logits, batch.labels, weight)
                for logits in (output.logits, *output.auxiliary)
            ).backward()
        with torch.no_grad():
            target = (teacher(batch.target_images).logits / settings.temperature).softmax(1)
        seen = strong_augmentation((64, 96))(batch.target_images)
        output = student(normalize(seen))
        loss = sum(
            F.kl_div((logits / settings.temperature).log_softmax(1), target, reduction="sum")
            / target[:, 0].numel()
            * settings.temperature**2
            for logits in (output.logits, *output.auxiliary)
        )
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        for name, value in student.named_buffers():
            value.copy_(before[name])
        with torch.no_grad():
            student(normalize(batch.target_images))
    return losses


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loop_with_its_step_equals_a_plain_loop(fabric, tmp_path, source, temperature):
    student, teacher, data = build(0), build(2), batches()
    expected, settings = copy.deepcopy(student), Distillation("", "", temperature, source)
    networks = networks_of(fabric, student)
    untouched = copy.deepcopy(teacher)

    def seen(images):
        return teacher.eval()(images, size="native").logits

    step = partial(distillation_step, source_step, teacher=seen, settings=settings)
    torch.manual_seed(3)
    found = [losses for _, losses in run_fit(fabric, tmp_path, networks, data, step)]
    torch.manual_seed(3)
    losses = plain_loop(expected, copy.deepcopy(teacher), data, settings, networks.normalize)
    assert [each["distillation"] for each in found] == pytest.approx(losses)
    assert all(("segmentation" in each) == source for each in found)
    torch.testing.assert_close([*student.parameters()], [*expected.parameters()])
    assert_equal_states([teacher], [untouched])


def test_statistics_follow_clean_target_images_alone(fabric, monkeypatch):
    monkeypatch.setattr(distillation, "strong_augmentation", lambda _: lambda images: images / 9)
    student, teacher, [batch, *_] = build(0), build(2).eval(), batches()
    expected = copy.deepcopy(student).train()
    networks = networks_of(fabric, student)
    settings = Distillation("", "")
    distillation_step(
        source_step,
        fabric,
        networks,
        batch,
        teacher=lambda images: teacher(images, size="native").logits,
        settings=settings,
    )
    with torch.no_grad():
        expected(networks.normalize(batch.target_images))
    assert_equal_states([student], [expected])


def trained_teacher(config, seed=5):
    """A folder with a network of other widths than the student's."""
    torch.manual_seed(seed)
    folder = config.output.parent / "teacher"
    BiSeNet(19, "test_efficientnet", pretrained_backbone=False).save_pretrained(
        folder, config={"num_classes": 19, "backbone": "test_efficientnet"}
    )
    return str(folder)


def test_without_the_source_no_label_of_it_counts(fabric, config, domains):
    row = Row(distillation=Distillation(trained_teacher(config), "", source=False))
    first = train_row(fabric, config, domains, "row", row)
    other = replace(config, output=config.output.with_name("other"))
    counted = domains._replace(class_weights=domains.class_weights.flip(0))
    second = train_row(fabric, other, counted, "row", row)
    torch.testing.assert_close(
        first.network.state_dict(), second.network.state_dict(), rtol=0, atol=0
    )
    with_source = replace(row, distillation=replace(row.distillation, source=True))
    another = replace(config, output=config.output.with_name("another"))
    third = train_row(fabric, another, domains, "row", with_source)
    assert not torch.equal(first.network.head.classify.weight, third.network.head.classify.weight)


def test_the_script_trains_the_row_and_scores_the_teacher(config):
    folder = trained_teacher(config)
    whole = Config(config, SelfTraining(confidence=0.06), teacher=folder, temperature=2.0)
    main(whole)
    results = read_results(config.output / "results.json")
    assert [*results] == [
        "source only",
        "self-training",
        "source only + AdaBN",
        "self-training + AdaBN",
        "distilled",
        "teacher",
    ]
    distilled, teacher = (
        BiSeNet.from_pretrained(each) for each in (config.output / "distilled", folder)
    )
    assert type(distilled.backbone) is not type(teacher.backbone)
    with pytest.raises(FileExistsError, match=r"row\.distillation\.temperature 2\.0 instead"):
        main(replace(whole, temperature=1.0))
    trained_teacher(config, seed=6)
    with pytest.raises(FileExistsError, match=r"row\.distillation\.sha256"):
        main(whole)


def test_without_the_source_none_is_read(config, city):
    folder = trained_teacher(config)
    alone = Config(replace(config, source_root=None), teacher=folder, source_free=True)
    main(alone)
    assert [*read_results(config.output / "results.json")] == ["distilled", "teacher"]
    with pytest.raises(ValueError, match="no --source-root"):
        main(replace(alone, training=config))
    elsewhere = replace(config, source_root=None, target_root=city.source_root)
    with pytest.raises(ValueError, match=r"expected a target out of .* got gta5"):
        main(replace(alone, training=elsewhere))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0, "teacher": "x"}, "--temperature above 0, got 0.0"),
        ({"temperature": 2.0}, "beside a --teacher alone"),
        ({"source_free": True}, "beside a --teacher alone"),
    ],
)
def test_settings_without_a_meaning_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Config(**changes)


def test_a_row_has_one_way_to_learn():
    with pytest.raises(ValueError, match="a step, self-training or distillation"):
        Row(self_training=SelfTraining(), distillation=Distillation("x", ""))


def test_a_teacher_of_other_classes_is_refused_before_the_work(config):
    folder = config.output.parent / "three"
    BiSeNet(3, "test_resnet", pretrained_backbone=False).save_pretrained(
        folder, config={"num_classes": 3, "backbone": "test_resnet"}
    )
    with pytest.raises(ValueError, match=r"network of the 19 classes .* got one of 3"):
        main(Config(config, teacher=str(folder)))
    assert not (config.output / "source-only").exists()
