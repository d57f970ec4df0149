"""One call to each family of an installed uda-seg, for a wheel in an environment of its own.

python -I tests/smoke.py: -I keeps this repository and PYTHONPATH off the path.
"""

import math
import sys
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

import uda_seg
from uda_seg.batch_norm import adapt_batch_norm
from uda_seg.datasets import RAW_IDS, SegmentationFolder
from uda_seg.discriminators import DepthwiseFC
from uda_seg.inference import flip_average
from uda_seg.losses import Domain, adversarial
from uda_seg.metrics import MeanIoU
from uda_seg.models import BiSeNet
from uda_seg.pseudo_labels import pseudo_label
from uda_seg.transforms import FDA


def check_package():
    package = Path(uda_seg.__file__).parent
    assert package.parent.name == "site-packages", f"expected an installed wheel, got {package}"
    files = {path.as_posix() for path in distribution("uda-seg").files}
    assert "uda_seg/py.typed" in files
    assert any(path.endswith("licenses/LICENSE") for path in files)
    assert {path.split("/")[0] for path in files if not path.startswith("uda_seg/")} == {
        f"uda_seg-{uda_seg.__version__}.dist-info"
    }
    families = {path.parent.name for path in package.glob("*/__init__.py")}
    loaded = {name.split(".")[1] for name in sys.modules if name.startswith("uda_seg.")}
    assert families == loaded, f"expected a call to each of {families}, got {loaded}"


def check_calls():
    with TemporaryDirectory() as folder:
        for kind, image in {
            "images": Image.new("RGB", (64, 32)),
            "labels": Image.new("L", (64, 32), 7),
        }.items():
            Path(folder, kind).mkdir()
            image.save(Path(folder, kind, "1.png"))
        sample = SegmentationFolder(Path(folder, "images"), Path(folder, "labels"), RAW_IDS)[0]
    image, label = sample.image[None] / 255, sample.label[None]
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False).eval()
    assert "head.classify.weight" not in adapt_batch_norm(network, [image])
    with torch.inference_mode():
        adapted = FDA(0.1)(image, torch.rand_like(image))
        logits = flip_average(lambda images: network(images).logits, adapted)
        probabilities = logits.softmax(dim=1)
        loss = adversarial(DepthwiseFC(19)(0 * probabilities), Domain.SOURCE)
    assert 0 < loss < 2 * math.log(2)
    metric = MeanIoU(19)
    metric.update(pseudo_label(probabilities), label)
    assert 0 <= metric.compute() <= 1
    assert label.unique().tolist() == [0]


if __name__ == "__main__":
    check_package()
    check_calls()
    print(f"uda-seg {uda_seg.__version__} from {Path(uda_seg.__file__).parent}")
