"""Train and evaluate any of the rows."""

from collections.abc import Mapping, Sequence
from functools import partial

from lightning_fabric import Fabric

from evaluation.adabn import AdaBN, adapting
from evaluation.results import Evaluation, Result, load_or_train, log_result
from evaluation.scoring import evaluate
from gta2city import fit
from self_training import prepare_training
from study.model_selection import Evaluations, label_free_criteria
from study.monitor import CollapseMonitor
from study.recipes import Recipe
from training.batch_norm import average_running_statistics
from training.checkpoint import Checkpoint
from training.config import TrainingConfig
from training.domains import Domains, Labels
from training.logger import TrainingLogger
from training.teacher import update_teacher
from uda_seg.metrics import iou_from_confusion

__all__ = ["run_study", "train_row"]

Rows = Mapping[str, Recipe | AdaBN]


def run_study(
    fabric: Fabric,
    config: TrainingConfig,
    rows: Rows,
    names: Sequence[str],
    domains: Mapping[Labels, Domains],
    evaluate_every: int = 0,
) -> dict[str, Result]:
    """Return the results of the named rows. Rows without a saved result are trained.

    Args:
        fabric: the Fabric of the run.
        config: the settings of all rows.
        rows: all rows. An AdaBN row may need a row that is not in ``names``.
        names: names of the rows to return.
        domains: the data, by the domain that is labelled.
        evaluate_every: steps between evaluations, from which a step can be chosen; 0 for none.
    """
    adabn = {name: row for name in names if isinstance(row := rows[name], AdaBN)}
    needed = dict.fromkeys([*names, *(row.network for row in adabn.values())])
    recipes = {name: row for name in needed if isinstance(row := rows[name], Recipe)}
    of = {name: AdaBN(row.network, rows[row.network]) for name, row in adabn.items()}
    train = partial(train_row, fabric, config, domains, evaluate_every)
    train_or_adapt = adapting(fabric, config, domains["source"], train)
    classes = domains["source"].classes
    results = load_or_train(fabric, config, {**recipes, **of}, train_or_adapt, classes)
    return {name: results[name] for name in names}


def train_row(
    fabric: Fabric,
    config: TrainingConfig,
    domains: Mapping[Labels, Domains],
    evaluate_every: int,
    name: str,
    recipe: Recipe,
) -> Result:
    """Train the network of one row. Monitor it, and evaluate it during training and at the end."""
    data = domains[recipe.labels]
    networks, teacher, batches, step = training = prepare_training(fabric, config, data, recipe)
    objective = recipe.adversarial["objective"] if recipe.adversarial else "bce"
    monitor, evaluations = CollapseMonitor(objective=objective), Evaluations()
    parts = training.parts | {"monitor": monitor, "evaluations": evaluations}

    def evaluation(done: int) -> Evaluation:
        average_running_statistics(fabric, networks.network)
        criteria = label_free_criteria(networks, recipe, data)
        confusion = evaluate(fabric, config, networks.network, data)
        networks.segmenter.train()
        return Evaluation(done, iou_from_confusion(confusion).nanmean().item(), criteria)

    with (
        Checkpoint(fabric, config, name, recipe, parts) as checkpoint,
        TrainingLogger(fabric, config.output, name, config.steps) as logger,
    ):
        for done, losses in fit(fabric, networks, batches, step, checkpoint, logger):
            if teacher is not None and done >= config.warmup_steps:
                update_teacher(fabric, teacher, networks.network)
            if "target/entropy" in losses:
                norms = networks.gradient_norms()
                logger.log(norms, done)
                for message in monitor.update(losses | norms):
                    logger.warn(message, done)
                logger.remark = monitor.text()
            if evaluate_every and (done % evaluate_every == 0 or done == config.steps):
                latest = evaluation(done)
                evaluations.so_far.append(latest)
                logger.log({f"selection/{k}": v for k, v in latest.criteria.items()}, done)
                if done < config.steps:  # log_result logs the last score
                    logger.log({"held-out/mIoU": latest.miou}, done)
        confusion = evaluate(fabric, config, networks.network, data)
        so_far = tuple(evaluations.so_far)
        result = Result(networks.network, confusion, checkpoint.seconds, so_far)
        log_result(logger, config, result, data)
    return result
