import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from processes import start_worker
from published import ROOT
from toy_city import data_sets, render_scene, write_toy_city
from uda_seg.datasets import CITYSCAPES_CLASSES, GTA5, IGNORE_INDEX, Cityscapes

SMALL = {"source_images": 3, "target_train": 4, "target_val": 2, "size": (48, 96), "workers": 1}


def contents(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "toy-city"
    write_toy_city(root, **SMALL)
    return root


@pytest.fixture(scope="module")
def scenes():
    """Some pictures of each style."""
    return {
        style: [render_scene(style, (1, index), (64, 128)) for index in range(100)]
        for style in ("game", "camera")
    }


def test_layouts(root):
    cities = {
        "leftImg8bit/train/aldenau/aldenau_000000_000019_leftImg8bit.png",
        "leftImg8bit/train/aldenau/aldenau_000003_000019_leftImg8bit.png",
        "leftImg8bit/train/birkstadt/birkstadt_000001_000019_leftImg8bit.png",
        "leftImg8bit/train/corvingen/corvingen_000002_000019_leftImg8bit.png",
        "leftImg8bit/val/dornfels/dornfels_000000_000019_leftImg8bit.png",
        "leftImg8bit/val/eschbruck/eschbruck_000001_000019_leftImg8bit.png",
    }
    labels = {
        name.replace("_leftImg8bit.", "_gtFine_labelIds.").replace("leftImg8bit/", "gtFine/")
        for name in cities
    }
    assert set(contents(root / "cityscapes")) == cities | labels
    assert set(contents(root / "gta5")) == {
        f"{folder}/{name}" for folder in ("images", "labels") for name in
        ("00001.png", "00002.png", "00003.png")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "mode"),
    [
        ("gta5/images/*.png", "RGB"),
        ("gta5/labels/*.png", "P"),
        ("cityscapes/leftImg8bit/*/*/*.png", "RGB"),
        ("cityscapes/gtFine/*/*/*.png", "L"),
    ],
)
def test_image_modes(root, pattern, mode):
    for path in root.glob(pattern):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", mode, (96, 48))


def test_palette_holds_the_class_colors(root):
    colors = {row.raw_id: row.color for row in CITYSCAPES_CLASSES}
    with Image.open(root / "gta5" / "labels" / "00001.png") as label:
        ids, painted = np.asarray(label), np.asarray(label.convert("RGB"))
    assert len(np.unique(ids)) > 5
    for raw_id in np.unique(ids).tolist():
        assert np.unique(painted[ids == raw_id], axis=0).tolist() == [list(colors[raw_id])]


def test_readers_of_the_real_data_read_it(root):
    for dataset, count in (
        (GTA5(root / "gta5"), 3),
        (Cityscapes(root / "cityscapes", "train"), 4),
        (Cityscapes(root / "cityscapes", "val"), 2),
    ):
        assert len(dataset) == count
        for image, label, _ in dataset:
            assert image.shape == (3, 48, 96)
            known = label != IGNORE_INDEX
            assert known.float().mean() > 0.7
            assert label[known].max() < 19


def test_equal_seeds_give_equal_files(root, tmp_path):
    write_toy_city(tmp_path / "same", **SMALL)
    write_toy_city(tmp_path / "other", **SMALL, seed=1)
    assert contents(tmp_path / "same") == contents(root)
    other = contents(tmp_path / "other")
    assert all(other[name] != content for name, content in contents(root).items())


def test_a_scene_depends_on_neither_counts_nor_workers(root, tmp_path):
    counts = {"source_images": 1, "target_train": 5, "target_val": 1}
    write_toy_city(tmp_path / "city", **{**SMALL, **counts, "workers": 2})
    fewer, more = contents(tmp_path / "city"), contents(root)
    common = (fewer.keys() & more.keys()) - {"toy_city.json"}
    assert len(common) == 2 * (1 + 4 + 1)
    assert all(fewer[name] == more[name] for name in common)


def test_no_two_scenes_are_alike(root):
    images = [*root.glob("gta5/images/*"), *root.glob("cityscapes/leftImg8bit/*/*/*")]
    assert len({path.read_bytes() for path in images}) == len(images) == 9


@pytest.mark.parametrize("style", ["game", "camera"])
def test_every_class_appears_and_the_common_ones_dominate(scenes, style):
    labels = np.stack([label for _, label in scenes[style]])
    counts = np.bincount(labels.ravel(), minlength=34)
    assert set(np.flatnonzero(counts)) <= {row.raw_id for row in CITYSCAPES_CLASSES}
    valid = {row.name: counts[row.raw_id] for row in CITYSCAPES_CLASSES if row.train_id < 19}
    share = {name: count / sum(valid.values()) for name, count in valid.items()}
    assert min(share.values()) > 0
    # Of Cityscapes, roughly: a rare class fills under 1.5 %, a common one at least 5 %.
    common = ("road", "building", "vegetation", "sky", "sidewalk", "car")
    assert all(share[name] > 0.04 for name in common)
    assert all(share[name] < 0.035 for name in share if name not in common)
    assert max(share, key=share.get) == "road"


def test_only_the_camera_sees_the_car_that_carries_it(scenes):
    assert not any((label == 1).any() for _, label in scenes["game"])
    assert sum((label[-1] == 1).any() for _, label in scenes["camera"]) > 75


def test_the_scene_is_the_same_at_another_size():
    # Only outlines may move, by a pixel: about 3 % of the pixels of a street lie on one. Another
    # street agrees on a half, where both have road and houses.
    for index in range(3):
        label = render_scene("camera", (index,), (96, 192))[1]
        larger = render_scene("camera", (index,), (192, 384))[1]
        another = render_scene("camera", (index + 10,), (192, 384))[1]
        enlarged = label.repeat(2, axis=0).repeat(2, axis=1)
        assert (enlarged == larger).mean() > 0.95
        assert (enlarged == another).mean() < 0.8


def saturation(image):
    return float((image.max(axis=2) - image.min(axis=2)).mean())


def sky_noise(image, label):
    """Mean difference of horizontal neighbours in the sky, which has no edges."""
    sky = (label[:, 1:] == 23) & (label[:, :-1] == 23)
    return np.abs(np.diff(image.astype(float), axis=1)).mean(axis=2)[sky].mean()


def test_the_looks_differ_in_colors_noise_and_sharpness(scenes):
    colorful = {style: np.mean([saturation(i) for i, _ in scenes[style]]) for style in scenes}
    assert colorful["game"] > 3 * colorful["camera"]
    noise = {
        style: np.mean([sky_noise(i, s) for i, s in scenes[style] if (s == 23).mean() > 0.05])
        for style in scenes
    }
    assert noise["camera"] > 3 * noise["game"]
    contrast = {
        style: np.mean([np.abs(np.diff(i.astype(float), axis=0)).mean() for i, _ in scenes[style]])
        for style in scenes
    }
    assert contrast["game"] > 1.3 * contrast["camera"]


@pytest.mark.parametrize("style", ["camera", "both"])
def test_a_labelled_source_in_the_cameras_style(root, tmp_path, style):
    city = write_toy_city(tmp_path / "city", **SMALL, source_style=style)
    pictures, game = contents(city.source_root), contents(root / "gta5")
    assert set(pictures) == set(game)
    same = sorted(name for name in game if pictures[name] == game[name])
    folders = ("images", "labels") if style == "both" else ()
    assert same == [f"{folder}/{name}.png" for folder in folders for name in ("00001", "00003")]
    assert contents(city.target_root) == contents(root / "cityscapes")
    assert not set(pictures.values()) & set(contents(city.target_root).values())
    drawn = GTA5(city.source_root)[1]
    image, _ = render_scene("camera", (0, 1, 2, 1), SMALL["size"])
    assert np.array_equal(drawn.image.permute(1, 2, 0), image)
    assert set(drawn.label.unique().tolist()) <= {*range(19), IGNORE_INDEX}


def test_the_city_that_is_there_is_taken(root, monkeypatch):
    before = contents(root)
    monkeypatch.setattr(data_sets, "render_scene", None)  # drawing anything would fail
    city = write_toy_city(root, **SMALL)
    assert city == (root / "gta5", root / "cityscapes")
    assert contents(root) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 5}, "seed 0 instead of 5"),
        ({"target_val": 3}, "target_val 2 instead of 3"),
        ({"source_style": "both"}, "source_style game instead of both"),
        ({"size": (48, 128)}, r"size \[48, 96\] instead of \[48, 128\]"),
    ],
)
def test_another_city_is_never_replaced(root, change, message):
    before = contents(root)
    with pytest.raises(FileExistsError, match=message):
        write_toy_city(root, **{**SMALL, **change})
    assert contents(root) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match="something else; choose another folder"):
        write_toy_city(tmp_path, **SMALL)
    assert contents(tmp_path) == {"thesis.tex": b"mine"}


@pytest.mark.parametrize(
    "change",
    [{"source_images": 0}, {"target_val": -1}, {"size": (31, 96)}, {"seed": -1}, {"workers": 0}],
)
def test_bad_arguments(tmp_path, change):
    with pytest.raises(ValueError, match=r"expected at least .* got "):
        write_toy_city(tmp_path / "city", **{**SMALL, **change})
    assert not (tmp_path / "city").exists()


def test_an_unknown_style(tmp_path):
    with pytest.raises(ValueError, match=r"source_style among .*'both'.*, got 'photo'"):
        write_toy_city(tmp_path / "city", **SMALL, source_style="photo")
    with pytest.raises(ValueError, match=r"target_look among .*'night'.*, got 'rain'"):
        write_toy_city(tmp_path / "city", **SMALL, target_look="rain")


def test_the_same_streets_at_night_and_in_haze(root, tmp_path):
    day = contents(root)
    light = {"camera": 0.0, "night": 0.0, "haze": 0.0}
    for look in light:
        city = root if look == "camera" else tmp_path / look
        if look != "camera":
            write_toy_city(city, **SMALL, target_look=look)
            drawn = contents(city)
            assert all(drawn[n] == day[n] for n in day if "gt" in n)  # labels and the source
            assert not any(drawn[n] == day[n] for n in day if "leftImg8bit" in n)
        images = Cityscapes(city / "cityscapes", "train")
        light[look] = np.mean([float(image.float().mean()) for image, _, _ in images])
    assert light["night"] < 0.6 * light["camera"]
    assert light["haze"] > 1.05 * light["camera"]
    with pytest.raises(FileExistsError, match="target_look"):
        write_toy_city(tmp_path / "night", **SMALL, target_look="haze")


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail_late(style, *scene):
        if style == "camera":
            raise OSError("no space left")
        return render_scene(style, *scene)

    monkeypatch.setattr(data_sets, "render_scene", fail_late)
    with pytest.raises(OSError, match="no space left"):
        write_toy_city(tmp_path / "city", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_nothing_under_the_final_name(root, tmp_path):
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from toy_city import data_sets, write_toy_city
        from uda_seg.datasets import CITYSCAPES_CLASSES
        draw = data_sets.render_scene
        def die_late(style, *scene):
            if style == "camera":
                os.kill(os.getpid(), signal.SIGKILL)
            return draw(style, *scene)
        data_sets.render_scene = die_late
        write_toy_city(Path({str(tmp_path / "city")!r}), **{SMALL!r})
    """)
    path = {"PYTHONPATH": ":".join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", script], env=path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.rglob("*.png"))  # it was well under way
    assert not (tmp_path / "city").exists()
    write_toy_city(tmp_path / "city", **SMALL)
    assert contents(tmp_path / "city") == contents(root)


def test_workers_end_with_their_parent(tmp_path, monkeypatch):
    class Pool(ThreadPoolExecutor):
        def __init__(self, workers, *, mp_context, initializer, initargs):
            assert mp_context.get_start_method() == "spawn"
            assert (initializer, initargs) == (start_worker, (os.getpid(),))
            super().__init__(workers)

    monkeypatch.setattr(data_sets, "ProcessPoolExecutor", Pool)
    write_toy_city(tmp_path / "city", **{**SMALL, "workers": 2})
    assert len(contents(tmp_path / "city")) == 19


def test_the_script_is_spawn_safe_from_the_command_line(tmp_path):
    script = ROOT / "examples/make_toy_city.py"
    command = [sys.executable, script, "--output", str(tmp_path / "city"), "--size", "32", "64"]
    counts = ["--source-images", "1", "--target-train", "1", "--target-val", "1"]
    subprocess.run([*command, *counts], check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert len(list((tmp_path / "city").rglob("*.png"))) == 6
