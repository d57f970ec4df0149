"""Which files make a data set: order, pairs, links, and what is left out."""

import json
import os
import socket
from pathlib import Path

import pytest

from oracles.street_files import PALETTE, save, some_ids, some_image
from uda_seg.datasets import _walk
from uda_seg.datasets._files import pair_files, skip_list


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def pair(root, **options):
    settings = {"image_ending": "", "label_ending": "", "skip": (), "missing": "raise", **options}
    return pair_files(root / "images", root / "labels", **settings)


def names(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


class Backwards:
    """A file system that lists its files the other way round."""

    def __init__(self, scan):
        self.scan = scan

    def __enter__(self):
        return sorted(self.scan.__enter__(), key=lambda entry: entry.name, reverse=True)

    def __exit__(self, *error):
        return self.scan.__exit__(*error)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_order_is_that_of_the_paths_whatever_the_file_system_says(
    tmp_path, monkeypatch, backwards
):
    ordered = ["a/10", "a/9", "a-b/1", "b.c", "b", "ä/1", "東/1"]  # "b.c.png" < "b.png"
    for name in ordered[::-1]:
        touch(tmp_path, f"images/{name}.png", f"labels/{name}.png")
    if backwards:
        scandir = os.scandir
        monkeypatch.setattr(_walk.os, "scandir", lambda folder: Backwards(scandir(folder)))
    images, labels, _, unpaired = pair(tmp_path)
    assert names(images, tmp_path / "images") == [f"{name}.png" for name in ordered]
    assert names(labels, tmp_path / "labels") == [f"{name}.png" for name in ordered]
    assert unpaired == []


def test_endings_lead_from_an_image_to_its_label(tmp_path):
    touch(tmp_path, "images/u/a.v2_rgb.JPG", "images/u/a.v2_depth.png", "images/u/a_rgb.txt")
    touch(tmp_path, "labels/u/a.v2_ids.png", "labels/u/a.v2_colour.png")
    images, labels, *_ = pair(tmp_path, image_ending="_rgb", label_ending="_ids")
    assert names(images, tmp_path) == ["images/u/a.v2_rgb.JPG"]
    assert names(labels, tmp_path) == ["labels/u/a.v2_ids.png"]


def test_hidden_files_and_folders_are_left_alone(tmp_path):
    touch(tmp_path, "images/a.png", "images/._a.png", "images/.a.png.x1/b.png", "labels/a.png")
    images, _, skipped, _ = pair(tmp_path)
    assert names(images, tmp_path) == ["images/a.png"]
    assert skipped == {}


def test_links_are_followed(tmp_path):
    touch(tmp_path, "disk/u/a.png", "images/b.png", "labels/b.png", "labels/v/u/a.png")
    (tmp_path / "images" / "v").symlink_to(tmp_path / "disk")
    (tmp_path / "images" / "c.png").symlink_to(tmp_path / "disk" / "u" / "a.png")
    (tmp_path / "labels" / "c.png").symlink_to("b.png")
    images, *_ = pair(tmp_path)
    assert names(images, tmp_path) == ["images/b.png", "images/c.png", "images/v/u/a.png"]


def test_a_loop_of_links_is_named_instead_of_walked(tmp_path):
    touch(tmp_path, "images/u/a.png", "labels/u/a.png")
    (tmp_path / "images" / "u" / "again").symlink_to(tmp_path / "images")
    with pytest.raises(OSError, match=r"leads back to .*remove the link") as error:
        pair(tmp_path)
    assert str(tmp_path / "images" / "u" / "again") in str(error.value)


def test_a_loop_over_two_links_is_named_too(tmp_path):
    touch(tmp_path, "images/a.png", "labels/a.png", "other/b.png")
    (tmp_path / "images" / "there").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tmp_path / "images")
    with pytest.raises(OSError, match="images/there/back leads back"):
        pair(tmp_path)


def test_a_file_that_links_to_itself_is_named(tmp_path):
    touch(tmp_path, "images/a.png", "labels/a.png")
    (tmp_path / "images" / "b.png").symlink_to("b.png")
    with pytest.raises(OSError, match=r"images/b\.png"):
        pair(tmp_path)


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_a_missing_folder_is_named(tmp_path, folder):
    touch(tmp_path, "images/a.png" if folder == "labels" else "labels/a.png")
    with pytest.raises(FileNotFoundError, match=f"/{folder}, which does not exist"):
        pair(tmp_path)


def test_a_folder_without_images_is_named_with_what_is_looked_for(tmp_path):
    touch(tmp_path, "images/u/a_rgb.txt", "images/a.png", "labels/a.png")
    with pytest.raises(FileNotFoundError, match=r"\*_rgb \(\.avif, .*/images, found none"):
        pair(tmp_path, image_ending="_rgb")


def test_images_without_a_label_are_counted_and_named(tmp_path):
    touch(tmp_path, *(f"images/{name}.png" for name in "abcde"), "labels/c.png")
    with pytest.raises(
        FileNotFoundError, match=r"4 images have none: .*, \.\.\.; missing='skip'"
    ) as e:
        pair(tmp_path)
    named = [str(tmp_path / "images" / f"{name}.png") in str(e.value) for name in "abcde"]
    assert named == [True, True, False, True, False]


def test_images_without_a_label_are_skipped_on_demand_and_labels_without_an_image_listed(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "labels/b.png", "labels/c.png")
    images, labels, skipped, unpaired = pair(tmp_path, missing="skip")
    assert names(images, tmp_path) == ["images/b.png"]
    assert names(labels, tmp_path) == ["labels/b.png"]
    assert skipped == {tmp_path / "images" / "a.png": "no label"}
    assert names(unpaired, tmp_path) == ["labels/c.png"]


def test_what_lies_beside_a_label_is_no_label_without_an_image(tmp_path):
    touch(tmp_path, "images/u/7_image.jpg")
    touch(tmp_path, *(f"labels/u/{name}_label.png" for name in ("7", "7_inst", "8", "8_inst")))
    images, _, _, unpaired = pair(tmp_path, image_ending="_image", label_ending="_label")
    assert names(images, tmp_path) == ["images/u/7_image.jpg"]
    assert names(unpaired, tmp_path) == ["labels/u/8_inst_label.png", "labels/u/8_label.png"]


def test_nothing_left_to_read_is_an_error(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "labels/c.png")
    with pytest.raises(ValueError, match=r"none of 1 images has one, .*b\.png; found c\.png"):
        pair(tmp_path, missing="skip", skip={"a"})
    with pytest.raises(FileNotFoundError, match="all 2 are skipped"):
        pair(tmp_path, missing="skip", skip={"a", "b"})


@pytest.mark.parametrize("missing", ["raise", "skip"])
@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["u/a_labelTrainIds.png"], r"\*_labelTrainIds\.png"),
        (["u/a_polygons.json", "u/b_polygons.json", "u/a_x.png"], r"\*_polygons\.json, \*_x\.png"),
        (["u/a.jpg"], r"\*\.jpg"),
        (["v/a_labelIds.png"], r"v/a_labelIds\.png"),
        (["u/.a_labelIds.png"], "nothing"),
    ],
)
def test_labels_that_all_have_other_names_are_told_with_what_was_found(
    tmp_path, files, found, missing
):
    touch(tmp_path, "images/u/a.png", "images/u/b.png", *(f"labels/{file}" for file in files))
    with pytest.raises(ValueError, match=rf"\*_labelIds\.png in .* none of 2 .* found {found}$"):
        pair(tmp_path, label_ending="_labelIds", missing=missing)


def test_two_images_of_one_name_are_refused_with_what_they_are(tmp_path):
    save(tmp_path / "images" / "a.jpg", some_image())
    save(tmp_path / "images" / "a.png", some_ids(), PALETTE)
    touch(tmp_path, "labels/a.png")
    with pytest.raises(
        ValueError, match="labels in the folder of the images need an ending"
    ) as error:
        pair(tmp_path)
    assert f"{tmp_path}/images/a.jpg (JPEG of 6x4, Pillow mode RGB) and" in str(error.value)
    assert f"{tmp_path}/images/a.png (PNG of 6x4, Pillow mode P);" in str(error.value)


def test_a_label_beside_its_image_is_told_by_its_ending(tmp_path):
    touch(tmp_path, "a.jpg", "a_ids.png", "b.png", "b_ids.png")
    settings = {"label_ending": "_ids", "skip": {"a_ids", "b_ids"}, "missing": "raise"}
    images, labels, *_ = pair_files(tmp_path, tmp_path, image_ending="", **settings)
    assert names(images, tmp_path) == ["a.jpg", "b.png"]
    assert names(labels, tmp_path) == ["a_ids.png", "b_ids.png"]


@pytest.mark.parametrize("suffix", ["png", "PNG", "Png"])
def test_the_suffix_of_a_label_may_be_of_any_case(tmp_path, suffix):
    touch(tmp_path, "images/a_rgb.PNG", f"labels/a_ids.{suffix}")
    _, labels, *_ = pair(tmp_path, image_ending="_rgb", label_ending="_ids")
    assert names(labels, tmp_path) == [f"labels/a_ids.{suffix}"]
    with pytest.raises(ValueError, match=f"found \\*_ids.{suffix}"):
        pair(tmp_path, image_ending="_rgb", label_ending="_IDS")


def test_two_labels_of_one_name_are_refused(tmp_path):
    touch(tmp_path, "images/a.jpg", "labels/a.png", "labels/a.PNG")
    with pytest.raises(ValueError, match=r"one file per name, got .*a\.PNG .* and .*a\.png"):
        pair(tmp_path)


def irregular(root, kind):
    """A pipe, a socket or a device, as a file system may hold it."""
    if kind == "pipe":
        os.mkfifo(root)
    elif kind == "device":
        root.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            os.chdir(root.parent)  # since an address has at most 107 bytes
            server.bind(root.name)


@pytest.mark.parametrize("missing", ["raise", "skip"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_regular_file_is_left_out_and_named(tmp_path, monkeypatch, kind, missing):
    touch(tmp_path, "images/a.png", "labels/a.png", "labels/b.png")
    monkeypatch.chdir(tmp_path)
    irregular(tmp_path / "images" / "b.png", kind)
    irregular(tmp_path / "images" / "notes.txt", kind)
    images, _, skipped, unpaired = pair(tmp_path, missing=missing)
    assert names(images, tmp_path) == ["images/a.png"]
    assert skipped == {tmp_path / "images" / "b.png": "no regular file"}
    assert unpaired == []


def test_a_label_that_is_a_pipe_is_no_label(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "labels/a.png")
    os.mkfifo(tmp_path / "labels" / "b.png")
    with pytest.raises(FileNotFoundError, match=r"1 images have none: .*b\.png"):
        pair(tmp_path)
    _, _, skipped, _ = pair(tmp_path, missing="skip")
    assert {path.relative_to(tmp_path).as_posix(): why for path, why in skipped.items()} == {
        "labels/b.png": "no regular file",
        "images/b.png": "no label",
    }


def test_a_link_to_nowhere_is_a_file_that_reading_will_name(tmp_path):
    touch(tmp_path, "images/a.png", "labels/a.png", "labels/b.png")
    (tmp_path / "images" / "b.png").symlink_to("gone.png")
    assert names(pair(tmp_path).images, tmp_path) == ["images/a.png", "images/b.png"]


@pytest.fixture
def obstructed(tmp_path, monkeypatch):
    """One good pair, two images of one name, a loop, a link to itself and a closed folder."""
    touch(tmp_path, "images/a.png", "labels/a.png", "images/c.jpg", "images/c.png", "labels/c.png")
    touch(tmp_path, "images/closed/d.png", "labels/closed/d.png")
    (tmp_path / "images" / "loop").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "self.png").symlink_to("self.png")
    scandir = os.scandir

    def guarded(folder):  # permissions do not keep root out
        if folder == tmp_path / "images" / "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(_walk.os, "scandir", guarded)
    return tmp_path


def test_no_obstacle_is_an_end_of_everything(obstructed):
    images, _, skipped, unpaired = pair(obstructed, missing="skip")
    assert names(images, obstructed) == ["images/a.png"]
    reasons = {path.relative_to(obstructed).as_posix(): why for path, why in skipped.items()}
    assert reasons.keys() == {
        *("images/c.jpg", "images/c.png", "images/closed", "images/loop", "images/self.png")
    }
    assert "leads back to" in reasons["images/loop"]
    assert "Permission denied" in reasons["images/closed"]
    assert "symbolic links" in reasons["images/self.png"]
    assert reasons["images/c.jpg"].startswith("expected one file per name")
    assert names(unpaired, obstructed) == ["labels/closed/d.png"]


def test_each_obstacle_is_an_error_by_default_unless_it_is_listed(obstructed):
    listed = ["images/closed", "images/loop", "images/self", "images/c"]
    for place, name in enumerate(listed):
        with pytest.raises((OSError, ValueError), match=rf"images/{name[7:]}\b"):
            pair(obstructed, skip=listed[:place] + listed[place + 1 :])
    assert names(pair(obstructed, skip=listed).images, obstructed) == ["images/a.png"]


def test_an_obstacle_is_named_where_there_is_nothing_else(tmp_path):
    touch(tmp_path, "labels/a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "self.png").symlink_to("self.png")
    with pytest.raises(OSError, match="symbolic links"):
        pair(tmp_path, missing="skip")


@pytest.mark.parametrize("name", ["\udcff\udcfe", "x" * 251, "é\u0301 \n*", "-a", "a%b?c"])
def test_any_name_is_a_name(tmp_path, name):
    touch(tmp_path, f"images/{name}.png", f"labels/{name}.png", "images/a.png", "labels/a.png")
    images, *_ = pair(tmp_path)
    assert {image.stem for image in images} == {name, "a"}
    assert names(pair(tmp_path, skip=[f"images/{name}"]).images, tmp_path) == ["images/a.png"]


@pytest.mark.parametrize(
    ("entry", "skips"),
    [
        ("a", ["u/a", "v/a"]),
        ("u/a", ["u/a"]),
        ("images/v/a", ["v/a"]),
        ("/a", []),
        ("v", []),
        ("images/v", []),
        ("", []),
    ],
)
def test_an_entry_of_the_list_is_an_end_of_a_path(tmp_path, entry, skips):
    touch(
        tmp_path,
        *(f"{kind}/{name}.png" for kind in ("images", "labels") for name in ("u/a", "v/a", "w/ba")),
    )
    _, _, skipped, unpaired = pair(tmp_path, skip={entry})
    assert names(skipped, tmp_path / "images") == [f"{name}.png" for name in skips]
    assert set(skipped.values()) <= {"listed"}
    assert unpaired == []  # a skipped image still is its label's image


def test_a_listed_image_needs_no_label_and_all_others_still_do(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "labels/a.png")
    touch(tmp_path, "images/c.png", "labels/c.png")
    assert len(pair(tmp_path, skip={"b"}).images) == 2
    with pytest.raises(FileNotFoundError, match="1 images have none"):
        pair(tmp_path, skip={"a"})


def test_a_report_is_a_list_on_disk(tmp_path):
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"skip": ["u/ä"]}), encoding="utf-8")
    assert skip_list(report) == skip_list(["u/ä"]) == {"u/ä"}


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"skip": 3}', '{"skip": "ab"}', '{"skip": [1]}', "\xff"]
)
def test_a_file_that_is_no_report_is_named(tmp_path, content):
    report = tmp_path / "report.json"
    report.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match="expected") as error:
        skip_list(report)
    assert str(report) in str(error.value)


@pytest.mark.parametrize("skip", [[15188], [None], ["a", Path("b")]])
def test_what_is_no_name_cannot_be_skipped(skip):
    with pytest.raises(ValueError, match="expected names to skip, got "):
        skip_list(skip)


def test_an_accent_is_the_same_in_either_spelling(tmp_path):
    one, other = "Stra\u00dfe_\u00e9", "Stra\u00dfe_e\u0301"
    touch(tmp_path, f"images/{one}/{other}.png", f"labels/{other}/{one}.png", "images/a.png")
    assert len(pair(tmp_path, skip=["a"]).images) == 1
    for entry in (one, other):
        skipped = pair_files(
            tmp_path / "images",
            None,
            image_ending="",
            label_ending="",
            skip=skip_list([entry]),
            missing="raise",
        ).skipped
        assert list(skipped.values()) == ["listed"]


def test_a_missing_report_is_named():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        skip_list(Path("nowhere/report.json"))
