"""Every public call as users make it: forward, backward and update, on any device and in any type.

A call lays out its inputs where ``on`` says, and returns what is then to be run: a function of
nothing that gives the tensors that came out.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from uda_seg import (
    batch_norm,
    discriminators,
    inference,
    losses,
    metrics,
    models,
    pseudo_labels,
    transforms,
)

CALLS = {}
"""By the public name that they try, with a word after it where a name has several ways."""


class On(NamedTuple):
    """Where the tensors of a call are, and of which type."""

    put: Callable[[torch.Tensor, torch.dtype], torch.Tensor]
    dtype: torch.dtype
    backward: Callable[[torch.Tensor], None] = torch.Tensor.backward

    def move(self, values):
        return self.put(values, self.dtype if values.is_floating_point() else values.dtype)

    def random(self, *shape):
        return self.move(torch.rand(shape, dtype=torch.float64))

    def probabilities(self, *shape):
        return self.move(torch.rand(shape, dtype=torch.float64).softmax(dim=1))

    def ids(self, *shape, low=0, high=5):
        return self.move(torch.randint(low, high, shape))

    def module(self, module):
        """Move it weight by weight, since ``Module.to`` does not do so with fake tensors."""
        for part in module.modules():
            for name, weight in part.named_parameters(recurse=False):
                part._parameters[name] = nn.Parameter(self.move(weight.detach()))
            for name, values in part.named_buffers(recurse=False):
                part._buffers[name] = self.move(values)
        return module


def call(name):
    def keep(function):
        CALLS[name] = function
        return function

    return keep


def flat(output):
    """The tensors in nested tuples and dictionaries."""
    if isinstance(output, torch.Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output
    return [tensor for part in parts for tensor in flat(part)]


def mean_square(outputs):
    return sum(each.double().square().mean() for each in outputs if each.requires_grad)


def differentiate(on, function, *inputs):
    """What comes out, and the gradient of each input."""
    for each in inputs:
        each.requires_grad_()

    def run():
        outputs = flat(function(*inputs))
        on.backward(mean_square(outputs))
        return [*outputs, *(each.grad for each in inputs)]

    return run


def train(on, module, *inputs):
    """What comes out, and the weights after a step."""
    module = on.module(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def run():
        outputs = flat(module(*inputs))
        on.backward(mean_square(outputs))
        optimizer.step()
        return [*outputs, *module.parameters()]

    return run


def plainly(function, *inputs, **settings):
    return lambda: flat(function(*inputs, **settings))


@call("discriminators.DepthwiseFC")
def _(on):
    return train(
        on, discriminators.DepthwiseFC(3, width=4), on.probabilities(2, 3, 64, 70).requires_grad_()
    )


@call("discriminators.FullyConv")
def _(on):
    return train(
        on, discriminators.FullyConv(3, width=4), on.probabilities(2, 3, 64, 70).requires_grad_()
    )


@call("losses.adversarial")
def _(on):
    def all_ways(logits):
        for domain in losses.Domain:
            for objective in ("bce", "least_squares", "hinge"):
                yield losses.adversarial(logits, domain, objective=objective)

    return differentiate(on, all_ways, on.random(2, 1, 2, 3))


@call("losses.bisenet_loss")
def _(on):
    labels = on.ids(2, 32, 40)
    sizes = [(4, 5), (4, 5), (2, 3)]
    return differentiate(
        on,
        lambda logits, *auxiliary: losses.bisenet_loss(logits, auxiliary, labels),
        *(on.random(2, 5, *size) for size in sizes),
    )


@call("losses.distillation")
def _(on):
    taught = {"teacher_logits": on.random(2, 5, 8, 12), "pixel_weights": on.random(2, 16, 24)}
    loss = partial(losses.distillation, temperature=2.0, **taught)
    return differentiate(on, loss, on.random(2, 5, 4, 6))


@call("losses.distillation, over pixels")
def _(on):
    loss = partial(losses.distillation, teacher_logits=on.random(2, 5, 8, 12))
    return differentiate(on, partial(loss, softmax_over="pixels"), on.random(2, 5, 4, 6))


@call("losses.entropy")
def _(on):
    return differentiate(on, losses.entropy, on.random(2, 5, 4, 6))


@call("losses.median_frequency_weights")
def _(on):
    return plainly(losses.median_frequency_weights, on.ids(6, 5, low=1, high=99))


@call("losses.ohem_cross_entropy")
def _(on):
    labels, weight = on.ids(2, 32, 40), on.random(5)
    loss = partial(losses.ohem_cross_entropy, labels=labels, weight=weight, min_kept=0.3)
    return differentiate(on, loss, on.random(2, 5, 32, 40))


@call("losses.robust_entropy")
def _(on):
    return differentiate(on, losses.robust_entropy, on.random(2, 5, 4, 6))


@call("losses.self_information")
def _(on):
    return differentiate(on, losses.self_information, on.random(2, 5, 4, 6))


@call("losses.upsampled_cross_entropy")
def _(on):
    labels, weight = on.ids(2, 32, 40), on.random(5)
    loss = partial(losses.upsampled_cross_entropy, labels=labels, weight=weight)
    return differentiate(on, loss, on.random(2, 5, 4, 5))


def mean_iou(on):
    metric = metrics.MeanIoU(5)
    if isinstance(metric, nn.Module):
        on.module(metric)
    return metric, on.ids(2, 8, 8), on.ids(2, 8, 8)


@call("metrics.MeanIoU.update")
def _(on):
    metric, predictions, target = mean_iou(on)

    def run():
        metric.update(predictions, target)
        return []

    return run


@call("metrics.MeanIoU.compute")
def _(on):
    metric, *batch = mean_iou(on)

    def run():
        metric.update(*batch)
        return [metric.compute(), metric.iou(), metric.confusion_matrix()]

    return run


@call("metrics.bootstrap_interval")
def _(on):
    return plainly(metrics.bootstrap_interval, on.ids(4, 5, 5, low=1, high=99))


@call("metrics.confusion_matrix")
def _(on):
    return plainly(metrics.confusion_matrix, on.ids(2, 8, 8), on.ids(2, 8, 8), 5)


@call("metrics.iou")
def _(on):
    return plainly(metrics.iou, on.ids(2, 8, 8), on.ids(2, 8, 8), 5)


@call("metrics.iou_from_confusion")
def _(on):
    return plainly(metrics.iou_from_confusion, on.ids(4, 5, 5, low=1, high=99))


@call("metrics.merge_classes")
def _(on):
    groups = on.move(torch.tensor([0, 1, 1, 2, 0]))
    return plainly(metrics.merge_classes, on.ids(4, 5, 5, high=99), groups)


@call("metrics.pixel_accuracy")
def _(on):
    return plainly(metrics.pixel_accuracy, on.ids(4, 5, 5, low=1, high=99))


@call("models.BiSeNet")
def _(on):
    network = models.BiSeNet(3, "test_resnet", pretrained_backbone=False)
    images = on.random(2, 3, 64, 70).requires_grad_()
    step = train(on, network, images)

    def run():
        trained = step()
        return [*trained, *flat(network.eval()(images, size=(16, 20)))]

    return run


@call("pseudo_labels.ClassThresholds.update")
def _(on):
    thresholds, probabilities = class_thresholds(on)

    def run():
        thresholds.update(probabilities)
        return []

    return run


@call("pseudo_labels.ClassThresholds.compute")
def _(on):
    thresholds, _ = class_thresholds(on)
    return lambda: [thresholds.compute()]


def class_thresholds(on):
    thresholds = pseudo_labels.ClassThresholds(5)
    if isinstance(thresholds, nn.Module):
        on.module(thresholds)
    return thresholds, on.probabilities(2, 5, 8, 8)


@call("pseudo_labels.confident_share")
def _(on):
    return plainly(pseudo_labels.confident_share, on.probabilities(2, 5, 8, 8), 0.25)


@call("pseudo_labels.mean_prediction")
def _(on):
    return differentiate(
        on,
        lambda *logits: pseudo_labels.mean_prediction(logits, size=(16, 20)),
        *(on.random(2, 5, 4, 5) for _ in range(3)),
    )


@call("pseudo_labels.pseudo_label")
def _(on):
    return plainly(pseudo_labels.pseudo_label, on.probabilities(2, 5, 8, 8), on.random(5) / 2)


@call("pseudo_labels.ramped_ema")
def _(on):
    student = nn.Linear(3, 2)
    teacher = AveragedModel(student, multi_avg_fn=pseudo_labels.ramped_ema(), use_buffers=True)
    on.module(student)
    on.module(teacher)

    def run():
        for _ in range(2):
            teacher.update_parameters(student)
        return [*teacher.parameters()]

    return run


@call("transforms.BlockMask")
def _(on):
    mask = transforms.BlockMask(fill=(0.5, 0.4, 0.3), block_size=4, ratio=1.0)
    return differentiate(on, mask, on.random(2, 3, 8, 10))


@call("transforms.FDA")
def _(on):
    return differentiate(on, transforms.FDA(beta=0.1), *two_images(on))


@call("transforms.FDA, with a beta an image")
def _(on):
    return differentiate(on, transforms.FDA(beta=(0.01, 0.1)), *two_images(on))


@call("transforms.block_mask")
def _(on):
    mask = partial(transforms.block_mask, fill=on.random(3), block_size=4, ratio=1.0)
    return differentiate(on, mask, on.random(2, 3, 8, 10))


@call("transforms.block_mask, with numbers to fill in")
def _(on):
    mask = partial(transforms.block_mask, fill=(0.5, 0.4, 0.3), block_size=4, ratio=1.0)
    return differentiate(on, mask, on.random(2, 3, 8, 10))


@call("transforms.class_mix")
def _(on):
    source = on.random(2, 3, 8, 8), on.ids(2, 8, 8, high=1)  # one class, so that nothing is drawn
    target = on.random(2, 3, 8, 8), on.ids(2, 8, 8)
    return plainly(transforms.class_mix, *source, *target, target_weights=on.random(2))


@call("transforms.fourier_domain_adaptation")
def _(on):
    return adapt(on, 0.1)


@call("transforms.fourier_domain_adaptation, with many frequencies")
def _(on):
    return adapt(on, 0.5)


@call("transforms.fourier_domain_adaptation, with a beta an image")
def _(on):
    return adapt(on, on.move(torch.tensor([0.05, 0.1])))


@call("transforms.fourier_domain_adaptation, with a strength an image")
def _(on):
    transform = partial(
        transforms.fourier_domain_adaptation, beta=0.1, strength=on.move(torch.tensor([0.5, 1.0]))
    )
    return differentiate(on, transform, *two_images(on))


@call("transforms.low_frequency_amplitude")
def _(on):
    amplitude = partial(transforms.low_frequency_amplitude, beta=0.1)
    return differentiate(on, amplitude, on.random(2, 3, 32, 40))


def adapt(on, beta):
    transform = partial(transforms.fourier_domain_adaptation, beta=beta)
    return differentiate(on, transform, *two_images(on))


def two_images(on):
    return on.random(2, 3, 32, 48), on.random(2, 3, 32, 40)


@call("batch_norm.adapt_batch_norm")
def _(on):
    network, images = normalizing(on), on.random(2, 3, 16, 20)

    def run():
        batch_norm.adapt_batch_norm(network, [images, images[:1]], source_weight=0.3)
        return [*network.buffers()]

    return run


@call("batch_norm.image_statistics")
def _(on):
    network, images = normalizing(on), on.random(2, 3, 16, 20)

    def adapted(images):
        with batch_norm.image_statistics(network, source_weight=0.3):
            return network(images)

    return differentiate(on, adapted, images)


def normalizing(on):
    return on.module(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))


@call("inference.sliding_window")
def _(on):
    windows = partial(inference.sliding_window, torch.square, size=(8, 10), stride=(6, 6))
    return differentiate(on, windows, on.random(2, 3, 16, 20))


@call("inference.flip_average")
def _(on):
    return differentiate(on, partial(inference.flip_average, torch.square), on.random(2, 3, 8, 10))


@call("inference.scale_average")
def _(on):
    average = partial(inference.scale_average, torch.square, scales=(0.5, 1.0))
    return differentiate(on, average, on.random(2, 3, 8, 10))


@call("transforms.match_statistics")
def _(on):
    source, target = two_images(on)
    return differentiate(on, partial(transforms.match_statistics, target=target), source)


@call("transforms.match_statistics, with a strength an image")
def _(on):
    source, target = two_images(on)
    strength = on.move(torch.tensor([0.5, 1.0]))
    match = partial(transforms.match_statistics, target=target, strength=strength)
    return differentiate(on, match, source)


@call("transforms.color_statistics")
def _(on):
    return differentiate(on, transforms.color_statistics, on.random(2, 3, 32, 40))


@call("transforms.MatchStatistics")
def _(on):
    source, target = two_images(on)
    return differentiate(on, partial(transforms.MatchStatistics(), target=target), source)


@call("transforms.match_histogram")
def _(on):
    source, target = two_images(on)
    return differentiate(on, partial(transforms.match_histogram, target=target), source)


@call("transforms.lab_quantiles")
def _(on):
    return plainly(transforms.lab_quantiles, on.random(2, 3, 32, 40))


@call("transforms.MatchHistogram")
def _(on):
    source, target = two_images(on)
    match = transforms.MatchHistogram()
    return differentiate(on, partial(match, target=target), source)


@call("transforms.perturb_amplitude")
def _(on):
    perturb = partial(transforms.perturb_amplitude, alpha=0.0, beta=0.0)  # draws differ by device
    return differentiate(on, perturb, on.random(2, 3, 8, 10))


@call("transforms.PASTA")
def _(on):
    return differentiate(on, transforms.PASTA(alpha=0.0, beta=0.0), on.random(2, 3, 8, 10))


@call("transforms.random_crop")
def _(on):
    crop = partial(transforms.random_crop, labels=on.ids(2, 8, 10), size=(8, 10), scale=(1.0, 1.0))
    return differentiate(on, lambda images: crop(images)[0], on.random(2, 3, 8, 10))


@call("transforms.random_crop, by class weights")
def _(on):
    weights = on.move(torch.ones(3))
    labels = on.ids(2, 16, 20, high=3)
    crop = partial(transforms.random_crop, class_weights=weights, size=(16, 20), scale=(1.0, 1.0))
    return plainly(crop, on.random(2, 3, 16, 20), labels)
