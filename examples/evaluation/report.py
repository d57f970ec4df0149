"""The report of an evaluation: scores with intervals, tables and charts."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from math import isnan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluation.charts import save_bars, save_confusion
from evaluation.environment import environment
from evaluation.loading import Classes
from evaluation.protocol import protocol_scores, require_counts, score_names
from evaluation.tables import escaped, markdown_table
from files import clean_up
from tensor_files import load_tensors
from uda_seg.metrics import bootstrap_interval

__all__ = ["Matrices", "load_matrices", "require_baseline", "score_intervals", "write_report"]

Matrices = Mapping[str, Tensor]
_TEXT = """\
# {network} on {data_set}, {split}

Scores in %, over {images} images at the full size of their labels. The network saw them at {seen}.
`-`: the class is in neither labels nor predictions. Brackets: 95 % bootstrap intervals over images
(1000 draws). The intervals do not cover the randomness of training. They are too narrow if images
resemble each other. {date}, torch {torch}, {device}.

{table}
"""
_INPUT = ("size", "window", "flip", "scales")  # settings that change what the network sees


def score_intervals(
    matrices: Matrices, classes: Classes, baseline: Matrices | None = None
) -> dict[str, Tensor]:
    """The scores of the protocol with 95 % intervals, and the gain over another network.

    Args:
        matrices: the confusion matrix ``(K, K)`` of each image, by image name.
        classes: the K classes.
        baseline: the matrices of another network on the same images.

    Returns:
        ``score``, and with a baseline also ``baseline`` and ``gain``. Each is ``(3, S)``: the
        values, the lower ends and the upper ends of their intervals, as shares. The order is that
        of :func:`score_names`.

    Raises:
        ValueError: if no pixel is labelled, or the baseline has other images.
    """
    if baseline is not None:
        require_baseline(baseline, list(matrices))
    runs = [matrices] if baseline is None else [matrices, baseline]
    stack = torch.stack([torch.stack([run[name] for run in runs]) for name in matrices])
    if not stack.any():
        raise ValueError("expected a labelled pixel to score by, got labels of 255 only")
    statistic = partial(_with_gain, classes=classes)
    ends = bootstrap_interval(stack, statistic)
    columns = torch.stack([statistic(stack.sum(0)), *ends], 1)
    return dict(zip(("score", "baseline", "gain"), columns, strict=False))


def require_baseline(baseline: Matrices, names: Sequence[str]) -> None:
    """Refuse a baseline with other images.

    Raises:
        ValueError: if the baseline does not have exactly the images ``names``.
    """
    if baseline.keys() != {*names}:
        raise ValueError(
            f"expected a baseline of the same {len(names)} images, got {len(baseline)} of which "
            f"{len(baseline.keys() & {*names})} are the same"
        )


def _with_gain(stack: Tensor, classes: Classes) -> Tensor:
    """Scores of counts ``(..., runs, K, K)``, and with two runs the gain of the first one."""
    each = protocol_scores(stack, classes)
    return torch.cat([each, each[..., :1, :] - each[..., 1:, :]], -2)


def load_matrices(evaluation: Path, num_classes: int) -> Matrices:
    """Load the confusion matrix of each image from an earlier evaluation.

    Raises:
        FileNotFoundError: if ``evaluation`` is not an output folder of ``evaluate.py``.
        ValueError: if its file is damaged, of another kind, or has other classes.
    """
    clean_up(evaluation.parent)  # a killed run may have moved it aside
    file = evaluation / "matrices.pt"
    if not file.is_file():
        raise FileNotFoundError(f"expected the output of examples/evaluate.py, found no {file}")
    matrices: Any = load_tensors(file)
    if not isinstance(matrices, dict) or not matrices:
        raise ValueError(f"expected confusion matrices in {file}, got something else")
    try:
        for matrix in matrices.values():
            require_counts(matrix, num_classes)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    found: Matrices = matrices
    return found


def write_report(
    folder: Path,
    config: dict[str, Any],
    matrices: Matrices,
    classes: Classes,
    baseline: Matrices | None = None,
) -> str:
    """Write all tables and charts of an evaluation. Return the report in Markdown.

    Args:
        folder: the folder to write to.
        config: the settings, including network, data_set, split and size.
        matrices: the confusion matrix ``(K, K)`` of each image, by image name.
        classes: the K classes.
        baseline: the matrices of another network on the same images.
    """
    torch.manual_seed(0)
    columns, names = score_intervals(matrices, classes, baseline), score_names(classes)
    total = torch.stack(list(matrices.values())).sum(0)
    about = {**config, "images": len(matrices), **environment()}
    plain = {run: _plain(names, column) for run, column in columns.items()}
    results = {"about": about, **plain, "confusion matrix": total.tolist()}
    (folder / "evaluation.json").write_text(json.dumps(results, indent=1, default=str))
    torch.save(dict(matrices), folder / "matrices.pt")
    save_confusion(folder / "confusion.png", total, classes)
    if baseline is not None:
        places = [names.index(each.name) for each in classes]
        ious = {run: column[:, places] for run, column in columns.items()}
        save_bars(folder / "bars.png", ious, classes)
    rows = [
        [escaped(score), *(_cell(column[score]) for column in plain.values())] for score in names
    ]
    table = markdown_table(["", *plain], rows)
    named = {name: escaped(str(config[name])) for name in ("network", "split")}
    text = _TEXT.format(**about | named, seen=_seen(config), table=table)
    if (other := _baseline_settings(config)) and (how := _seen(other)) != _seen(config):
        text += f"\nThe baseline saw the images at {how}: the gain is not of the network alone.\n"
    charts = "".join(f"\n![{file.stem}]({file.name})\n" for file in sorted(folder.glob("*.png")))
    (folder / "report.md").write_text(text + charts, "utf-8", errors="backslashreplace")
    return text


def _seen(config: Mapping[str, Any]) -> str:
    """How the network saw the images, in words."""
    size, *ways = (config.get(name) for name in _INPUT)
    used = [f"{name} {way}" for name, way in zip(_INPUT[1:], ways, strict=True) if way]
    return ", ".join([str([*size]) if size else "their own size", *used])


def _baseline_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the baseline's evaluation, or nothing if they cannot be read."""
    try:
        text = (Path(config["baseline"]) / "evaluation.json").read_text()
        about: dict[str, Any] = json.loads(text)["about"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return about


def _plain(names: Sequence[str], column: Tensor) -> dict[str, list[float] | None]:
    """Value, lower end and upper end of each score; None if the class does not occur."""
    triples = zip(names, column.T.tolist(), strict=True)
    return {name: None if isnan(triple[0]) else triple for name, triple in triples}


def _cell(triple: list[float] | None) -> str:
    if triple is None:
        return "-"
    value, low, high = (100 * share for share in triple)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"
