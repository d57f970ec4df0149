"""Which domain has labels, which classes both have, and how these weigh."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from data_tools.description import CITYSCAPES, Class
from oracles.street_files import WRITERS, write_cityscapes, write_gta5
from training.config import TrainingConfig
from training.domains import evenly_spaced, labelled_counts, open_domains
from uda_seg.datasets import BDD100K, GTA5, IDD, SYNTHIA, CamVid, Cityscapes


@pytest.fixture
def roots(tmp_path):
    write_gta5(tmp_path / "gta5")
    for split in ("train", "val"):
        write_cityscapes(tmp_path / "cityscapes", split=split)
    return tmp_path / "gta5", tmp_path / "cityscapes"


def opened(fabric, source, target, **options):
    config = TrainingConfig(source_root=source, target_root=target, size=(32, 64))
    return open_domains(fabric, config, **options)


@pytest.mark.parametrize(("labels", "reader"), [("source", GTA5), ("target", Cityscapes)])
def test_one_domain_has_labels_and_the_target_is_never_opened_by_accident(
    fabric, roots, labels, reader
):
    domains = opened(fabric, *roots, labels=labels)
    assert (domains.target, domains.labels) == ("cityscapes", labels)
    assert type(domains.labelled) is reader
    assert (domains.labelled[0].label != 255).any()
    assert domains.labelled[0].image.shape == (3, 32, 64)
    assert (domains.unlabelled[0].label == 255).all()
    assert domains.unlabelled.labels is None
    assert domains.held_out[0].image.shape == (3, 4, 6)  # evaluated at the labels' full size
    assert "val" in domains.held_out.images[0].parts


@pytest.mark.parametrize("source", ["gta5", "synthia"])
@pytest.mark.parametrize(
    ("target", "reader", "split"),
    [("camvid", CamVid, "test"), ("idd", IDD, "val"), ("bdd100k", BDD100K, "val")],
)
def test_other_sets_are_known_by_their_layout(fabric, tmp_path, source, target, reader, split):
    WRITERS[source](tmp_path / "source")
    for part in ("train", "val", "test"):
        image, label = WRITERS[target](tmp_path / "target", split=part)
        if part == "train":
            own, its_label = image, label
            its_label.rename(tmp_path / "aside")  # nobody may ask for it
    roots = tmp_path / "source", tmp_path / "target"
    domains = opened(fabric, *roots)
    assert type(domains.labelled) is {"gta5": GTA5, "synthia": SYNTHIA}[source]
    assert domains.unlabelled.labels is None
    assert [type(data) for data in (domains.unlabelled, domains.held_out)] == [reader, reader]
    assert domains.target == target
    assert list(domains.unlabelled.images) == [own]
    assert (domains.unlabelled[0].label == 255).all()
    [held_out] = domains.held_out.images
    assert split in held_out.relative_to(roots[1]).parts
    assert domains.held_out[0].image.shape == (3, 4, 6)
    assert (domains.held_out[0].label != 255).any()

    (tmp_path / "aside").rename(its_label)
    oracle = opened(fabric, *roots, labels="target")
    assert type(oracle.labelled) is reader
    assert list(oracle.labelled.images) == [own]
    assert (oracle.labelled[0].label != 255).any()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("camvid", "cityscapes"),
        ("cityscapes", "camvid"),
        ("gta5", "synthia"),
        ("gta5", "acdc"),
        ("idd", "gta5"),
    ],
)
def test_a_set_of_the_other_domain_is_refused(fabric, tmp_path, source, target):
    for name in (source, target):
        WRITERS[name](tmp_path / name)
    with pytest.raises(
        ValueError, match=f"gta5, synthia, folder and .* got {source} in .*{target} in "
    ):
        opened(fabric, tmp_path / source, tmp_path / target)


@pytest.mark.parametrize("place", [0, 1])
def test_one_root_alone_is_refused(fabric, roots, place):
    given = [None, None]
    given[place] = roots[place]
    with pytest.raises(ValueError, match="--source-root and --target-root together"):
        opened(fabric, *given)


# The weights and counts of classes.


def test_the_weights_follow_the_labels_alone(fabric, tmp_path):
    for name, raw_ids in (("00001", [7, 7, 7, 26]), ("00002", [7, 26, 0, 0])):
        image, _ = write_gta5(tmp_path / "gta5", name, ids=np.array([raw_ids], np.uint8))
        image.write_bytes(b"never opened")
    for split in ("train", "val"):
        write_cityscapes(tmp_path / "cityscapes", split=split)
    weights = opened(fabric, tmp_path / "gta5", tmp_path / "cityscapes").class_weights
    frequencies = torch.zeros(19)
    frequencies[[0, 13]] = torch.tensor([4 / 6, 2 / 6])
    torch.testing.assert_close(weights, 1 / torch.log(1.02 + frequencies))


def test_labels_without_a_class_are_refused(fabric, tmp_path):
    write_gta5(tmp_path / "gta5", ids=np.zeros((2, 2), np.uint8))
    for split in ("train", "val"):
        write_cityscapes(tmp_path / "cityscapes", split=split)
    with pytest.raises(ValueError, match=r"pixels of a class in the labels of .*check_data\.py"):
        opened(fabric, tmp_path / "gta5", tmp_path / "cityscapes")


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (10, 5, [0, 2, 4, 6, 8]),
        (11, 5, [0, 2, 4, 6, 8]),
        (7, 4, [0, 1, 3, 5]),
        (3, 5, [0, 1, 2]),
        (5, 5, [0, 1, 2, 3, 4]),
        (7, 1, [0]),
        (0, 5, []),
    ],
)
def test_at_most_so_many_indices_at_equal_distances(length, count, expected):
    assert [*evenly_spaced(length, count)] == expected


def test_counts_are_those_of_the_labelled_images_and_kept(fabric, config, domains):
    counts = labelled_counts(fabric, config, domains)
    labels = [sample.label.flatten() for sample in domains.labelled]
    assert torch.equal(counts, torch.stack([each.bincount(minlength=256)[:19] for each in labels]))
    file = config.output / "class_counts-source-64x128.json"
    before = file.stat().st_mtime_ns
    assert torch.equal(labelled_counts(fabric, config, domains), counts)
    assert file.stat().st_mtime_ns == before


# Data sets of one's own.

OWN = (Class("road", (1, 2, 3)), Class("tram", (250, 0, 0)))


def write_own(root, splits=(), classes=OWN, ids=((0, 1), (1, 255))):
    """Images and labels of a person's own, with their description."""
    for split in splits or ("",):
        write_pair(root / "images" / split / "a.png", root / "labels" / split / "a.png", ids)
    lines = ["train_ids = true", f"splits = {json.dumps(splits)}"]
    for name, color in classes:
        lines += ["[[classes]]", f'name = "{name}"', f"color = {[*color]}"]
    (root / "data_set.toml").write_text("\n".join(lines))
    return root


def write_pair(image, label, ids):
    pixels = np.array(ids, np.uint8).repeat(32, 0).repeat(32, 1)
    for path, content in ((image, np.stack([pixels] * 3, -1)), (label, pixels)):
        path.parent.mkdir(parents=True)
        Image.fromarray(content).save(path)


def test_own_classes_are_those_of_the_description(fabric, tmp_path, capsys):
    source = write_own(tmp_path / "source")
    target = write_own(tmp_path / "target [b]", ["train", "test"])
    domains = opened(fabric, source, target)
    assert domains.classes == OWN
    assert domains.class_weights.shape == (2,)
    assert domains.target == "folder"
    assert "test" in domains.held_out.images[0].parts
    assert f"{source}, read as folder\n{target}, read as folder\n" in capsys.readouterr().out


@pytest.mark.parametrize("splits", [["train"], ["train", "more"]])
def test_a_source_may_have_splits(fabric, tmp_path, splits):
    source = write_own(tmp_path / "source", splits)
    domains = opened(fabric, source, write_own(tmp_path / "target", ["train", "val", "test"]))
    assert "train" in domains.labelled.images[0].parts
    assert "val" in domains.held_out.images[0].parts


@pytest.mark.parametrize("splits", [[], ["train"], ["val"], ["day", "night"]])
def test_a_target_without_the_splits_is_refused(fabric, tmp_path, splits):
    target = write_own(tmp_path / "target", splits)
    with pytest.raises(ValueError, match=rf"expected the split .* in {target}, got"):
        opened(fabric, write_own(tmp_path / "source"), target)


@pytest.mark.parametrize("other", [OWN[::-1], OWN[:1], (*OWN, Class("sky", (0, 0, 9)))])
def test_other_classes_in_the_domains_are_refused(fabric, tmp_path, other):
    source = write_own(tmp_path / "source", classes=other, ids=((0, 255),))
    target = write_own(tmp_path / "target", ["train", "val"])
    with pytest.raises(
        ValueError, match=rf"same classes .* in {source} and road, tram in {target}"
    ):
        opened(fabric, source, target)


def test_own_classes_beside_those_of_cityscapes_are_refused(fabric, roots, tmp_path):
    with pytest.raises(ValueError, match=r"got road, sidewalk, .* and road, tram in"):
        opened(fabric, roots[0], write_own(tmp_path / "target", ["train", "val"]))


def test_other_colours_are_those_of_the_target(fabric, roots, tmp_path):
    painted = tuple(each._replace(color=(number, 0, 0)) for number, each in enumerate(CITYSCAPES))
    domains = opened(fabric, roots[0], write_own(tmp_path / "t", ["train", "val"], painted))
    assert domains.classes == painted


def test_a_single_class_is_nothing_to_learn(fabric, tmp_path):
    ids = ((0, 255),)
    source = write_own(tmp_path / "source", classes=OWN[:1], ids=ids)
    target = write_own(tmp_path / "target", ["train", "val"], OWN[:1], ids)
    with pytest.raises(ValueError, match="at least two classes to tell apart, got road alone"):
        opened(fabric, source, target)


def test_held_out_labels_without_a_class_are_found_before_the_work(fabric, roots):
    write_cityscapes(roots[1], split="val", ids=np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"expected a labelled pixel to score by, got .*val"):
        opened(fabric, *roots)


def test_a_too_large_held_out_image_is_found_before_the_work(fabric, roots, monkeypatch):
    monkeypatch.setattr("training.held_out.MOST_PIXELS", 20)  # it has 24
    with pytest.raises(ValueError, match=r"/val/.*_leftImg8bit\.png: expected at most 20 pixels"):
        opened(fabric, *roots)


# Splits that are told or expected, but not on disk.


@pytest.mark.parametrize("declared", [["train", "val", "test"], ["val", "test", "train"]])
@pytest.mark.parametrize("folder", [True, False])
def test_the_first_split_on_disk_is_held_out(fabric, tmp_path, declared, folder):
    target = write_own(tmp_path / "target", declared)
    for kind in ("images", "labels"):
        (target / kind / "val/a.png").unlink()
        if not folder:
            (target / kind / "val").rmdir()
    domains = opened(fabric, write_own(tmp_path / "source"), target)
    assert "test" in domains.held_out.images[0].parts
    assert "train" in domains.unlabelled.images[0].parts


@pytest.mark.parametrize(
    ("role", "gone", "message"),
    [
        ("target", ["val", "test"], "the split val or test in {root}, got train; .*{root}/images/"),
        ("target", ["train"], "the split train in {root}, got val, test; .*{root}/images/train"),
        ("source", ["train"], "the split all or train in {root}, got val, test; .*/images/train"),
        ("source", ["train", "val", "test"], "with images in {root}/images/.*, found no image"),
    ],
)
def test_a_split_that_is_not_on_disk_is_told_with_its_place(fabric, tmp_path, role, gone, message):
    roots = {
        name: write_own(tmp_path / name, ["train", "val", "test"]) for name in ("source", "target")
    }
    for split in gone:
        (roots[role] / "images" / split / "a.png").unlink()
    expected = message.format(root=re.escape(str(roots[role])))
    with pytest.raises((ValueError, FileNotFoundError), match=expected) as error:
        opened(fabric, *roots.values())
    assert not hasattr(error.value, "__notes__")


def test_cityscapes_without_its_split_is_told_so(fabric, tmp_path):
    write_gta5(tmp_path / "gta5")
    write_cityscapes(tmp_path / "cityscapes", split="train")
    with pytest.raises(ValueError, match=r"the split val in .*, got train; .*leftImg8bit/val"):
        opened(fabric, tmp_path / "gta5", tmp_path / "cityscapes")


@pytest.mark.parametrize(
    ("role", "lost"),
    [
        ("source", "one label"),
        ("target", "one label"),
        ("target", "all labels"),
        ("target", "folder"),
    ],
)
def test_a_copy_is_advised_only_where_it_would_help(fabric, roots, role, lost):
    source, target = roots
    if role == "source":
        _, label = write_gta5(source, "00007")
    else:
        _, label = write_cityscapes(target, "ulm_000000_000020", split="val")
    label.unlink()
    if lost != "one label":
        for each in (target / "gtFine/val").rglob("*.png"):
            each.unlink()
    if lost == "folder":
        shutil.rmtree(target / "gtFine/val")
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        opened(fabric, source, target)
    notes = getattr(error.value, "__notes__", [])
    assert ["--on-error skip" in each for each in notes] == [True] * (lost == "one label")
