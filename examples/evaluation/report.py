"""The report of an evaluation: scores with intervals, tables and charts."""

import json
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluation.charts import save_bars, save_confusion
from evaluation.environment import environment
from evaluation.loading import load_tensors
from evaluation.protocol import SCORES, protocol_scores
from evaluation.tables import code_span, markdown_table
from files import clean_up
from uda_seg.datasets import TRAIN_CLASSES
from uda_seg.metrics import bootstrap_interval

__all__ = ["load_matrices", "score_intervals", "write_report"]

Matrices = Mapping[str, Tensor]
_CLASSES = [SCORES.index(row.name) for row in TRAIN_CLASSES]
_TEXT = """\
# {network} on {data_set}, {split}

In %, over {images} images at the full size of their labels; the network saw them at {seen}.
`-`: in neither truth nor prediction. In brackets 95 % bootstrap intervals over images (1000 draws):
they do not cover another training's randomness, and are too narrow where images resemble each
other. {date}, torch {torch}, {device}.

{table}
"""


def score_intervals(matrices: Matrices, baseline: Matrices | None = None) -> dict[str, Tensor]:
    """The protocol's scores with 95 % intervals, and the gain over another network.

    Args:
        matrices: the confusion matrix ``(19, 19)`` of each image, by its name.
        baseline: those of another network on the same images.

    Returns:
        ``score`` and, with a baseline, ``baseline`` and ``gain``: each ``(3, S)`` shares in the
        order of :data:`SCORES`: the value, then the lower and the upper end of its interval.

    Raises:
        ValueError: if no pixel is labelled, or the baseline is of other images.
    """
    runs = [matrices] if baseline is None else [matrices, baseline]
    if any(run.keys() != matrices.keys() for run in runs):
        raise ValueError(
            f"expected a baseline of the same {len(matrices)} images, got {len(runs[-1])} of which "
            f"{len(matrices.keys() & runs[-1].keys())} are the same"
        )
    stack = torch.stack([torch.stack([run[name] for run in runs]) for name in matrices])
    if not stack.any():
        raise ValueError("expected a labelled pixel to score by, got labels of 255 only")
    ends = bootstrap_interval(stack, _with_gain)
    columns = torch.stack([_with_gain(stack.sum(0)), *ends], 1)
    return dict(zip(("score", "baseline", "gain"), columns, strict=False))


def _with_gain(stack: Tensor) -> Tensor:
    """Scores of counts ``(..., runs, 19, 19)`` and, of two runs, how far the first is ahead."""
    each = protocol_scores(stack)
    return torch.cat([each, each[..., :1, :] - each[..., 1:, :]], -2)


def load_matrices(evaluation: Path) -> Matrices:
    """The confusion matrices of the images of an earlier evaluation.

    Raises:
        FileNotFoundError: if ``evaluation`` is no output of ``evaluate.py``.
        ValueError: if its file is broken.
    """
    clean_up(evaluation.parent)  # a killed run may have moved it aside
    file = evaluation / "matrices.pt"
    if not file.is_file():
        raise FileNotFoundError(f"expected the output of examples/evaluate.py, found no {file}")
    matrices: Matrices = load_tensors(file)
    return matrices


def write_report(
    folder: Path, config: dict[str, Any], matrices: Matrices, baseline: Matrices | None = None
) -> str:
    """Write all tables and charts of an evaluation; return the report in Markdown.

    Args:
        folder: where to.
        config: the settings, with network, data_set, split and size.
        matrices: as in :func:`score_intervals`, as is ``baseline``.
        baseline: those of another network on the same images.
    """
    torch.manual_seed(0)
    columns = score_intervals(matrices, baseline)
    total = torch.stack(list(matrices.values())).sum(0)
    about = {**config, "images": len(matrices), **environment()}
    plain = {name: _plain(column) for name, column in columns.items()}
    results = {"about": about, **plain, "confusion matrix": total.tolist()}
    (folder / "evaluation.json").write_text(json.dumps(results, indent=1, default=str))
    torch.save(dict(matrices), folder / "matrices.pt")
    save_confusion(folder / "confusion.png", total)
    if baseline is not None:
        save_bars(folder / "bars.png", {n: column[:, _CLASSES] for n, column in columns.items()})
    rows = [[score, *(_cell(column[score]) for column in plain.values())] for score in SCORES]
    table = markdown_table(["", *plain], rows)
    names = {name: code_span(str(config[name])) for name in ("network", "split")}
    seen = config["size"] or "their own size"
    text = _TEXT.format(**about | names, seen=seen, table=table)
    charts = "".join(f"\n![{file.stem}]({file.name})\n" for file in sorted(folder.glob("*.png")))
    (folder / "report.md").write_text(text + charts)
    return text


def _plain(column: Tensor) -> dict[str, list[float] | None]:
    """Value, lower and upper end of each score; none where the class does not occur."""
    triples = zip(SCORES, column.T.tolist(), strict=True)
    return {name: None if isnan(triple[0]) else triple for name, triple in triples}


def _cell(triple: list[float] | None) -> str:
    if triple is None:
        return "-"
    value, low, high = (100 * share for share in triple)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"
