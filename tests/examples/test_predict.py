import errno
import json
import os
import re
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import onnx
import pytest
import torch
import tyro
from PIL import Image

from data_tools.description import CITYSCAPES
from deployment.model import ExportModel
from deployment.onnx_file import write_onnx
from evaluation import scoring
from evaluation.pictures import overlay
from scripts import load_script
from uda_seg.batch_norm import image_statistics
from uda_seg.models import BiSeNet

predict = load_script("predict")
Config, main = predict.Config, predict.main
SIZE = (48, 80)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("network")
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    network.head.classify.weight.data *= 10  # so that pixels differ in their class
    network.save_pretrained(folder)
    return folder


@pytest.fixture
def config(folder, tmp_path):
    (tmp_path / "images").mkdir()
    return Config(str(folder), tmp_path / "images", tmp_path / "overlays")


def street(height=48, width=80, shift=0):
    """A picture without noise, which lossy formats keep."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin((x + 3 * shift) / 9), 2 * y + x, 128 + 90 * np.cos(y / 7 + shift)]
    return np.stack(waves, axis=2).clip(0, 255).astype(np.uint8)


def expected(folder, pixels, size=None):
    """The overlay by another path than the script's."""
    network = BiSeNet.from_pretrained(folder).eval()
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in network.normalization)
    seen = image[None] / 255
    if size is not None:
        seen = torch.nn.functional.interpolate(seen, size, mode="bicubic", antialias=True)
    with torch.no_grad():
        logits = network((seen.clamp(0, 1) - mean) / std, size=pixels.shape[:2]).logits
    assert logits.argmax(1).unique().numel() > 2
    return overlay(image, logits.argmax(1)[0], opacity=0.6, classes=CITYSCAPES)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestPictures:
    @pytest.mark.parametrize("size", [None, (64, 96)])
    def test_of_a_folder_keep_their_names_and_places(self, config, size, capsys):
        names = ["straße 東京.png", "cities/[bold]/a.png", "cities/b.PNG"]
        for shift, name in enumerate(names):
            path = config.images / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(street(40 + shift, shift=shift)).save(path)
        (config.images / "notes.txt").write_text("no picture")
        main(replace(config, size=size))
        assert files(config.output) == sorted(names)
        for shift, name in enumerate(names):
            painted = expected(config.network, street(40 + shift, shift=shift), size)
            assert np.array_equal(read(config.output / name), painted)
        printed = capsys.readouterr().out
        assert "pictures a second" in printed
        assert str(config.output) in printed

    @pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".tiff"])
    def test_may_be_one_of_any_format(self, config, suffix):
        path = config.images / f"street{suffix}"
        Image.fromarray(street()).save(path)
        main(replace(config, images=path))
        assert files(config.output) == [f"street{suffix}"]
        painted = read(config.output / f"street{suffix}").astype(int)
        assert np.abs(painted - expected(config.network, read(path))).mean() < 5

    def test_smaller_than_the_network_takes_are_enlarged_for_it(self, config):
        Image.fromarray(street(20, 50)).save(config.images / "small.png")
        main(config)
        painted = expected(config.network, street(20, 50), (32, 50))
        assert np.array_equal(read(config.output / "small.png"), painted)

    def test_are_turned_as_the_camera_was_held(self, config):
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was turned to the left
        Image.fromarray(street()).save(config.images / "a.png", exif=exif)
        main(config)
        painted = expected(config.network, np.rot90(street(), -1))
        assert np.array_equal(read(config.output / "a.png"), painted)

    def test_that_cannot_be_read_are_named_and_left_out(self, config, capsys):
        Image.fromarray(street()).save(config.images / "good.png")
        whole = (config.images / "good.png").read_bytes()
        (config.images / "cut.png").write_bytes(whole[: len(whole) // 2])
        (config.images / "[text].jpg").write_text("no picture")
        main(config)
        assert files(config.output) == ["good.png"]
        printed = capsys.readouterr().out
        for name in ("cut.png", "[text].jpg"):
            assert f"left out {config.images / name}: cannot read" in printed
        assert printed.count("left out") == 2

    def test_of_16_bits_are_scaled_and_avif_is_one(self, config):
        wide = np.linspace(0, 65535, 48 * 80).astype(np.uint16).reshape(48, 80)
        Image.fromarray(wide).save(config.images / "wide.png")
        Image.fromarray(street()).save(config.images / "a.avif")
        main(replace(config, opacity=0))
        assert files(config.output) == ["a.avif", "wide.png"]
        grey = read(config.output / "wide.png")[:48, :, 0]
        assert np.array_equal(grey, (wide / 257).round())

    def test_of_which_anything_raises_cost_that_one_alone(self, config, capsys, monkeypatch):
        monkeypatch.setattr("training.held_out.MOST_PIXELS", 600_000)
        Image.fromarray(street()).save(config.images / "good.png")
        Image.fromarray(np.ones((9, 9), np.float32)).save(config.images / "float.tif")
        Image.new("CMYK", (40, 40)).save(config.images / "cmyk.jpg")
        Image.new("L", (1000, 601)).save(config.images / "bomb.png")
        Image.fromarray(street(16380, 1)).save(config.images / "tall.webp")  # no room for a legend
        os.mkfifo(config.images / "pipe.png")
        (config.images / "loop.png").symlink_to("loop.png")
        (config.images / "folder.png").mkdir()
        main(config)
        assert files(config.output) == ["good.png"]
        printed = capsys.readouterr().out
        for name, why in {
            "float.tif": "got Pillow mode F",
            "cmyk.jpg": "got Pillow mode CMYK",
            "bomb.png": "at most 600,000 pixels, .* got 1000x601; make the image smaller",
            "tall.webp": "16383",
            "pipe.png": "no regular file",
            "loop.png": "symbolic links",
        }.items():
            assert re.search(f"left out {config.images / name}: .*{why}", printed)
        assert printed.count("left out") == 6

    def test_in_linked_and_closed_folders(self, config, capsys, monkeypatch):
        for name in ("a/1.png", "closed/2.png", ".hidden/3.png", "a/._4.png"):
            (config.images / name).parent.mkdir(exist_ok=True)
            Image.fromarray(street()).save(config.images / name)
        (config.images / "again").symlink_to("a")
        (config.images / "a/back").symlink_to(config.images)
        scan = os.scandir

        def refuse(path):
            if str(path).endswith("closed"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", refuse)
        main(config)
        assert files(config.output) == ["a/1.png"]
        printed = capsys.readouterr().out
        assert f"left out {config.images}/closed, which cannot be opened: Perm" in printed
        assert f"left out {config.images}/again, which is the folder {config.images}/a" in printed
        assert f"left out {config.images}/a/back, which is the folder {config.images} a" in printed

    def test_whose_overlays_the_disk_cannot_hold_end_the_run(self, config, monkeypatch):
        for name in ("a.png", "b.png"):
            Image.fromarray(street()).save(config.images / name)

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Image.Image, "save", full)
        with pytest.raises(OSError, match="No space left on device"):
            main(config)
        assert files(config.output) == []

    def test_of_which_none_can_be_read_are_an_error(self, config):
        (config.images / "a.png").write_text("no picture")
        with pytest.raises(OSError, match=r"that can be read, got none; .*a\.png"):
            main(config)
        with pytest.raises(OSError, match=r"that can be read, got none; .*a\.png"):
            main(replace(config, images=config.images / "a.png"))
        assert not config.output.exists()


def write_video(path, *, count=5, size=SIZE, rate=Fraction(15, 2), times=None):
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=rate, bit_rate=4_000_000)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(street(*size, shift=index), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_video(path):
    """Frames, their times in seconds, and frames a second."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        pixels = [frame.to_ndarray(format="rgb24") for frame in frames]
        return pixels, [frame.pts * frame.time_base for frame in frames], stream.average_rate


class TestAdapt:
    def ids(self, config, monkeypatch):
        """What is painted, as class ids, in order."""
        found = []
        monkeypatch.setattr(
            predict,
            "overlay",
            lambda pixels, ids, **_: found.append(ids) or pixels.movedim(0, 2).numpy(),
        )
        main(config)
        return found

    def adapted(self, config, frames, **settings):
        network = BiSeNet.from_pretrained(config.network)
        with image_statistics(network, **settings):
            return [
                scoring.predict(network, each[None], size=None, label_size=SIZE)[0]
                for each in frames
            ]

    def test_pictures_are_normalised_each_by_its_own_statistics(self, config, monkeypatch):
        for shift in range(3):
            Image.fromarray(street(shift=7 * shift)).save(config.images / f"{shift}.png")
        found = self.ids(replace(config, adapt=0.5), monkeypatch)
        frames = [torch.from_numpy(street(shift=7 * shift)).movedim(2, 0) for shift in range(3)]
        for one, other in zip(found, self.adapted(config, frames, source_weight=0.5), strict=True):
            assert torch.equal(one, other)
        plain = scoring.predict(
            BiSeNet.from_pretrained(config.network), frames[0][None], size=None, label_size=SIZE
        )
        assert not torch.equal(found[0], plain[0])

    def test_frames_are_normalised_by_those_so_far(self, config, monkeypatch):
        path = config.images / "street.mp4"
        write_video(path)
        found = self.ids(replace(config, images=path, adapt=0.5), monkeypatch)
        frames = [torch.from_numpy(pixels).movedim(2, 0) for pixels in read_video(path)[0]]
        expected = self.adapted(config, frames, source_weight=0.5, momentum=0.1)
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)

    @pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
    def test_a_share_out_of_range_is_refused(self, config, share):
        with pytest.raises(ValueError, match="--adapt above 0 and up to 1"):
            replace(config, adapt=share)


class TestVideo:
    @pytest.mark.parametrize("name", ["straße.mp4", "straße.avi"])
    def test_keeps_its_rate_and_shows_each_frames_prediction(self, config, name, capsys):
        path = config.images / name
        write_video(path)
        main(replace(config, images=path))
        assert files(config.output) == ["straße.mp4"]
        given, times, rate = read_video(path)
        frames, new_times, new_rate = read_video(config.output / "straße.mp4")
        assert new_rate == rate == Fraction(15, 2)
        assert new_times == times
        assert len(frames) == len(given) == 5
        for frame, pixels in zip(frames, given, strict=True):
            painted = expected(config.network, pixels)
            even = frame[: painted.shape[0], : painted.shape[1]].astype(int)
            error = np.abs(even - painted)[: SIZE[0]]
            assert np.median(error) < 6  # H.264 blurs the borders of colours
            assert error.mean() < 25
        assert "frames a second" in capsys.readouterr().out

    def test_of_an_odd_size_is_padded_to_an_even_one(self, config):
        path = config.images / "odd.mp4"
        write_video(path, size=(49, 81))
        main(replace(config, images=path))
        (frame, *_), _, _ = read_video(config.output / "odd.mp4")
        height, width, _ = expected(config.network, street(49, 81)).shape
        assert (width, frame.shape[1]) == (81, 82)
        assert frame.shape[0] == height + height % 2

    def test_with_pauses_keeps_them(self, config):
        path = config.images / "pauses.mkv"
        times = [0, 1, 5, 6, 20]
        write_video(path, rate=10, times=times)
        main(replace(config, images=path))
        _, seconds, _ = read_video(config.output / "pauses.mp4")
        assert [float(t) for t in seconds] == pytest.approx([t / 10 for t in times], abs=1e-3)

    def test_that_breaks_off_leaves_nothing_half_written(self, config, monkeypatch):
        path = config.images / "street.mp4"
        write_video(path)
        painted = []

        def paint(*args):
            painted.append(args)
            if len(painted) == 3:
                raise KeyboardInterrupt
            return original(*args)

        original = predict.paint
        monkeypatch.setattr(predict, "paint", paint)
        with pytest.raises(KeyboardInterrupt):
            main(replace(config, images=path))
        assert list(config.output.iterdir()) == []

    def test_of_which_a_packet_is_damaged_loses_that_alone_and_says_so(self, config, capsys):
        path = config.images / "cut.avi"
        write_video(path)
        with av.open(path) as container:
            fourth = [packet.pos for packet in container.demux()][3]
        path.write_bytes(path.read_bytes()[: fourth + 2])
        main(replace(config, images=path))
        assert len(read_video(config.output / "cut.mp4")[0]) == 3
        assert f"left out damaged packets of {path}: 1, first at 0.40 s:" in capsys.readouterr().out

    def test_of_which_every_packet_is_damaged_is_refused(self, config):
        path = config.images / "street.mp4"
        write_video(path)
        content = path.read_bytes()
        start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
        path.write_bytes(content[:start] + b"\xff" * (end - start) + content[end:])
        with pytest.raises(
            ValueError, match=r"with a frame, got .*street\.mp4 with none; at 0\.00"
        ):
            main(replace(config, images=path))
        assert not config.output.exists()

    @pytest.mark.parametrize("name", ["notes.txt", "street.mp4"])
    def test_that_is_none_is_refused(self, config, name):
        path = config.images / name
        path.write_text("no video")
        with pytest.raises(
            ValueError, match=rf"picture.*\.png.*video that FFmpeg reads, got .*{name}"
        ):
            main(replace(config, images=path))
        assert not config.output.exists()

    def test_of_sound_alone_is_refused(self, config):
        path = config.images / "sound.wav"
        with av.open(path, "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            sound = np.zeros((1, 800), dtype=np.int16)
            frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
        with pytest.raises(ValueError, match=r"with a frame, got .*sound\.wav with none"):
            main(replace(config, images=path))
        assert not config.output.exists()


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "city.onnx"
    model = ExportModel(BiSeNet.from_pretrained(folder).eval(), pixels="uint8")
    write_onnx(model, path, classes=[each.name for each in CITYSCAPES])
    return path


class TestExported:
    def test_paints_what_torch_paints(self, config, folder, exported):
        Image.fromarray(street()).save(config.images / "a.png")
        main(replace(config, network=str(exported)))
        painted = read(config.output / "a.png").astype(int)
        # A pixel between two classes may be another, which only a few are.
        assert (painted != expected(folder, street())).any(axis=2).mean() < 1e-3

    def test_of_other_classes_has_a_legend_of_its_names(self, config, exported, tmp_path):
        names = [f"thing {number}" for number in range(19)]
        model = onnx.load(exported)
        onnx.helper.set_model_props(
            model,
            {
                "pixels": "unit",
                "mean": "[0, 0, 0]",
                "std": "[1, 1, 1]",
                "classes": json.dumps(names),
            },
        )
        onnx.save(model, tmp_path / "other.onnx")
        Image.fromarray(street()).save(config.images / "a.png")
        with predict.open_predictor(replace(config, network=str(tmp_path / "other.onnx"))) as other:
            assert [each.name for each in other.classes] == names
            assert len({each.color for each in other.classes}) == 19

    @pytest.mark.parametrize("changes", [{"adapt": 0.5}, {"backbone": "test_resnet"}])
    def test_settings_of_torch_are_refused_beside_it(self, config, changes):
        with pytest.raises(ValueError, match="a network of torch for --adapt and --backbone"):
            replace(config, network="city.onnx", **changes)


class TestNothingIsLost:
    def test_overlays_that_are_there_stay_unless_told(self, config):
        for name in ("a.png", "b.png"):
            Image.fromarray(street()).save(config.images / name)
        config.output.mkdir()
        (config.output / "b.png").write_text("old")
        with pytest.raises(FileExistsError, match=r"1 overlays .*/b\.png; .*--overwrite"):
            main(config)
        assert files(config.output) == ["b.png"]
        assert (config.output / "b.png").read_text() == "old"
        main(replace(config, overwrite=True))
        assert np.array_equal(read(config.output / "b.png"), expected(config.network, street()))

    @pytest.mark.parametrize("inside", ["", "overlays"])
    def test_overlays_never_go_among_the_images(self, config, inside):
        path = config.images / "a.png"
        Image.fromarray(street()).save(path)
        with pytest.raises(ValueError, match="output folder apart from the images"):
            main(replace(config, output=config.images / inside, overwrite=True))
        with pytest.raises(ValueError, match="output folder apart from the images"):
            main(replace(config, images=path, output=config.images, overwrite=True))
        assert files(config.images) == ["a.png"]

    def test_a_single_image_may_have_its_overlay_in_a_sub_folder(self, config):
        path = config.images / "a.png"
        Image.fromarray(street()).save(path)
        main(replace(config, images=path, output=config.images / "overlays"))
        assert files(config.images) == ["a.png", "overlays/a.png"]

    def test_a_file_in_the_place_of_the_folder_stays(self, config):
        Image.fromarray(street()).save(config.images / "a.png")
        config.output.write_text("old")
        with pytest.raises(NotADirectoryError, match=r"to be a folder, got the file .*overlays"):
            main(replace(config, overwrite=True))
        assert config.output.read_text() == "old"


class TestConfig:
    def test_is_read_from_the_command_line_as_the_docstring_says(self, config):
        line = [str(config.network), str(config.images), "--size", "96", "192"]
        expected = Config(config.network, config.images, size=(96, 192))
        assert tyro.cli(Config, args=line) == expected

    @pytest.mark.parametrize(
        "wrong", [{"opacity": 1.1}, {"opacity": -0.1}, {"size": (31, 64)}, {"size": (64, 31)}]
    )
    def test_a_setting_that_makes_no_sense_is_refused_at_once(self, config, wrong):
        with pytest.raises(ValueError, match="expected"):
            replace(config, **wrong)

    def test_images_that_are_not_there_are_named(self, config):
        with pytest.raises(FileNotFoundError, match=r"folder or a video, got .*missing"):
            main(replace(config, images=config.images / "missing"))

    def test_what_is_no_regular_file_is_no_video(self, config):
        path = config.images / "camera.mp4"
        os.mkfifo(path)
        with pytest.raises(ValueError, match=r"camera\.mp4, which is no regular file"):
            main(replace(config, images=path))

    def test_a_folder_without_pictures_is_refused(self, config):
        (config.images / "notes.txt").touch()
        with pytest.raises(FileNotFoundError, match=r"\.png.* in .*images, found none"):
            main(config)
