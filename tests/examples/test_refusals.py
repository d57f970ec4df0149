"""A user's mistake gets a few words and status 2 from every script, and no traceback."""

import re
import runpy
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from data_tools.description import CITYSCAPES
from evaluation.loading import save_network
from oracles.street_files import write_cityscapes, write_gta5
from published import ROOT
from uda_seg.models import BiSeNet

MISTAKES = [  # the command line below a folder, and what the answer says
    ("check_data missing", "missing, which is no folder"),
    ("check_data gta5 --output notes.txt", r"notes\.txt exists already; --overwrite replaces it"),
    ("check_data empty", "the layout of a known data set in .*empty, found none"),
    ("check_data gta5 --ids 0 0 --data-set gta5", "ids for --data-set folder only"),
    ("check_data own", r"describe it in own/data_set\.toml .* --data-set or --ids"),
    ("check_data own --ids 0 300", r"train ids of 0 to 255, got \(0, 300\)"),
    ("check_data mistaken", r"mistaken/data_set\.toml: expected the labels' ids to be given by"),
    ("prepare_data missing --output copy", "missing, which is no folder"),
    ("prepare_data mistaken --output copy", r"mistaken/data_set\.toml: expected"),
    ("prepare_data gta5 --output copy --skip missing", "--skip to be a report, got missing"),
    ("prepare_data gta5 --output thesis", "thesis to be new or to hold"),
    (
        "prepare_data gta5 --output copy --splits minival",
        r"splits out of \['all'\], got \['minival'\]",
    ),
    ("evaluate network missing", "missing, which is no folder"),
    ("evaluate network cityscapes --output thesis", "--output to be new or an evaluation"),
    ("evaluate network cityscapes --split minival", "train, val, test for cityscapes, got minival"),
    ("evaluate network cityscapes --split test", "leftImg8bit.test"),
    ("evaluate network cityscapes --skip missing", "--skip to be a report, got missing"),
    ("evaluate network cityscapes --skip notes.txt", "notes.txt to be a JSON report"),
    ("evaluate network mistaken", r"mistaken/data_set\.toml: expected"),
    ("evaluate network unlabelled", r"1 images have none: .* --missing skip leaves out"),
    ("evaluate missing cityscapes", "got missing, and there is no such folder"),
    ("evaluate runs/missing cityscapes", "got runs/missing, and there is no such folder"),
    ("evaluate thesis cityscapes", "config.json in 'thesis', found none"),
    ("evaluate notes.txt cityscapes", "expected --backbone for the weights in notes.txt"),
    ("evaluate notes.txt cityscapes --backbone test_resnet", "in notes.txt, got something else"),
    ("evaluate network cityscapes --baseline thesis", "found no thesis/matrices.pt"),
    ("evaluate network cityscapes --baseline broken", "tensors in broken/matrices.pt, got"),
    ("evaluate nan cityscapes", "BiSeNet in nan, .* has NaN or infinity"),
    ("evaluate flipped cityscapes", "flipped/model.safetensors as it was written"),
    ("evaluate address cityscapes", "in 'address': expected a saved backbone without an address"),
    ("evaluate three cityscapes", "network of the 19 classes .* got one of 3 in three"),
    (
        "evaluate network described --submission",
        "Cityscapes' classes for --submission, got 2 others",
    ),
    ("predict network missing", "a folder or a video, got missing"),
    ("predict network empty", r"\.png.* in empty, found none"),
    ("predict network notes.txt", "a video that FFmpeg reads, got notes.txt"),
    ("predict network a.png --output notes.txt", "to be a folder, got the file notes.txt"),
    ("predict network a.png --opacity 2", r"an opacity in \[0, 1\], got 2"),
    ("predict runs/missing a.png", "got runs/missing, and there is no such folder"),
    ("predict bomb.pt a.png --backbone test_resnet", r"bomb\.pt, .* would unpack to \d+ bytes"),
    ("predict nan.pt a.png --backbone test_resnet", r"nan\.pt, .* has NaN or infinity"),
    ("predict no_json a.png", "no_json/config.json to hold a network's arguments in JSON"),
    ("export runs/missing", "got runs/missing, and there is no such folder"),
    ("export no_json", "no_json/config.json to hold a network's arguments in JSON"),
    ("export network --output a.onnx --int8", "--int8 and --target-root together"),
    ("export network --output notes.txt", "notes.txt exists already; --overwrite"),
    ("export network --output thesis", "to be a file, got the folder thesis"),
    ("export --backbone resnet1", "resnet1"),
    ("style_bank --source-root gta5", "expected --target-root"),
    ("style_bank --target-root missing", "missing"),
    (
        "style_bank --target-root cityscapes --output bank",
        r"styles\.safetensors exists already; --ov",
    ),
    ("style_bank --target-root cityscapes --beta 0.9", "beta"),
    ("make_toy_city --output thesis", "thesis to be new or to hold"),
    ("make_toy_city --output city --size 8 8", "a size of 32x32"),
    ("gta2city --beta 0.7", r"beta.* in \[0, 0\.5\], got 0\.7"),
    ("gta2city --warmup-steps 300", "fewer warm-up steps than steps, got 300 of 300"),
    ("gta2city --source-root gta5", "expected --source-root and --target-root together"),
    ("gta2city --source-root gta5 --target-root missing", "missing, which is no folder"),
    ("gta2city --source-root cityscapes --target-root gta5", "got cityscapes in .*gta5 in"),
    (
        "gta2city --source-root gta5 --target-root described",
        "the same classes in both domains, got road",
    ),
    ("gta2city --backbone-weights notes.txt", "expected tensors in notes.txt, got something else"),
    ("gta2city --backbone-weights nan.pt", r"nan\.pt, .* has NaN or infinity"),
    ("gta2city --backbone hf-hub:someone/model", "a name that timm lists, got the address hf-hub:"),
    ("self_training --backbone-weights bomb.pt", r"bomb\.pt, .* would unpack to \d+ bytes"),
    ("self_training --beta 0.7", r"beta.* in \[0, 0\.5\], got 0\.7"),
    ("self_training --confidence 96.8", r"confidence and mask ratio in \[0, 1\].*96\.8"),
    ("ablation --evaluate-every -1", "at least 0 steps between evaluations, got"),
    ("ablation --source-root gta5 --target-root missing", "missing, which is no folder"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network, two data sets, a picture, and what is none of these."""
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    BiSeNet(19, "test_resnet", pretrained_backbone=False).save_pretrained(folder / "network")
    write_gta5(folder / "gta5")
    write_cityscapes(folder / "cityscapes")
    write_cityscapes(folder / "cityscapes", split="val")
    write_gta5(folder / "own", "street")
    write_cityscapes(folder / "unlabelled", split="val")
    _, label = write_cityscapes(folder / "unlabelled", "ulm_000000_000020", split="val")
    label.unlink()
    for name in ("runs", "empty", "thesis", "broken", "mistaken"):
        (folder / name).mkdir()
    (folder / "mistaken/data_set.toml").touch()
    (folder / "thesis/thesis.tex").write_text("years of work")
    (folder / "notes.txt").write_text("a text")
    (folder / "bank").mkdir()
    (folder / "bank/styles.safetensors").touch()
    (folder / "broken/matrices.pt").write_text("a text")
    Image.fromarray(np.zeros((40, 64, 3), np.uint8)).save(folder / "a.png")
    write_networks(folder)
    write_own(folder / "described")
    return folder


def write_networks(folder):
    """Each with its fault."""
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    save_network(network, folder / "flipped", backbone="test_resnet", classes=CITYSCAPES)
    content = bytearray((folder / "flipped/model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "flipped/model.safetensors").write_bytes(content)
    config = {"num_classes": 19, "backbone": "hf-hub:someone/model"}
    network.save_pretrained(folder / "address", config=config)
    network.save_pretrained(folder / "no_json")
    (folder / "no_json/config.json").write_text("[")
    BiSeNet(3, "test_resnet", pretrained_backbone=False).save_pretrained(folder / "three")
    network.head.classify.bias.data[0] = torch.nan
    network.save_pretrained(folder / "nan")
    torch.save(network.state_dict(), folder / "nan.pt")
    with zipfile.ZipFile(folder / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("data/0", bytes(10**7))


def write_own(root):
    """Two classes of a person's own."""
    for split in ("train", "val"):
        for kind, mode in (("images", "RGB"), ("labels", "L")):
            (root / kind / split).mkdir(parents=True)
            Image.new(mode, (64, 40)).save(root / kind / split / "a.png")
    classes = [f'[[classes]]\nname = "{name}"\ncolor = [{len(name)}, 0, 0]' for name in ("a", "bb")]
    text = "\n".join(["train_ids = true", 'splits = ["train", "val"]', *classes])
    (root / "data_set.toml").write_text(text)


@pytest.fixture
def answer(folder, monkeypatch, capsys):
    """What a script prints about a mistake."""

    def run(line):
        script, *arguments = line.split()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / f"examples/{script}.py"), run_name="__main__")
        assert end.value.code == 2
        return capsys.readouterr().err

    return run


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(("line", "expected"), MISTAKES)
def test_a_mistake_is_answered_in_a_few_words(answer, folder, line, expected):
    before = files(folder)
    printed = " ".join(answer(line).replace("│", " ").split())  # broken anywhere, in a frame
    assert re.search("error", printed, re.IGNORECASE)
    assert re.search(expected, printed)
    assert "Traceback" not in printed
    assert len(printed) < 600
    assert files(folder) == before


@pytest.mark.parametrize(
    ("line", "module", "missing", "extra"),
    [
        ("export network --output runs/n.onnx", "deployment.onnx_file", "onnxruntime", "export"),
        ("predict network notes.txt", "evaluation.video", "av", "examples"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    answer, monkeypatch, line, module, missing, extra
):
    package, name = module.split(".")
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delattr(__import__(package), name, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    printed = answer(line)
    assert missing in printed
    assert f'pip install "uda-seg[{extra}]"' in printed


def test_the_answer_is_all_that_a_shell_shows():
    command = [sys.executable, ROOT / "examples/check_data.py", "missing"]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: expected the layout of a known data set in missing")
    assert "Traceback" not in done.stderr
