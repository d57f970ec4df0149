import pytest
import torch
from safetensors.torch import save_file

from evaluation.loading import load_checkpoint
from uda_seg.models import BiSeNet


@pytest.fixture
def network(tmp_path):
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    network.save_pretrained(tmp_path / "network")
    return network


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("network", None), ("weights.safetensors", "test_resnet"), ("weights.pt", "test_resnet")],
)
def test_a_file_of_weights_is_as_good_as_a_folder(network, tmp_path, name, backbone):
    state = network.state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "weights.pt")
    loaded = load_checkpoint(str(tmp_path / name), backbone).state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[each], state[each]) for each in state)


def test_a_file_names_no_backbone_and_a_folder_does(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"expected --backbone for the weights in .*weights\.pt"):
        load_checkpoint(str(tmp_path / "weights.pt"))
    with pytest.raises(ValueError, match="a file of weights only"):
        load_checkpoint(str(tmp_path / "network"), "test_resnet")


@pytest.mark.parametrize("content", ["another backbone", "a checkpoint", "a list", "no weights"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_of_something_else_is_named(tmp_path, content, suffix):
    file = tmp_path / f"weights{suffix}"
    other = BiSeNet(19, "lcnet_050", pretrained_backbone=False).state_dict()
    match content:
        case "another backbone" if suffix == ".safetensors":
            save_file(other, file)
        case "another backbone":
            torch.save(other, file)
        case "a checkpoint":
            torch.save({"step": 3, "parts": {"segmenter": other}}, file)
        case "a list":
            torch.save([1, 2], file)
        case "no weights":
            file.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=rf"over test_resnet in .*weights\{suffix}, got something"):
        load_checkpoint(str(file), "test_resnet")


@pytest.mark.parametrize("name", ["missing", "runs/missing", "a/b/missing", "/a/missing", "./a"])
def test_a_missing_folder_is_named_and_no_hub_asked(tmp_path, monkeypatch, name):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(BiSeNet, "from_pretrained", None)  # would fail
    with pytest.raises(FileNotFoundError, match=rf"got {name}, and there is no such folder"):
        load_checkpoint(name)


def test_a_name_on_the_hub_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    monkeypatch.setattr(BiSeNet, "from_pretrained", {"user/name": network}.get)
    assert load_checkpoint("user/name") is network


@pytest.mark.parametrize(("classes", "channels"), [(5, 3), (19, 4)])
def test_a_network_of_other_classes_or_images_is_refused(tmp_path, classes, channels):
    network = BiSeNet(classes, "test_resnet", pretrained_backbone=False, in_channels=channels)
    network.save_pretrained(tmp_path / "other")
    found = f"got one of {channels} channels and {classes} classes in .*other"
    assert load_checkpoint(str(tmp_path / "other")).in_channels == channels
    with pytest.raises(ValueError, match=found):
        load_checkpoint(str(tmp_path / "other"), num_classes=19)
