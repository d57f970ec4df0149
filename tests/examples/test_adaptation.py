"""The steps against a plain torch loop that shares no code with them."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from adaptation import adversarial_step, control_step, entropy_step, source_step
from oracles.tiny import TinyNetwork
from uda_seg.discriminators import DepthwiseFC
from uda_seg.models import BiSeNet

STEPS, CLASSES, WEIGHT = 3, 5, 0.05
ADVERSARIAL = [
    ("bce", "softmax"),
    ("bce", "self_information"),
    ("least_squares", "softmax"),
    ("least_squares", "self_information"),
    ("hinge", "softmax"),
]


@pytest.fixture
def setting():
    torch.manual_seed(0)
    # In double precision, since training amplifies the rounding of two orders of summation.
    network = BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False).double()
    discriminator = DepthwiseFC(CLASSES, width=8).double()
    images = torch.randn(STEPS, 2, 2, 3, 64, 64, dtype=torch.float64)
    labels = torch.randint(CLASSES, (STEPS, 2, 64, 64))
    batches = [(images[step, 0], labels[step], images[step, 1]) for step in range(STEPS)]
    return network, discriminator, batches


@pytest.fixture
def fabric():
    return Fabric(accelerator="cpu", devices=1)


def optimizers(network, discriminator):
    return (
        torch.optim.SGD(network.parameters(), 0.05),
        torch.optim.Adam(discriminator.parameters(), 1e-2),
    )


def cross_entropy(output, labels):
    return sum(
        F.cross_entropy(F.interpolate(logits, labels.shape[-2:], mode="bilinear"), labels)
        for logits in (output.logits, *output.auxiliary)
    )


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


def plain_loop(network, discriminator, batches, row):
    """The reference: everything written out, statistics saved and put back by hand."""
    network.train()
    optimizer, d_optimizer = optimizers(network, discriminator)
    for images, labels, target in batches:
        optimizer.zero_grad()
        d_optimizer.zero_grad()
        before = {name: value.clone() for name, value in network.named_buffers()}
        source_output = network(images)
        cross_entropy(source_output, labels).backward()
        if row != "source only":
            for name, value in network.named_buffers():
                value.copy_(before[name])
            target_output = network(target)
        if row == "entropy":
            p = F.softmax(target_output.logits, 1)
            (WEIGHT * -(p * p.log()).sum(1).mean() / math.log(CLASSES)).backward()
        if row in ADVERSARIAL:
            objective, maps = row
            logits = discriminator(plain_maps(target_output.logits, maps))
            (WEIGHT * plain_loss(logits, objective, source=True)).backward()
            d_optimizer.zero_grad()  # what the segmenter's loss left in the discriminator
            on_source = discriminator(plain_maps(source_output.logits, maps).detach())
            on_target = discriminator(plain_maps(target_output.logits, maps).detach())
            both = plain_loss(on_source, objective, source=True)
            both += plain_loss(on_target, objective, source=False)
            both.div(2).backward()
            d_optimizer.step()
        optimizer.step()


def with_steps(fabric, network, discriminator, batches, row, micro_batches=1):
    network.train()
    both = optimizers(network, discriminator)
    for batch in batches:
        for images, labels, target in zip(
            *(part.chunk(micro_batches) for part in batch), strict=True
        ):
            take_step(
                fabric, network, discriminator, images, labels, target, row, 1 / micro_batches
            )
        for optimizer in both:
            optimizer.step()
            optimizer.zero_grad()


def take_step(fabric, network, discriminator, images, labels, target, row, share):
    def loss(output):
        return cross_entropy(output, labels)

    match row:
        case "source only":
            return source_step(fabric, network, images, loss, share=share)
        case "control":
            return control_step(fabric, network, images, target, loss, share=share)
        case "entropy":
            return entropy_step(fabric, network, images, target, loss, weight=WEIGHT, share=share)
    objective, maps = row
    return adversarial_step(
        fabric,
        network,
        discriminator,
        images,
        target,
        loss,
        weight=WEIGHT,
        objective=objective,
        maps=maps,
        share=share,
    )


def assert_equal_states(modules, references):
    for module, reference in zip(modules, references, strict=True):
        for (name, value), other in zip(
            module.state_dict().items(), reference.state_dict().values(), strict=True
        ):
            if "num_batches_tracked" not in name:  # counts calls; nothing reads it
                torch.testing.assert_close(value, other, msg=name)


@pytest.mark.parametrize("row", ["source only", "control", "entropy", *ADVERSARIAL], ids=str)
def test_the_steps_equal_a_plain_loop(setting, fabric, row):
    network, discriminator, batches = setting
    expected = copy.deepcopy((network, discriminator))
    untouched = copy.deepcopy(discriminator.state_dict())
    plain_loop(*expected, batches, row)
    with_steps(fabric, network, discriminator, batches, row)
    assert_equal_states((network, discriminator), expected)
    assert (row in ADVERSARIAL) != all(
        torch.equal(value, untouched[name]) for name, value in discriminator.state_dict().items()
    )


@pytest.mark.parametrize("row", ["source only", "control", "entropy", ADVERSARIAL[0]], ids=str)
def test_micro_batches_equal_one_large_batch_without_batch_norm(setting, fabric, row):
    _, discriminator, batches = setting
    modules = TinyNetwork(CLASSES).double(), discriminator
    expected = copy.deepcopy(modules)
    with_steps(fabric, *expected, batches, row)
    with_steps(fabric, *modules, batches, row, micro_batches=2)
    assert_equal_states(modules, expected)


def test_the_rows_differ_from_each_other(setting, fabric):
    weights = []
    for row in ("control", "entropy", *ADVERSARIAL):
        network, discriminator, batches = copy.deepcopy(setting)
        with_steps(fabric, network, discriminator, batches, row)
        weights.append(network.head.classify.weight)
    for place, one in enumerate(weights):
        assert not any(torch.allclose(one, other, rtol=1e-9) for other in weights[:place])


def test_the_discriminator_starts_at_chance(setting, fabric):
    network, discriminator, [(images, labels, target), *_] = setting
    network.train()
    row = ("bce", "softmax")
    losses = take_step(fabric, network, discriminator, images, labels, target, row, 1)
    assert losses["discriminator"].item() == pytest.approx(math.log(2), abs=0.05)


def test_a_monitor_sees_what_the_discriminator_said_and_holds_no_graph(setting, fabric):
    network, discriminator, [(images, labels, target), *_] = setting
    network.train()
    seen = {}
    losses = adversarial_step(
        fabric,
        network,
        discriminator,
        images,
        target,
        lambda output: cross_entropy(output, labels),
        weight=0.1,
        watch=seen.update,
    )
    expected = sum(
        F.binary_cross_entropy_with_logits(seen[name], torch.full_like(seen[name], domain)) / 2
        for name, domain in (("on_source", 0.0), ("on_target", 1.0))
    )
    torch.testing.assert_close(losses["discriminator"], expected)
    assert seen["target_logits"].shape == (len(target), CLASSES, 8, 8)  # not kept at full size
    assert not any(logits.requires_grad for logits in seen.values())
