import json
import socket

import pytest
import torch
from safetensors.torch import save_file

from data_tools.description import CITYSCAPES, Class
from evaluation.loading import load_checkpoint, load_network, save_network
from uda_seg.models import BiSeNet

OWN = (Class("road", (1, 2, 3)), Class("tram $x_{", (250, 0, 0)), Class("сад", (0, 9, 255)))


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
    loaded = load_checkpoint(str(tmp_path / name), backbone).network.state_dict()
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
    with pytest.raises(ValueError, match=rf"in .*weights\{suffix}, got something"):
        load_checkpoint(str(file), "test_resnet")


@pytest.mark.parametrize("name", ["missing", "runs/missing", "a/b/missing", "/a/missing", "./a"])
def test_a_missing_folder_is_named_and_no_hub_asked(tmp_path, monkeypatch, name):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", None)  # would fail
    with pytest.raises(FileNotFoundError, match=rf"got {name}, and there is no such folder"):
        load_checkpoint(name)


def test_a_name_on_the_hub_is_asked_for_with_its_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = BiSeNet(3, "test_resnet", pretrained_backbone=False)
    save_network(network, tmp_path / "hub", backbone="test_resnet", classes=OWN)
    monkeypatch.setattr(BiSeNet, "from_pretrained", {"user/name": network}.get)
    asked = []

    def download(name, file):
        asked.append((name, file))
        return str(tmp_path / "hub" / file)

    monkeypatch.setattr("evaluation.loading.hf_hub_download", download)
    assert load_checkpoint("user/name") == (network, OWN)
    assert asked == [("user/name", "config.json")]


@pytest.mark.parametrize("channels", [3, 4])
def test_a_network_of_other_images_is_refused(tmp_path, channels):
    network = BiSeNet(5, "test_resnet", pretrained_backbone=False, in_channels=channels)
    network.save_pretrained(tmp_path / "other")
    other = str(tmp_path / "other")
    assert load_checkpoint(other, channels=None).network.in_channels == channels
    with pytest.raises(ValueError, match=f"{7 - channels} image channels, got one for {channels}"):
        load_checkpoint(other, channels=7 - channels)


def named(*names):
    return [{"name": name, "color": [0, 0, place]} for place, name in enumerate(names)]


def saved(folder, classes):
    torch.manual_seed(0)
    network = BiSeNet(len(classes), "test_resnet", pretrained_backbone=False)
    save_network(network, folder, backbone="test_resnet", classes=classes)
    return folder


class TestClasses:
    @pytest.fixture
    def folder(self, tmp_path):
        return saved(tmp_path / "own", OWN)

    def test_travel_with_the_network(self, folder):
        network, classes = load_network(folder)
        assert classes == OWN
        assert load_checkpoint(str(folder), classes=OWN).classes == OWN
        again = BiSeNet.from_pretrained(folder).state_dict()
        torch.testing.assert_close(network.state_dict(), again, rtol=0, atol=0)

    def test_of_other_names_are_refused_and_other_colours_are_not(self, folder):
        painted = tuple(each._replace(color=(7, 7, number)) for number, each in enumerate(OWN))
        assert load_network(folder, painted).classes == painted
        for other in (OWN[:2], OWN[::-1], CITYSCAPES):
            with pytest.raises(
                ValueError, match=rf"the {len(other)} classes .*one of 3, road, .*own"
            ):
                load_network(folder, other)

    @pytest.mark.parametrize("number", [3, 19])
    def test_that_a_network_does_not_tell_are_those_of_the_data(self, tmp_path, number):
        wanted = tuple(Class(f"own {each}", (each, each, each)) for each in range(number))
        network = BiSeNet(number, "test_resnet", pretrained_backbone=False)
        network.save_pretrained(tmp_path / "silent")
        assert load_network(tmp_path / "silent", wanted).classes == wanted
        classes = load_network(tmp_path / "silent").classes
        assert (classes == CITYSCAPES) == (number == 19)
        assert len({each.color for each in classes}) == len({each.name for each in classes})
        assert len(classes) == number
        with pytest.raises(ValueError, match=f"the 1 classes own 0, got one of {number} in"):
            load_network(tmp_path / "silent", wanted[:1])

    def test_of_a_file_of_weights_are_as_many_as_it_has(self, folder, tmp_path):
        torch.save(BiSeNet.from_pretrained(folder).state_dict(), tmp_path / "w.pt")
        assert load_checkpoint(str(tmp_path / "w.pt"), "test_resnet", classes=OWN).classes == OWN
        with pytest.raises(ValueError, match=r"the 19 classes .* got one of 3 in .*w\.pt"):
            load_checkpoint(str(tmp_path / "w.pt"), "test_resnet", classes=CITYSCAPES)

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (3, "1 to 255 tables of name and color, got 3"),
            ([], "1 to 255 tables"),
            (["road", "tram", "sky"], "1 to 255 tables"),
            ([{"name": "road"}] * 3, "class 0 to be name and color"),
            ([{"name": "road", "color": [0, 0, 256]}] * 3, "color of class 0 .* 0 to 255, got"),
            ([{"name": "road", "color": [0, 0]}] * 3, r"color of class 0 .* got \[0, 0\]"),
            ([{"name": "road", "color": None}] * 3, "color of class 0 .* got None"),
            (named("road", "road", "sky"), "name of class 1 to be different from that of road"),
            ([each | {"color": [1, 2, 3]} for each in named("a", "b", "c")], "color of class 1"),
            (named("road", "a\nb", "sky"), "name of class 1 to be a line of text"),
            (named("road", 3, "sky"), "name of class 1 to be a line of text, got 3"),
            (named("road", "tram", "mIoU"), "name of class 2 .* which are names of scores"),
            (named("road", "tram", "sky", "fog"), "num_classes, which is 3, got 4"),
        ],
    )
    def test_that_are_none_are_told_with_their_file(self, folder, classes, message):
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"classes": classes}))
        with pytest.raises(ValueError, match=rf"{file}: expected .*{message}"):
            load_network(folder)


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path):
        return saved(tmp_path / "saved", CITYSCAPES)

    @pytest.mark.parametrize("place", [0.1, 0.5, 0.999])
    def test_a_flipped_bit_is_found(self, folder, place):
        file = folder / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[int(place * len(content))] ^= 1
        file.write_bytes(content)
        BiSeNet.from_pretrained(folder)  # finds nothing
        with pytest.raises(ValueError, match=rf"{file} as it was written"):
            load_network(folder)

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(self, tmp_path, value):
        network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
        network.head.classify.bias.data[0] = value
        with pytest.raises(FloatingPointError, match="network has NaN or infinity"):
            save_network(network, tmp_path / "bad", backbone="test_resnet", classes=CITYSCAPES)
        assert not (tmp_path / "bad").exists()
        network.save_pretrained(tmp_path / "bad")
        torch.save(network.state_dict(), tmp_path / "bad.pt")
        for name, backbone in (("bad", None), ("bad.pt", "test_resnet")):
            with pytest.raises(ValueError, match=rf"(?s){name},.*NaN or infinity"):
                load_checkpoint(str(tmp_path / name), backbone)
