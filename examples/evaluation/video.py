"""Read and write videos frame by frame, with the times and the shape that a player shows."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from evaluation.pictures import Picture

__all__ = ["Frame", "read_frames", "write_frames"]

_UPRIGHT = {  # by the signs of the upper left 2x2 entries of a display matrix
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
_QUARTER_TURNS = [_UPRIGHT[signs] for signs in _UPRIGHT if signs[0] == 0]
_TICK = Fraction(1, 90_000)  # time unit of the output, in seconds
_PICTURES = ("heic", "heix", "hevc", "mif1", "msf1", "avif", "avis")  # MP4 brands of picture files


class Frame(NamedTuple):
    """One picture of a video."""

    image: Tensor
    """``(3, H, W)`` uint8 RGB, rotated as a player shows it."""
    seconds: Fraction
    """Time of the frame. The first frame is at 0, and times always increase."""
    rate: Fraction
    """Frames per second of the whole video."""
    pixel_aspect: Fraction
    """Width of a pixel divided by its height, as a player shows it."""
    total: int | None
    """Number of frames, if the file states it."""


def read_frames(path: Path, damage: list[str]) -> Iterator[Frame]:
    """Decode the first video stream of a file.

    A frame without a time, or with a time that does not increase, is shown one period after the
    previous frame.

    Args:
        path: any file that FFmpeg reads.
        damage: receives a line for each packet that could not be decoded and was left out.

    Raises:
        ValueError: if FFmpeg cannot open the file, it is a picture, its frames change their size,
            or their rotation is not a multiple of 90 degrees.
    """
    if not path.is_file():  # opening a pipe would wait forever
        raise ValueError(f"expected a video, got {path}, which is no regular file")
    try:
        reader = av.open(path)
    except av.FFmpegError as error:
        raise ValueError(
            "expected a picture with a suffix such as .png, or a video that FFmpeg reads, "
            f"got {path}: {error}"
        ) from error
    with reader:
        kind, brand = reader.format.name, reader.metadata.get("major_brand", "")
        if kind.endswith("_pipe") or kind in ("ico", "image2") or brand in _PICTURES:
            raise ValueError(
                f"expected a video or a picture with its usual suffix, got {path}, a picture of "
                f"the format {brand if brand in _PICTURES else kind.removesuffix('_pipe')}; "
                "rename it, or convert it to PNG"
            )
        covers = av.stream.Disposition.attached_pic
        streams = [each for each in reader.streams.video if not each.disposition & covers]
        for stream in streams[:1]:
            yield from _timed(path, stream, _decode(reader, stream, damage))


def _decode(
    reader: av.container.InputContainer, stream: av.VideoStream, damage: list[str]
) -> Iterator[av.VideoFrame]:
    packets = reader.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            damage.append(f"the rest: {error.strerror}")
            return
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            time = packet.pts if packet.pts is not None else packet.dts
            place = "" if time is None else f"at {float(time * packet.time_base):.2f} s: "
            damage.append(f"{place}{error.strerror}")
            continue
        yield from frames


def _timed(path: Path, stream: av.VideoStream, frames: Iterable[av.VideoFrame]) -> Iterator[Frame]:
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)  # FFmpeg's own guess
    shape: tuple[int, ...] | None = None
    start, last = Fraction(0), -1 / rate
    for number, frame in enumerate(frames):
        operation = _upright(path, frame)
        turned = operation in _QUARTER_TURNS
        if shape not in (None, (frame.width, frame.height, turned)):
            raise ValueError(
                f"expected frames of one size and direction, got {frame.width}x{frame.height} "
                f"after {number} others in {path}; cut the video there"
            )
        shape = frame.width, frame.height, turned
        seconds = last + 1 / rate
        if frame.pts is not None and frame.time_base is not None:
            time = frame.pts * frame.time_base
            start = time if number == 0 else start
            seconds = time - start if time - start - last >= _TICK else seconds
        last = seconds
        aspect = stream.sample_aspect_ratio or Fraction(1)
        image = Image.fromarray(frame.to_ndarray(format="rgb24"))
        if operation is not None:
            image = image.transpose(operation)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        yield Frame(pixels, seconds, rate, 1 / aspect if turned else aspect, stream.frames or None)


def _upright(path: Path, frame: av.VideoFrame) -> Image.Transpose | None:
    """The transposition that a player applies to a frame before it shows the frame."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d, *_ = np.sign(np.frombuffer(bytes(matrix), np.int32)).tolist()
    if (a, b, c, d) not in _UPRIGHT:
        raise ValueError(
            f"expected frames that are upright, turned by 90 degrees or mirrored, got {path} with "
            "another display matrix; rotate the video first"
        )
    return _UPRIGHT[a, b, c, d]


def write_frames(path: Path, frames: Iterable[tuple[Frame, Picture]]) -> None:
    """Write an H.264 video. Each picture gets the time and the pixel shape of its frame.

    Args:
        path: the file to write. Its suffix names the container.
        frames: at least one frame. All pictures have the same size.
    """
    with av.open(path, "w") as writer:
        sink = None
        for frame, picture in frames:
            height, width = picture.shape[:2]
            if sink is None:
                sink = writer.add_stream("libx264", rate=frame.rate, time_base=_TICK)
                sink.height, sink.width = height + height % 2, width + width % 2
                sink.pix_fmt = "yuv420p"  # all players support it; sizes are even
                sink.codec_context.sample_aspect_ratio = frame.pixel_aspect
            even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            result = av.VideoFrame.from_ndarray(even, format="rgb24")
            result.pts, result.time_base = round(frame.seconds / _TICK), _TICK
            result.duration = round(1 / frame.rate / _TICK)
            writer.mux(sink.encode(result))
        if sink is not None:
            writer.mux(sink.encode())
