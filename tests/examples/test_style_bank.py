from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from oracles import fda as oracle
from scripts import load_script
from toy_city import write_toy_city
from uda_seg.datasets import Cityscapes
from uda_seg.transforms import FDA, color_statistics, lab_quantiles

SIZE = (48, 96)
style_bank = load_script("style_bank")
Config, main = style_bank.Config, style_bank.main


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "toy-city"
    return write_toy_city(root, source_images=1, target_train=9, target_val=1, size=SIZE, workers=1)


def test_the_bank_serves_in_place_of_the_targets_images(city, tmp_path):
    config = Config(city.target_root, output=tmp_path / "bank", size=SIZE, workers=0)
    main(config)
    bank = load_file(tmp_path / "bank" / "styles.safetensors")["amplitude"]
    files = sorted((city.target_root / "leftImg8bit" / "train").rglob("*.png"))
    assert bank.shape == (len(files), 3, 2, 5, 5)
    source = torch.rand(len(files), 3, *SIZE, generator=torch.Generator().manual_seed(20))
    targets = np.stack([np.array(Image.open(file)).transpose(2, 0, 1) / 255 for file in files])
    for beta in (0.05, 0.1):
        images = source.double().numpy()
        expected = oracle.fourier_domain_adaptation(images, targets, beta)
        # With this seed some source frequency is so weak that float32 is 8e-6 off.
        tolerance = oracle.rounding(images, targets, beta, torch.finfo(torch.float32).eps)
        assert (np.abs(FDA(beta)(source, bank).numpy() - expected) < tolerance).all()
    assert [file.name for file in config.output.iterdir()] == ["styles.safetensors"]


@pytest.mark.parametrize(
    ("style", "measure"), [("statistics", color_statistics), ("histogram", lab_quantiles)]
)
def test_colours_have_banks_too(city, tmp_path, style, measure):
    config = Config(city.target_root, city.source_root, tmp_path, size=SIZE, workers=0, style=style)
    main(config)
    bank = load_file(tmp_path / "styles.safetensors")[style]
    images = torch.stack([image for image, _, _ in Cityscapes(city.target_root)]) / 255
    torch.testing.assert_close(bank, measure(images))
    assert (tmp_path / "styles.png").stat().st_size > 10_000


def test_a_source_without_a_target_is_refused(city):
    with pytest.raises(ValueError, match="expected --target-root"):
        main(Config(source_root=city.source_root, size=SIZE, workers=0))


def test_without_data_the_toy_city_is_drawn_and_its_styles_shown(city, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(style_bank, "write_toy_city", lambda root: asked.append(root) or city)
    main(Config(size=SIZE, workers=0))
    assert asked == [Path("data/toy-city")]
    with Image.open("runs/style-bank/styles.png") as picture:
        colours = np.array(picture.convert("RGB")).reshape(-1, 3).std(axis=0)
    assert colours.min() > 10
