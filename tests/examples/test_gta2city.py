"""The main example: its steps against a plain torch loop, its loop through kills, its results."""

import ast
import copy
import math
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import seed_everything
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

import gta2city
from evaluation.protocol import merge_predictions
from evaluation.results import read_results
from evaluation.scoring import normalization, predict
from files import folder_lock
from gta2city import (
    Config,
    Row,
    adversarial_step,
    build_networks,
    evaluate,
    main,
    make_batch,
    segmentation_loss,
    source_step,
    train_row,
)
from oracles import segmentation
from oracles.loops import assert_equal_states, plain_loop, run_fit, taught_loop
from oracles.street_files import write_gta5
from self_training import Row as TaughtRow
from self_training import control_step
from self_training import train_row as train_taught_row
from study.recipes import entropy_step
from training.config import TrainingConfig
from training.data import Batch
from training.networks import Networks
from training.teacher import SelfTraining
from uda_seg.batch_norm import adapt_batch_norm
from uda_seg.datasets import Cityscapes, Sample
from uda_seg.discriminators import DepthwiseFC
from uda_seg.metrics import confusion_matrix
from uda_seg.models import BiSeNet, BiSeNetOutput
from uda_seg.transforms import FDA

STEPS, CLASSES, WEIGHT = 3, 5, 0.05
RATES = 2e-3, 1e-2
CLASS_WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.7], dtype=torch.float64)
ADVERSARIAL = [
    ("bce", "softmax"),
    ("bce", "self_information"),
    ("least_squares", "softmax"),
    ("least_squares", "self_information"),
    ("hinge", "softmax"),
]
ADAPTED = Row(adversarial_step, FDA(0.05))
# So unsure are networks of a few steps that all would count for nothing by default.
TAUGHT = TaughtRow(
    style=FDA(0.05),
    photometric=True,
    rare_classes=True,
    self_training=SelfTraining(confidence=0.06),
)
ROWS = {"source only": Row(), "control": Row(control_step), "adapted": ADAPTED}


# The steps and the loop against a plain one.


def step_of(row):
    match row:
        case "source only":
            return source_step
        case "control":
            return control_step
        case "entropy":
            return partial(entropy_step, weight=WEIGHT)
    objective, maps = row
    return partial(adversarial_step, weight=WEIGHT, objective=objective, maps=maps)


@pytest.fixture
def setting():
    torch.manual_seed(0)
    # In double precision, since training amplifies the rounding of two orders of summation.
    network = BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False).double()
    discriminator = DepthwiseFC(CLASSES, width=8).double()
    images = torch.rand(STEPS, 2, 2, 3, 64, 64, dtype=torch.float64)
    labels = torch.randint(CLASSES, (STEPS, 2, 64, 64))
    labels[:, 0, :20] = 255
    batches = [
        Batch(images[step, 0], labels[step], images[step, 1], CLASS_WEIGHTS)
        for step in range(STEPS)
    ]
    return network, discriminator, batches


def optimizers(network, discriminator):
    return (
        torch.optim.SGD(network.parameters(), 0.05),
        torch.optim.Adam(discriminator.parameters(), RATES[1]),
    )


def mean_cross_entropy(output, labels):
    """Over labelled pixels, by the weights of their classes; the sum of the three outputs."""
    valid = labels != 255
    of_pixel = torch.where(valid, CLASS_WEIGHTS[labels.where(valid, 0)], 0)
    total = 0
    for logits in (output.logits, *output.auxiliary):
        full = F.interpolate(logits, labels.shape[-2:], mode="bilinear")
        losses = F.cross_entropy(full, labels, ignore_index=255, reduction="none")
        total = total + (losses * of_pixel).sum() / of_pixel.sum()
    return total


def plain_maps(logits, maps):
    p = F.softmax(logits, 1)
    return p if maps == "softmax" else -p * torch.log2(p) / math.log2(CLASSES)


def plain_loss(x, objective, *, source):
    match objective:
        case "bce":
            return -F.logsigmoid(-x).mean() if source else -F.logsigmoid(x).mean()
        case "least_squares":
            return F.mse_loss(x, torch.full_like(x, 0.0 if source else 1.0))
        case "hinge":
            return (1 + x if source else 1 - x).clamp(min=0).mean()


def replay(network, discriminator, batches, row):
    """The reference: everything written out, statistics saved and put back by hand."""
    network.train()
    optimizer, d_optimizer = both = optimizers(network, discriminator)
    first_rates = [each.param_groups[0]["lr"] for each in both]
    mean, std = (torch.tensor(each).double().view(3, 1, 1) for each in network.normalization)
    found = []
    for number, (images, labels, target, _) in enumerate(batches):
        for each, rate in zip(both, first_rates, strict=True):
            each.param_groups[0]["lr"] = rate * (1 - number / STEPS) ** 0.9
            each.zero_grad()
        before = {name: value.clone() for name, value in network.named_buffers()}
        source_output = network((images - mean) / std)
        loss = mean_cross_entropy(source_output, labels)
        loss.backward()
        losses = {"segmentation": loss.item()}
        if row != "source only":
            for name, value in network.named_buffers():
                value.copy_(before[name])
            target_output = network((target - mean) / std)
        if row == "entropy":
            p = F.softmax(target_output.logits, 1)
            losses["entropy"] = -(p * p.log()).sum(1).mean() / math.log(CLASSES)
            (WEIGHT * losses["entropy"]).backward()
        if row in ADVERSARIAL:
            objective, maps = row
            logits = discriminator(plain_maps(target_output.logits, maps))
            losses["adversarial"] = plain_loss(logits, objective, source=True)
            (WEIGHT * losses["adversarial"]).backward()
            d_optimizer.zero_grad()  # what the segmenter's loss left in the discriminator
            on_source = discriminator(plain_maps(source_output.logits, maps).detach())
            on_target = discriminator(plain_maps(target_output.logits, maps).detach())
            both_losses = plain_loss(on_source, objective, source=True)
            both_losses = both_losses + plain_loss(on_target, objective, source=False)
            losses["discriminator"] = both_losses / 2
            losses["discriminator"].backward()
            d_optimizer.step()
        optimizer.step()
        found.append({name: torch.as_tensor(value).item() for name, value in losses.items()})
    return found


def with_fit(fabric, folder, network, discriminator, batches, row):
    config = TrainingConfig(steps=STEPS, warmup_steps=0)
    both = optimizers(network, discriminator)
    networks = Networks(fabric, config, network, discriminator, both)
    yielded = list(run_fit(fabric, folder, networks, batches, step_of(row)))
    assert [done for done, _ in yielded] == [1, 2, 3]
    return [losses for _, losses in yielded]


@pytest.mark.parametrize("row", ["source only", "control", "entropy", *ADVERSARIAL], ids=str)
def test_the_loop_with_its_steps_equals_a_plain_loop(setting, fabric, row, tmp_path):
    network, discriminator, batches = setting
    expected = copy.deepcopy((network, discriminator))
    untouched = copy.deepcopy(discriminator.state_dict())
    expected_losses = replay(*expected, batches, row)
    losses = with_fit(fabric, tmp_path, network, discriminator, batches, row)
    assert_equal_states((network, discriminator), expected)
    for found, wanted in zip(losses, expected_losses, strict=True):
        assert {name: found[name] for name in wanted} == pytest.approx(wanted)
        assert all("/" in name for name in found.keys() - wanted.keys())
    assert (row in ADVERSARIAL) != all(
        torch.equal(value, untouched[name]) for name, value in discriminator.state_dict().items()
    )


def test_the_rows_differ_from_each_other(setting, fabric, tmp_path):
    weights = []
    for place, row in enumerate(("control", "entropy", *ADVERSARIAL)):
        network, discriminator, batches = copy.deepcopy(setting)
        with_fit(fabric, tmp_path / str(place), network, discriminator, batches, row)
        weights.append(network.head.classify.weight)
    for place, one in enumerate(weights):
        assert not any(torch.allclose(one, other, rtol=1e-9) for other in weights[:place])


def test_the_discriminator_starts_at_chance_and_no_loss_holds_a_graph(setting, fabric):
    network, discriminator, batches = setting
    config = TrainingConfig(steps=STEPS, warmup_steps=0)
    both = optimizers(network, discriminator)
    networks = Networks(fabric, config, network.train(), discriminator, both)
    losses = adversarial_step(fabric, networks, batches[0])
    assert losses["discriminator"].item() == pytest.approx(math.log(2), abs=0.05)
    assert not any(value.requires_grad for value in losses.values())
    assert all(value.ndim == 0 for value in losses.values())


@pytest.fixture
def some_output():
    """Logits of three resolutions, labels of which some are ignored, and weights of classes."""
    torch.manual_seed(0)
    sizes = (4, 6), (4, 6), (2, 3)
    heads = [torch.randn(2, 5, *size, dtype=torch.float64, requires_grad=True) for size in sizes]
    labels = torch.randint(5, (2, 16, 24))
    labels[0, :9] = 255
    return BiSeNetOutput(heads[0], tuple(heads[1:])), Batch(None, labels, None, CLASS_WEIGHTS)


def test_in_the_loss_a_pixel_counts_by_its_class(some_output):
    output, batch = some_output
    labels = batch.labels.numpy()
    of_class = segmentation.pixel_weights(labels, CLASS_WEIGHTS.tolist(), 255)
    losses = [
        segmentation.cross_entropy(logits.detach().numpy(), labels, 255)
        for logits in (output.logits, *output.auxiliary)
    ]
    expected = sum((of_class * each).sum() for each in losses) / of_class.sum()
    assert segmentation_loss(output, batch).item() == pytest.approx(expected)


def test_a_batch_without_a_label_has_loss_and_gradient_zero(some_output):
    output, batch = some_output
    loss = segmentation_loss(output, batch._replace(labels=torch.full_like(batch.labels, 255)))
    loss.backward()
    assert loss == 0
    assert not any(logits.grad.any() for logits in (output.logits, *output.auxiliary))


# What each row sees and does.


def curves(config, name):
    return EventAccumulator(str(config.output / "logs" / name)).Reload()


def logged(config, name, curve="segmentation"):
    return [event.value for event in curves(config, name).Scalars(curve)]


def weights(network):
    return torch.cat([parameter.flatten() for parameter in network.parameters()])


def test_the_warm_up_is_the_same_in_every_row_and_the_rest_is_not(fabric, config, domains):
    source_only, control, adapted = (
        weights(train_row(fabric, config, domains, *row).network) for row in ROWS.items()
    )
    steps = [logged(config, name) for name in ROWS]
    assert steps[0] == steps[1]  # of the control only the running statistics differ
    assert torch.equal(source_only, control)
    assert steps[2][:2] == steps[0][:2]
    assert steps[2][2] != steps[0][2]
    assert not torch.equal(control, adapted)


def test_the_first_steps_are_of_the_source_and_nothing_else_reads_the_discriminator(
    fabric, config, domains
):
    *_, (_, losses, networks, _) = plain_loop(fabric, config, "row", ROWS["control"], domains)
    assert losses.keys() == {"segmentation"}
    fresh = build_networks(fabric, config, 19).discriminator.state_dict()
    torch.testing.assert_close(networks.discriminator.state_dict(), fresh, rtol=0, atol=0)


def test_a_seed_decides_on_everything(fabric, config, domains, tmp_path):
    first, same, other = (
        weights(train_row(fabric, each, domains, "row", ADAPTED).network)
        for name, seed in (("first", 0), ("same", 0), ("other", 1))
        for each in [replace(config, output=tmp_path / name, seed=seed)]
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_seed_alone_decides_on_the_networks_and_rates_are_those_of_the_settings(fabric, config):
    config = replace(config, learning_rate=0.5, discriminator_learning_rate=0.25, steps=10)
    first, same, other = (
        build_networks(fabric, replace(config, seed=seed, warmup_steps=warm), 19)
        for seed, warm in ((3, 0), (3, 1), (4, 1))
    )
    assert type(first.network) is BiSeNet
    assert type(first.discriminator.module) is DepthwiseFC
    for part in ("segmenter", "discriminator"):
        states = [getattr(networks, part).state_dict() for networks in (first, same, other)]
        torch.testing.assert_close(states[1], states[0], rtol=0, atol=0)
        assert any(not torch.equal(states[2][name], states[0][name]) for name in states[0])
    rates = [schedule.get_last_lr() for schedule in first.schedules]
    assert rates == [[0.5], [0.25]]
    assert {schedule.total_iters for schedule in first.schedules} == {10}


@pytest.fixture
def pair():
    torch.manual_seed(0)
    images = torch.randint(256, (2, 2, 3, 32, 64), dtype=torch.uint8)
    labels = torch.randint(19, (2, 32, 64))
    return Sample(images[0], labels, ["a"]), Sample(images[1], None, ["b"])


def test_the_style_comes_before_augmentation_and_only_for_labelled_images(pair):
    def brighter_and_flipped(images, masks):
        return 1 + images.flip(-1), masks.flip(-1)

    def halfway(images, target_images):
        return (images + target_images) / 2

    source, target = (sample.image / 255 for sample in pair)
    labels = pair[0].label
    batch = make_batch(pair, brighter_and_flipped, halfway, CLASS_WEIGHTS)
    torch.testing.assert_close(batch.images, 1 + (source + target).flip(-1) / 2)
    assert torch.equal(batch.labels, labels.flip(-1))
    assert batch.labels.dtype == torch.int64
    torch.testing.assert_close(batch.target_images, target)
    plain = make_batch(pair, lambda images, masks: (images, masks), None, CLASS_WEIGHTS)
    torch.testing.assert_close(plain.images, source)
    assert plain.class_weights is CLASS_WEIGHTS


def test_bfloat16_has_about_the_same_losses(config, domains, tmp_path):
    still = replace(config, learning_rate=0.0)  # training would amplify any rounding
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        changed = replace(still, output=tmp_path / precision, precision=precision)
        fabric = gta2city.open_fabric(precision)
        loop = plain_loop(fabric, changed, "row", ADAPTED, domains)
        losses.append([found for _, found, *_ in loop])
        kept = torch.load(changed.output / "checkpoints" / "row.pt")["parts"]["segmenter"]
        assert {value.dtype for value in kept.values()} == {torch.float32, torch.int64}
    named = "segmentation", "adversarial", "discriminator", "target/entropy", "target/top class"
    for full, low in zip(*losses, strict=True):
        for name in full.keys() & set(named):
            assert low[name] == pytest.approx(full[name], rel=0.01)
        assert low["segmentation"] != full["segmentation"]
    assert named[1] in losses[0][-1]


def test_training_draws_from_no_random_numbers_but_those_that_are_kept(fabric, config, domains):
    seed_everything(config.seed, verbose=False)
    before = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    train_row(fabric, config, domains, "adapted", ADAPTED)
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002


# Kills and divergence.

KILLED = """
    import os, pickle, signal, sys
    from oracles.loops import loop_of
    from training.domains import open_domains
    from training.distributed import open_fabric

    fabric, (config, row) = open_fabric(), pickle.load(open(sys.argv[1], "rb"))
    for done, *_ in loop_of(row)(fabric, config, "row", row, open_domains(fabric, config)):
        if done == 3:  # one after that of the checkpoint
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("row", "loop", "train"),
    [
        (ADAPTED, plain_loop, train_row),
        (TAUGHT, taught_loop, train_taught_row),
    ],
    ids=["adversarial", "self-training"],
)
def test_a_killed_run_goes_on_bit_for_bit(fabric, config, domains, tmp_path, row, loop, train):
    config = replace(config, warmup_steps=1, checkpoint_every=2)
    whole = train(fabric, config, domains, "row", row)
    killed = replace(config, output=tmp_path / "killed")
    given = tmp_path / "given"
    given.write_bytes(pickle.dumps((killed, row)))
    command = [sys.executable, "-c", textwrap.dedent(KILLED), given]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on them
    environment = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert torch.load(killed.output / "checkpoints" / "row.pt")["step"] == 2
    time.sleep(1)  # TensorBoard orders files by the second that they were opened in
    done, _, networks, _ = zip(*loop(fabric, killed, "row", row, domains), strict=True)
    assert done == (3, 4)
    state = networks[-1].network.state_dict()
    torch.testing.assert_close(state, whole.network.state_dict(), rtol=0, atol=0)
    first, second = (
        torch.load(each.output / "checkpoints" / "row.pt", weights_only=True)
        for each in (config, killed)
    )
    assert second.pop("seconds") > 0 < first.pop("seconds")
    assert second.pop("settings") == first.pop("settings")
    torch.testing.assert_close(second, first, rtol=0, atol=0)
    points = [event.step for event in curves(killed, "row").Scalars("segmentation")]
    assert points == [1, 2, 3, 4]  # step 3 is shown once
    if train is train_taught_row:
        assert first["parts"]["teacher"]["n_averaged"] == 4
        student = state["head.classify.weight"]
        assert not torch.equal(first["parts"]["teacher"]["module.head.classify.weight"], student)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_divergence_names_images_losses_and_the_last_good_checkpoint(
    fabric, config, domains, value
):
    losses = [{"segmentation": 1.0}, {"segmentation": 0.5, "adversarial": value}]

    class Diverging:
        def __repr__(self):
            return "diverging_step"

        def __call__(self, *_):
            return {name: torch.tensor(each) for name, each in losses.pop(0).items()}

    file = config.output / "checkpoints" / "row.pt"
    named = rf"images \('0.*'adversarial': {value}.*last good checkpoint is {file}, after 1 step"
    changed = replace(config, checkpoint_every=1, warmup_steps=0)
    with pytest.raises(FloatingPointError, match=named):
        train_row(fabric, changed, domains, "row", Row(Diverging()))
    assert torch.load(file, weights_only=True)["step"] == 1
    assert logged(config, "row") == [1.0]


def test_a_divergence_stops_the_run_and_saves_nothing_bad(config):
    config = replace(config, learning_rate=math.inf)
    with pytest.raises(
        FloatingPointError, match=r"source-only diverged at step 2, images.*no checkpoint"
    ):
        main(Config(config))
    assert not (config.output / "source-only").exists()
    with pytest.raises(FloatingPointError, match=r"segmenter has NaN .* after 1 steps"):
        main(Config(replace(config, checkpoint_every=1)))
    assert not list(config.output.glob("checkpoints/*"))


# The whole script.


def test_the_whole_path(config, capsys):
    main(Config(config))
    for name in ROWS:
        network = BiSeNet.from_pretrained(config.output / name.replace(" ", "-"))
        assert network.eval()(torch.rand(1, 3, 64, 128)).logits.shape == (1, 19, 64, 128)
    results = read_results(config.output / "results.json")
    assert list(results) == list(ROWS)
    scores = [results[name][config.seed]["mIoU"] for name in ROWS]
    assert all(0 <= score <= 1 for score in scores)
    printed = capsys.readouterr().out
    assert all(f"{100 * score:.1f}" in printed for score in scores)
    with Image.open(config.output / "comparison.png") as picture:
        assert picture.width > 1000
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 100
    assert not list(config.output.glob(".*"))
    source_only, control = (
        BiSeNet.from_pretrained(config.output / name) for name in ("source-only", "control")
    )
    target = Cityscapes(config.target_root, size=(64, 128))
    images = [batch.image / 255 for batch in DataLoader(target, config.batch_size)]
    adapt_batch_norm(source_only, map(normalization(source_only), images))
    for name, value in control.state_dict().items():  # its layout was channels-last meanwhile
        torch.testing.assert_close(value, source_only.state_dict()[name], rtol=1e-4, atol=1e-5)
    for name in ("source only", "adapted"):
        log = curves(config, name)
        rates = [event.value for event in log.Scalars("learning rate/segmenter")]
        assert rates == pytest.approx([4e-3 * (1 - step / 4) ** 0.9 for step in range(4)])
        assert len(log.Images("held-out")) == 1
    assert len(log.Scalars("discriminator")) == config.steps - config.warmup_steps


def test_a_finished_row_is_not_trained_again(config, capsys):
    main(Config(config))
    results = read_results(config.output / "results.json")
    shutil.rmtree(config.output / "checkpoints")  # from which a row could go on
    capsys.readouterr()
    main(Config(replace(config, workers=1, checkpoint_every=7)))
    assert not (config.output / "checkpoints").exists()
    assert read_results(config.output / "results.json") == results
    assert f"{100 * results['adapted'][0]['mIoU']:.1f}" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="seed at its default instead of 1; take"):
        main(Config(replace(config, seed=1)))
    with pytest.raises(FileExistsError, match=r"weight .* instead of 0\.1; take those settings"):
        main(Config(config, adversarial_weight=0.1))


def test_labels_without_a_class_are_refused_before_training(config, tmp_path):
    root = tmp_path / "gta5"
    for name in ("00001", "00002"):
        write_gta5(root, name, ids=np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"pixels of a class in the labels of .*gta5.images"):
        main(Config(replace(config, source_root=root)))
    assert not (config.output / "source-only").exists()


def test_a_second_run_is_refused_until_the_first_has_ended(config):
    with (
        folder_lock(config.output),
        pytest.raises(BlockingIOError, match=r"no other run to write to .*run, but one does"),
    ):
        main(Config(config))


def test_the_target_is_scored_by_its_own_classes(fabric, config, domains):
    torch.manual_seed(0)
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    whole = evaluate(fabric, config, network, domains)
    assert whole.sum() == sum((label < 19).sum() for _, label, _ in domains.held_out)
    merged = evaluate(fabric, config, network, domains._replace(target="camvid"))
    assert torch.equal(merged, merge_predictions(whole, "camvid"))
    assert not torch.equal(merged, whole)


def test_held_out_images_may_differ_in_size(fabric, config, domains):
    torch.manual_seed(0)
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    each = [*domains.held_out]
    expected = torch.zeros(19, 19, dtype=torch.int64)
    for pair in (each[:2], each[2:]):
        batch = torch.stack([sample.image for sample in pair])
        labels = torch.stack([sample.label for sample in pair])
        ids = predict(network, batch, size=config.size, label_size=labels.shape[-2:])
        expected += confusion_matrix(ids, labels, 19)
    assert torch.equal(evaluate(fabric, config, network, domains), expected)
    each[1] = Sample(each[1].image[:, 5:], each[1].label[5:], each[1].name)
    found = evaluate(fabric, config, network, domains._replace(held_out=each))
    assert found.sum() == sum((sample.label < 19).sum() for sample in each)


SUPPORT = {"command_line", "files", "training", "evaluation", "toy_city"}


def test_the_example_is_short_and_leans_on_nothing_but_its_support():
    text = Path(gta2city.__file__).read_text()
    assert len(text.splitlines()) <= 240
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.partition(".")[0])
    examples = Path(gta2city.__file__).parent
    own = {path.stem for path in examples.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert imported & own <= SUPPORT
    assert {"uda_seg", "torch", "training"} <= imported
