"""Videos, frame by frame."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from evaluation.pictures import Picture

__all__ = ["read_frames", "upright", "write_frames"]


def read_frames(path: Path) -> Iterator[tuple[av.VideoStream, av.VideoFrame]]:
    """Decode the first video stream of a file.

    Raises:
        ValueError: if FFmpeg cannot read it to its end.
    """
    try:
        with av.open(path) as reader:
            for stream in reader.streams.video[:1]:
                for frame in reader.decode(stream):
                    yield stream, frame
    except av.FFmpegError as error:
        raise ValueError(
            "expected a picture, known by a suffix such as .png, or a whole video that FFmpeg "
            f"reads, got {path}: {error}"
        ) from error


def upright(frame: av.VideoFrame) -> Image.Image:
    """The frame as RGB, turned as a player shows it."""
    return Image.fromarray(frame.to_ndarray(format="rgb24")).rotate(frame.rotation, expand=True)


def write_frames(
    path: Path, frames: Iterable[tuple[av.VideoFrame, Picture]], rate: Fraction | None
) -> None:
    """Write an H.264 video of pictures, each at the time of the frame beside it.

    Args:
        path: where to; its suffix names the container.
        frames: at least one; all pictures have one size.
        rate: frames a second, as players show it.
    """
    with av.open(path, "w") as writer:
        sink = None
        for frame, picture in frames:
            height, width = picture.shape[:2]
            if sink is None:
                sink = writer.add_stream("libx264", rate=rate, time_base=frame.time_base)
                sink.height, sink.width = height + height % 2, width + width % 2
                sink.pix_fmt = "yuv420p"  # what every player shows; its sizes are even
            even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            result = av.VideoFrame.from_ndarray(even, format="rgb24")
            result.pts, result.time_base = frame.pts, frame.time_base
            writer.mux(sink.encode(result))
        if sink is not None:
            writer.mux(sink.encode())
