"""A folder says all that there is to know: nothing is asked of the network or of other folders."""

import json
import os
import socket

import pytest

from uda_seg.models import BiSeNet

TINY = "test_resnet"


@pytest.fixture(autouse=True)
def connections(monkeypatch):
    """No connection is made; the list tells which were tried."""
    tried = []

    def refuse(*address, **_):
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def folder(tmp_path):
    BiSeNet(5, TINY, pretrained_backbone=False).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def rewrite(folder, **changed):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": "hf-hub:someone/model"},
        {"backbone": "HF_hub:someone/model"},
        {"backbone": "local-dir:/somewhere"},
        {"backbone": "timm:resnet18"},
        {"backbone_kwargs": {"pretrained_cfg_overlay": {"url": "https://example.org/a.pth"}}},
        {"backbone_kwargs": {"pretrained_cfg": "hf-hub:someone/model"}},
        {"backbone_kwargs": {"pretrained_cfg": {"tags": ["file:///a"]}}},
    ],
)
def test_a_saved_address_is_refused_and_not_followed(folder, changed, connections):
    rewrite(folder, **changed)
    (name,) = changed
    with pytest.raises(ValueError, match=rf"{folder}.*saved {name} without an address, got '.*:"):
        BiSeNet.from_pretrained(folder)
    assert not connections


def test_an_address_of_ones_own_is_followed(folder, tmp_path):
    config = {"architecture": TINY, "num_classes": 1000, "num_features": 64, "pretrained_cfg": {}}
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "config.json").write_text(json.dumps(config))
    address = f"local-dir:{tmp_path / 'timm'}"
    BiSeNet.from_pretrained(folder, backbone=address)
    rewrite(folder, backbone=address)
    with pytest.raises(ValueError, match=r"if you trust it"):
        BiSeNet.from_pretrained(folder)


def test_saved_names_of_files_are_not_opened(folder, connections):
    nowhere = {"file": "/nowhere/weights.pth", "hf_hub_id": "someone/model"}
    rewrite(folder, backbone_kwargs={"pretrained_cfg_overlay": nowhere}, pretrained_backbone=True)
    assert BiSeNet.from_pretrained(folder).head.classify.out_channels == 5
    assert not connections


@pytest.mark.parametrize("name", ["typo", "runs/typo", "./typo", "runs/a.txt"])
def test_a_mistyped_folder_is_named_and_the_hub_is_not_asked(
    tmp_path, monkeypatch, connections, name
):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    why = "is a file" if name == "runs/a.txt" else "no such folder"
    with pytest.raises(FileNotFoundError, match=f"folder.* got {name}, .*{why}"):
        BiSeNet.from_pretrained(name)
    assert not connections


def test_what_may_be_a_repository_is_asked_for_and_missed_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=r"no folder 'user/name', and no such repository"):
        BiSeNet.from_pretrained("user/name", cache_dir=tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"3", b'"text"', b"null", '{"a": "ä"}'.encode("utf-16"), 10**5 * b"["],
)
def test_a_broken_config_is_named(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"expected {folder / 'config.json'} to hold"):
        BiSeNet.from_pretrained(folder)


@pytest.mark.parametrize(
    "changed",
    [
        {"num_classes": "five"},
        {"num_classes": None},
        {"num_classes": []},
        {"in_channels": 0},
        {"backbone": 5},
        {"backbone": None},
        {"backbone": "resnt18"},
        {"backbone_kwargs": "abc"},
        {"backbone_kwargs": [1]},
        {"backbone_kwargs": {"pretrained_cfg_overlay": 3}},
    ],
)
def test_wrong_arguments_are_told_with_the_folder(folder, changed):
    rewrite(folder, **changed)
    with pytest.raises((ValueError, TypeError), match=str(folder)):
        BiSeNet.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_named_and_not_waited_for(folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(FileNotFoundError, match=rf"expected {folder / name} to be a file"):
        BiSeNet.from_pretrained(folder)
