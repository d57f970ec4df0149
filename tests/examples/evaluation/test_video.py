"""Times, shape and damage of videos, as a player has them. The videos are made here."""

import os
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from evaluation.video import Frame, read_frames, write_frames

SIZE = (48, 80)


def picture(index=0, size=SIZE):
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([2 * x, 3 * y + 5 * index, 0 * x], axis=2).clip(0, 255).astype(np.uint8)


def write(path, *, count=12, rate=25, size=SIZE, ticks=None, aspect=None, **options):
    with av.open(path, "w") as container:
        base = {} if ticks is None else {"time_base": Fraction(1, 1000)}
        stream = container.add_stream("libx264", rate=rate, options=options, **base)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read(path):
    damage = []
    return list(read_frames(path, damage)), damage


def copy(path, target):
    """What predict.py does, but for the prediction."""
    write_frames(target, ((f, f.image.permute(1, 2, 0).numpy()) for f in read_frames(path, [])))
    with av.open(target) as container:
        (stream,) = container.streams.video
        times = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
        about = stream.average_rate, stream.sample_aspect_ratio, (stream.height, stream.width)
        return times, container.duration / av.time_base, about  # a closed stream tells nothing


def matrix_of(path, entries):
    """Put a display matrix into an MP4 file: 16.16 fixed point, at the end of its track header."""
    content = path.read_bytes()
    unit = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = content.index(unit, content.index(b"tkhd"))
    (a, b), (c, d) = entries
    turned = struct.pack(">9i", *(int(65536 * v) for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    path.write_bytes(content[:place] + turned + content[place + len(turned) :])


def damage_packet(path, number):
    with av.open(path) as container:
        packet = [each for each in container.demux(video=0) if each.size][number]
        start, size = packet.pos, packet.size
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\x00\x00\x00\x05" + b"\xff" * (size - 4)
    path.write_bytes(content)


class TestTimes:
    def test_a_raw_stream_without_any_lasts_as_long_as_its_rate_says(self, tmp_path):
        write(tmp_path / "raw.h264")
        times, duration, _ = copy(tmp_path / "raw.h264", tmp_path / "out.mp4")
        assert times == pytest.approx([n / 25 for n in range(12)], abs=1e-4)
        assert duration == pytest.approx(0.48, abs=1e-3)

    @pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
    def test_a_constant_rate_stays(self, tmp_path, suffix):
        write(tmp_path / f"a.{suffix}", rate=Fraction(30000, 1001))
        times, duration, (rate, _, _) = copy(tmp_path / f"a.{suffix}", tmp_path / "out.mp4")
        assert times == pytest.approx([n * 1001 / 30000 for n in range(12)], abs=1e-3)
        assert duration == pytest.approx(12 * 1001 / 30000, abs=2e-3)
        assert float(rate) == pytest.approx(29.97, abs=0.1)

    def test_a_variable_rate_stays_and_begins_at_zero(self, tmp_path):
        ticks = [5000, 5040, 5300, 5310, 9000]
        write(tmp_path / "a.mkv", count=5, ticks=ticks)
        times, _, _ = copy(tmp_path / "a.mkv", tmp_path / "out.mp4")
        assert times == pytest.approx([(tick - 5000) / 1000 for tick in ticks], abs=1e-3)

    def test_they_always_rise_by_a_period_where_they_do_not(self, tmp_path, monkeypatch):
        write(tmp_path / "a.mkv", count=6)

        def with_times(*_):
            with av.open(tmp_path / "a.mkv") as container:
                decoded = list(container.decode(video=0))
            for frame, tick in zip(decoded, [0, 40, 40, 20, None, 400], strict=True):
                frame.pts = tick
                yield frame

        monkeypatch.setattr("evaluation.video._decode", with_times)
        times = [float(frame.seconds) for frame in read(tmp_path / "a.mkv")[0]]
        assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.4])

    def test_those_of_h264_in_avi_which_step_back_rise(self, tmp_path):
        write(tmp_path / "a.avi")  # with frames that depend on later ones
        times, _, _ = copy(tmp_path / "a.avi", tmp_path / "out.mp4")
        assert len(times) == 12
        assert (np.diff(times) > 0.039).all()


class TestShape:
    @pytest.mark.parametrize("turned", [False, True])
    def test_pixels_that_are_not_square_stay_so(self, tmp_path, turned):
        write(tmp_path / "a.mp4", aspect=Fraction(4, 3))
        if turned:
            matrix_of(tmp_path / "a.mp4", [(0, 1), (-1, 0)])
        _, _, (_, aspect, size) = copy(tmp_path / "a.mp4", tmp_path / "out.mp4")
        assert aspect == (Fraction(3, 4) if turned else Fraction(4, 3))
        assert size == (SIZE[::-1] if turned else SIZE)

    @pytest.mark.parametrize("entries", [(x, y) for x in (1, -1) for y in (1, -1)])
    @pytest.mark.parametrize("swapped", [False, True])
    def test_every_turn_and_mirror_is_shown_as_the_matrix_says(self, tmp_path, entries, swapped):
        """(x, y) goes to (a x + c y, b x + d y)."""
        write(tmp_path / "a.mp4", count=1, qp="0")
        stored = read(tmp_path / "a.mp4")[0][0].image
        x, y = entries
        (a, b), (c, d) = matrix = [(0, x), (y, 0)] if swapped else [(x, 0), (0, y)]
        matrix_of(tmp_path / "a.mp4", matrix)
        (frame,), _ = read(tmp_path / "a.mp4")
        height, width = stored.shape[1:]
        corner = min(a * (width - 1), 0) + min(c * (height - 1), 0)
        top = min(b * (width - 1), 0) + min(d * (height - 1), 0)
        for row, column in ((0, 0), (5, 70), (40, 3), (47, 79)):
            place = b * column + d * row - top, a * column + c * row - corner
            assert frame.image[:, *place].equal(stored[:, row, column])

    def test_one_that_stands_askew_is_refused(self, tmp_path):
        write(tmp_path / "a.mp4")
        matrix_of(tmp_path / "a.mp4", [(0.7, 0.7), (-0.7, 0.7)])
        with pytest.raises(ValueError, match=r"by 90 degrees or mirrored, got .*a\.mp4"):
            read(tmp_path / "a.mp4")

    def test_two_sizes_in_one_video_are_refused(self, tmp_path):
        write(tmp_path / "a.h264", count=3)
        write(tmp_path / "b.h264", count=3, size=(64, 64))
        both = tmp_path / "both.h264"
        both.write_bytes((tmp_path / "a.h264").read_bytes() + (tmp_path / "b.h264").read_bytes())
        with pytest.raises(ValueError, match=r"one size.*, got 64x64 after 3 .*both\.h264; cut"):
            read(both)


class TestDamage:
    def test_a_damaged_packet_costs_that_packet(self, tmp_path):
        path = tmp_path / "a.mp4"
        write(path, count=30, g="5", bf="0")
        damage_packet(path, 7)
        frames, damage = read(path)
        assert damage == ["at 0.28 s: Invalid data found when processing input"]
        numbers = [round(25 * frame.seconds) for frame in frames]
        assert numbers == [n for n in range(30) if n != 7]

    def test_the_end_of_a_video_that_is_cut_off_is_missing(self, tmp_path):
        path = tmp_path / "a.mkv"
        write(path, count=30, g="5", bf="0")
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        frames, _ = read(path)
        assert 5 < len(frames) < 30

    def test_without_one_there_is_nothing_to_tell(self, tmp_path):
        write(tmp_path / "a.mp4")
        frames, damage = read(tmp_path / "a.mp4")
        assert (len(frames), frames[0].total, damage) == (12, 12, [])


class TestWhatIsNoVideo:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "AVIF", "PPM"])
    def test_a_picture_is_named_by_its_format(self, tmp_path, kind):
        path = tmp_path / "picture.jfif"
        Image.fromarray(picture()).save(path, kind)
        with pytest.raises(ValueError, match=r"picture\.jfif, a picture of the format"):
            read(path)

    def test_a_pipe_is_refused_without_waiting_for_it(self, tmp_path):
        os.mkfifo(tmp_path / "a.mp4")
        with pytest.raises(ValueError, match=r"a\.mp4, which is no regular file"):
            read(tmp_path / "a.mp4")


def test_an_odd_size_is_padded_by_its_own_border(tmp_path):
    pixels = picture(size=(49, 81))
    frame = Frame(None, Fraction(0), Fraction(25), Fraction(1), None)
    write_frames(tmp_path / "a.mp4", [(frame, pixels)])
    (found,), _ = read(tmp_path / "a.mp4")
    assert found.image.shape == (3, 50, 82)
    assert np.abs(found.image[:, 49, 81].numpy().astype(int) - pixels[48, 80]).max() < 12
