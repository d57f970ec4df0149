import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch
import tyro
from onnxruntime import InferenceSession

from data_tools.description import Class
from deployment import onnx_file, quantization
from deployment.model import ExportModel
from deployment.onnx_file import CHECKED, check_onnx, compare_outputs, write_onnx
from evaluation.loading import save_network
from evaluation.scoring import evaluate
from scripts import load_script
from training.domains import open_domains
from uda_seg.metrics import iou_from_confusion
from uda_seg.models import BiSeNet

export = load_script("export")
Config, main = export.Config, export.main


NAMES = ("road", "tram", "sky", "sea", "d\u00e4mm")
CLASSES = tuple(Class(name, (place, 0, 0)) for place, name in enumerate(NAMES))


def tiny(num_classes=5, seed=0):
    torch.manual_seed(seed)
    network = BiSeNet(num_classes, "test_resnet", pretrained_backbone=False)
    network(torch.randn(2, 3, 64, 64))  # moves the statistics
    return network.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    save_network(tiny(), folder, backbone="test_resnet", classes=CLASSES)
    return folder


@pytest.fixture(scope="module")
def written(folder):
    """The file of the default settings."""
    path = folder.parent / "exported" / "network.onnx"
    main(Config(str(folder), path))
    return path


def run(path, images):
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def normalized(images, network):
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in network.normalization)
    return (images - mean) / std


class TestFile:
    def test_tells_the_names_of_the_classes(self, written):
        about = {each.key: each.value for each in onnx.load(written).metadata_props}
        assert json.loads(about["classes"]) == [each.name for each in CLASSES]

    def test_gives_torchs_logits_at_a_size_that_no_one_checked(self, written):
        network = tiny().double()
        images = torch.rand(5, 3, 71, 203)
        exact = network(normalized(images.double(), network)).logits
        logits = run(written, images)
        assert logits.dtype == torch.float32
        assert (logits - exact).abs().max() < 1e-5 * exact.abs().max()

    def test_has_no_batch_norm_and_one_named_input_and_output(self, written):
        graph = onnx.load(written).graph
        assert "BatchNormalization" not in {node.op_type for node in graph.node}
        shapes = {
            value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.output)
        }
        assert shapes == {
            "images": ["batch", 3, "height", "width"],
            "logits": ["batch", 5, "height", "width"],
        }

    def test_is_alone_and_tells_nothing_of_the_machine(self, written):
        assert [path.name for path in written.parent.iterdir()] == ["network.onnx"]
        assert b".py" not in written.read_bytes()

    def test_says_what_images_it_takes(self, written):
        about = InferenceSession(written).get_modelmeta().custom_metadata_map
        assert about["pixels"] == "unit"
        assert about["mean"] == about["std"] == "[0.5, 0.5, 0.5]"

    def test_of_uint8_and_float16_gives_class_ids(self, folder, tmp_path, capsys):
        path = tmp_path / "ids.onnx"
        main(Config(str(folder), path, pixels="uint8", class_ids=True, half=True))
        network = tiny()
        images = torch.randint(0, 256, (2, 3, 71, 203), dtype=torch.uint8)
        class_ids = run(path, images)
        assert class_ids.dtype == torch.uint8
        expected = network(normalized(images / 255, network)).logits.argmax(dim=1)
        assert (class_ids == expected).float().mean() > 0.98
        assert class_ids.unique().numel() > 1
        weights = sum(p.numel() for p in network.parameters())
        assert path.stat().st_size < 2.2 * weights
        printed = capsys.readouterr().out
        assert "ids.onnx" in printed
        for shape in CHECKED:
            assert "x".join(map(str, shape)) in printed


class TestCheck:
    def test_a_file_of_another_network_is_refused(self, written):
        network = tiny(seed=1)
        with pytest.raises(ArithmeticError, match="within 1e-04 of the largest logit"):
            list(check_onnx(written, ExportModel(network), network))

    def test_a_file_that_is_no_onnx_is_refused(self, tmp_path):
        network = tiny()
        (tmp_path / "network.onnx").write_bytes(b"no protobuf")
        with pytest.raises(Exception, match=r"[Pp]ars"):
            list(check_onnx(tmp_path / "network.onnx", ExportModel(network), network))

    def test_what_fails_the_check_never_gets_the_name(self, written, folder, tmp_path, monkeypatch):
        monkeypatch.setattr(
            onnx_file, "write_onnx", lambda _, path, **_k: shutil.copy(written, path)
        )
        other = tmp_path / "other"
        tiny(seed=1).save_pretrained(other)
        path = tmp_path / "runs" / "network.onnx"
        with pytest.raises(ArithmeticError):
            main(Config(str(other), path))
        assert list(path.parent.iterdir()) == []
        path.write_text("old")
        with pytest.raises(ArithmeticError):
            main(Config(str(other), path, overwrite=True))
        assert path.read_text() == "old"
        main(Config(str(folder), path, overwrite=True))
        assert path.read_bytes() == written.read_bytes()

    def test_deviation_is_relative_to_the_largest_logit(self):
        logits = torch.tensor([8.0, -2.0]).reshape(1, 2, 1, 1)
        deviation, same = compare_outputs((1, 1, 1), logits + 0.4, logits)[1:]
        assert deviation == pytest.approx(0.05)
        assert same == 1

    def test_ids_are_judged_by_how_near_the_classes_were(self):
        logits = torch.tensor([[8.0, 0.0], [7.8, -4.0]]).reshape(1, 2, 1, 2)
        flipped = torch.tensor([[1, 0]], dtype=torch.uint8).reshape(1, 1, 2)
        deviation, same = compare_outputs((1, 1, 2), flipped, logits)[1:]
        assert deviation == pytest.approx(0.1 / 8)  # 0.1 more on one, 0.1 less on the other
        assert same == 0.5

    def test_a_network_that_magnifies_its_rounding_is_compared_with_torchs_own(self, tmp_path):
        network = tiny()
        with torch.no_grad():
            weight = network.head.classify.weight
            weight -= weight.mean(dim=1, keepdim=True)
            last = [m for m in network.head.modules() if isinstance(m, torch.nn.BatchNorm2d)][-1]
            last.bias += 1e4  # which the weights cancel, but not its rounding
        write_onnx(ExportModel(network), tmp_path / "network.onnx")
        agreements = list(check_onnx(tmp_path / "network.onnx", ExportModel(network), network))
        assert max(agreement.deviation for agreement in agreements) > 1e-4

    def test_a_deviation_that_is_no_number_is_refused(self, written):
        network = tiny()
        network.head.classify.bias.data[0] = torch.nan
        with pytest.raises(ArithmeticError, match="got nan"):
            list(check_onnx(written, ExportModel(network), network))


class TestConfig:
    def test_a_file_that_is_there_is_not_replaced_unasked(self, tmp_path):
        path = tmp_path / "network.onnx"
        path.touch()
        with pytest.raises(FileExistsError, match="--overwrite"):
            Config(output=path)
        assert Config(output=path, overwrite=True).output == path

    def test_a_network_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"got .*missing, and there is no such folder"):
            main(Config(str(tmp_path / "missing"), tmp_path / "network.onnx"))

    def test_a_folder_is_never_taken_for_the_file(self, tmp_path):
        with pytest.raises(IsADirectoryError, match="to be a file, got the folder"):
            Config(output=tmp_path, overwrite=True)

    def test_a_backbone_beside_a_network_is_refused(self, folder, tmp_path):
        with pytest.raises(ValueError, match="--backbone for a file of weights only"):
            main(Config(str(folder), tmp_path / "network.onnx", backbone="test_resnet"))

    def test_a_backbone_of_a_single_size_is_refused_with_what_works(self, tmp_path):
        kwargs = {"pretrained_backbone": False, "backbone_kwargs": {"img_size": (64, 96)}}
        BiSeNet(5, "test_coatnet", **kwargs).save_pretrained(tmp_path / "network")
        with pytest.raises(ValueError, match=r"got one for 64x96 alone; torch\.onnx\.export"):
            main(Config(str(tmp_path / "network"), tmp_path / "runs" / "network.onnx"))
        assert not (tmp_path / "runs").exists()

    def test_is_read_from_the_command_line_as_the_docstring_says(self, folder):
        line = [str(folder), "--output", "runs/city.onnx"]
        assert tyro.cli(Config, args=line) == Config(str(folder), Path("runs/city.onnx"))

    def test_an_untrained_network_needs_no_folder(self, written, tmp_path, monkeypatch):
        monkeypatch.setattr(
            onnx_file, "write_onnx", lambda _, path, **_k: shutil.copy(written, path)
        )
        seen = []
        monkeypatch.setattr(onnx_file, "check_onnx", lambda *a: seen.append(a[2]) or iter(()))
        main(Config(output=tmp_path / "network.onnx", backbone="test_resnet"))
        assert seen[0].head.classify.out_channels == 19


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """A network of the toy city's classes."""
    folder = tmp_path_factory.mktemp("streets") / "network"
    tiny(19).save_pretrained(folder, config={"num_classes": 19, "backbone": "test_resnet"})
    return str(folder)


@pytest.mark.usefixtures("unchecked")
class TestInt8:
    @pytest.fixture
    def unchecked(self, monkeypatch):
        """The float file is checked above."""
        monkeypatch.setattr(onnx_file, "check_onnx", lambda *_: iter(()))

    def settings(self, network, city, output, **changes):
        return Config(
            network, output, int8=True, target_root=city.target_root, size=(64, 128), **changes
        )

    def test_writes_the_verdict_beside_the_file(
        self, streets, city, tmp_path, capsys, fabric, config
    ):
        path = tmp_path / "city.onnx"
        status = main(self.settings(streets, city, path, calibration_images=2))
        verdict = json.loads((tmp_path / "city.json").read_text())
        assert status == (1 if verdict["problems"] else 0)
        assert (verdict["images"], verdict["size"]) == (4, [64, 128])
        confusion = evaluate(fabric, config, tiny(19), open_domains(fabric, config))
        expected = 100 * iou_from_confusion(confusion).nanmean().item()
        assert verdict["miou"]["float"] == pytest.approx(expected, abs=0.01)
        assert 0.5 < verdict["same_class"] <= 1
        assert all(0 <= each <= 100 for each in verdict["miou"].values())
        assert all(each > 0 for each in verdict["milliseconds"].values())
        printed = " ".join(capsys.readouterr().out.split())
        assert "int8 against float, 4 images at 64x128: the same class on" in printed
        kinds = {node.op_type for node in onnx.load(path).graph.node}
        assert "QuantizeLinear" in kinds
        assert sorted(each.name for each in tmp_path.iterdir()) == ["city.json", "city.onnx"]

    def test_without_labels_there_is_no_miou_and_a_poor_verdict_is_the_status(
        self, streets, city, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(quantization.Verdict, "problems", ["poor"])
        root = tmp_path / "root"
        shutil.copytree(city.target_root / "leftImg8bit", root / "leftImg8bit")
        settings = Config(
            streets, tmp_path / "city.onnx", int8=True, target_root=root, size=(64, 128)
        )
        assert main(settings) == 1
        verdict = json.loads((tmp_path / "city.json").read_text())
        assert verdict["miou"] == {"float": None, "int8": None}

    def test_a_missing_label_is_not_passed_over(self, streets, city, tmp_path):
        root = tmp_path / "root"
        shutil.copytree(city.target_root, root)
        next((root / "gtFine" / "val").rglob("*_labelIds.png")).unlink()
        with pytest.raises(FileNotFoundError, match="label"):
            main(
                Config(streets, tmp_path / "city.onnx", int8=True, target_root=root, size=(64, 128))
            )

    def test_a_verdict_that_is_there_is_not_replaced_unasked(self, city, tmp_path):
        (tmp_path / "city.json").touch()
        with pytest.raises(FileExistsError, match=r"city\.json exists already; --overwrite"):
            self.settings(None, city, tmp_path / "city.onnx")

    def test_a_network_of_other_classes_is_refused(self, folder, city, tmp_path):
        with pytest.raises(ValueError, match=r"network of the 19 classes .* got one of 5, road, t"):
            main(self.settings(str(folder), city, tmp_path / "city.onnx"))

    def test_a_source_is_no_target(self, streets, city, tmp_path):
        settings = Config(streets, tmp_path / "city.onnx", int8=True, target_root=city.source_root)
        with pytest.raises(ValueError, match=r"expected a target out of .* got gta5"):
            main(settings)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"half": True, "int8": True, "target_root": Path()}, "--int8 or --half, got both"),
            ({"size": (64, 128)}, "--size beside --int8 alone"),
            ({"int8": True, "target_root": Path(), "calibration_images": 0}, "at least one image"),
            (
                {"int8": True, "target_root": Path(), "size": (8, 64)},
                r"at least 32x32, got \(8, 64\)",
            ),
            ({"output": Path("city.json")}, r"to end in \.onnx, got city\.json"),
        ],
    )
    def test_settings_without_a_meaning_are_refused(self, tmp_path, changes, message):
        with pytest.raises(ValueError, match=message):
            Config(**{"output": tmp_path / "city.onnx", **changes})
