"""The first picture of README and docs/index.md: what adaptation changes on the toy city.

PYTHONPATH=examples python docs/figures/adaptation.py SOURCE_ROOT TARGET_ROOT SOURCE_ONLY ADAPTED

SOURCE_ONLY and ADAPTED are folders of trained rows, such as runs/ablation/seed-0/self-training.
docs/self-training.md has the command that trains them.
"""

import json
import sys
from pathlib import Path

import torch
from drawing import save_picture
from matplotlib.figure import Figure

from data_tools.description import CITYSCAPES
from evaluation.loading import load_network
from evaluation.pictures import colorize
from evaluation.results import MANIFEST
from evaluation.scoring import predict
from uda_seg.datasets import GTA5, Cityscapes, Sample
from uda_seg.metrics import iou_from_confusion
from uda_seg.models import BiSeNet

SIZE = (96, 192)
SCENES = (10, 60)  # held out, chosen without a look at any prediction


def main(source_root: str, target_root: str, *folders: str) -> None:
    """Predict two held-out target images by both networks, and write adaptation.png."""
    source = GTA5(source_root, size=SIZE)
    target = Cityscapes(target_root, "val", size=SIZE)
    networks = [load_network(folder, CITYSCAPES).network for folder in folders]
    columns = {
        "source": [source[index].image for index in SCENES],
        "target": [target[index].image for index in SCENES],
        "truth": [colorize(target[index].label, CITYSCAPES) for index in SCENES],
    }
    for title, folder, network in zip(("source only", "adapted"), folders, networks, strict=True):
        columns[f"{title}\nmIoU {score(folder):.1f} %"] = [
            colorize(predicted(network, target[index]), CITYSCAPES) for index in SCENES
        ]
    figure = Figure(figsize=(7.6, 2.0), layout="constrained")
    axes = figure.subplots(len(SCENES), len(columns))
    for number, (title, panels) in enumerate(columns.items()):
        for axis, panel in zip(axes[:, number], panels, strict=True):
            axis.imshow(panel.permute(1, 2, 0) if isinstance(panel, torch.Tensor) else panel)
            axis.set_axis_off()
        axes[0, number].set_title(title, fontsize=11)
    save_picture(figure, "adaptation")


def score(folder: str) -> float:
    """The mIoU in % over all held-out images, of a trained row."""
    content = json.loads((Path(folder) / MANIFEST).read_text())
    return 100 * iou_from_confusion(torch.tensor(content["score"]["confusion"])).nanmean().item()


def predicted(network: BiSeNet, sample: Sample) -> torch.Tensor:
    """Train ids ``(H, W)``."""
    return predict(network, sample.image[None], size=SIZE, label_size=SIZE)[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
