"""A pinhole camera and a rasteriser: from surfaces in metres to the surface of each pixel.

Each pixel only stores the number of its surface. Class, distance and position on the surface follow
from this number and the plane of the surface. So image and label agree.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from toy_city.objects import EYE, Points, Surface

Floats = npt.NDArray[np.float32]

NEAR = 0.5


class Pinhole(NamedTuple):
    """The direction of the camera. Angles in radians, focal length in image widths."""

    yaw: float
    pitch: float
    roll: float
    focal: float

    def rotation(self) -> Points:
        """The rotation matrix from the axes of the street to those of the camera."""
        (cy, sy), (cp, sp), (cr, sr) = (
            (float(np.cos(a)), float(np.sin(a))) for a in (self.yaw, self.pitch, self.roll)
        )
        yaw = np.array([[cy, 0.0, -sy], [0.0, 1.0, 0.0], [sy, 0.0, cy]])
        pitch = np.array([[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]])
        roll = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
        rotation: Points = roll @ pitch @ yaw
        return rotation


class Fragments(NamedTuple):
    """The content of each pixel. `surface` is an index of the surfaces, where 0 is the sky."""

    surface: npt.NDArray[np.intp]  # (H, W)
    across: Floats  # (H, W) position on the surface in metres, sideways
    along: Floats  # (H, W) position in metres, upwards, or forwards on the ground
    distance: Floats  # (H, W) metres
    normals: Points  # (S, 3) of the surfaces, towards the camera
    focal: float  # in pixels


def rasterize(surfaces: list[Surface], pinhole: Pinhole, size: tuple[int, int]) -> Fragments:
    """Paint the surfaces in order. The first one is the sky, behind everything."""
    rotation, focal = pinhole.rotation(), pinhole.focal * size[1]
    sizes = np.array([len(surface.points) for surface in surfaces])
    points = (np.concatenate([surface.points for surface in surfaces]) - EYE) @ rotation.T
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    planes = _planes(points, sizes, starts)
    drawn = _paint(points, sizes, starts, focal, size)

    normals = planes @ rotation
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    across, along = _axes(normals)
    frames = np.stack([across @ rotation.T, along @ rotation.T, planes], axis=1)
    rays = _rays(focal, size)
    seen = np.einsum("hwij,hwj->hwi", frames.astype(np.float32)[drawn], rays)
    distance = 1.0 / np.maximum(seen[..., 2], 1e-4)
    offset = np.stack([across @ EYE, along @ EYE]).astype(np.float32)
    return Fragments(
        drawn,
        seen[..., 0] * distance + offset[0][drawn],
        seen[..., 1] * distance + offset[1][drawn],
        distance,
        -normals,
        focal,
    )


def _planes(points: Points, sizes: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]) -> Points:
    """The plane of each surface as n with n @ p = 1 (Newell's method), in camera coordinates."""
    following = np.arange(1, len(points) + 1)
    following[starts + sizes - 1] = starts
    x, y, z = points.T
    u, v, w = points[following].T
    cross = np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=1)
    normals = np.add.reduceat(cross, starts)
    centres = np.add.reduceat(points, starts) / sizes[:, None]
    offset = np.einsum("si,si->s", normals, centres)
    planes: Points = normals / np.where(np.abs(offset) < 1e-9, 1e-9, offset)[:, None]
    return planes


def _axes(normals: Points) -> tuple[Points, Points]:
    """Two directions on each surface: sideways, and upwards (forwards on the ground)."""
    lying = np.abs(normals[:, 1]) > 0.9
    level = np.stack([normals[:, 2], np.zeros(len(normals)), -normals[:, 0]], axis=1)
    across = np.where(lying[:, None], [1.0, 0.0, 0.0], level)
    along = np.where(lying[:, None], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0])
    return across, along


def _rays(focal: float, size: tuple[int, int]) -> Floats:
    """The viewing direction of each pixel, in camera coordinates."""
    height, width = size
    rays = np.ones((height, width, 3), dtype=np.float32)
    rays[..., 0] = (np.arange(width) + 0.5 - width / 2) / focal
    rays[..., 1] = ((height / 2 - 0.5 - np.arange(height)) / focal)[:, None]
    return rays


def _paint(
    points: Points,
    sizes: npt.NDArray[np.intp],
    starts: npt.NDArray[np.intp],
    focal: float,
    size: tuple[int, int],
) -> npt.NDArray[np.intp]:
    """The number of the last surface that was painted at each pixel."""
    height, width = size
    canvas = Image.new("I", (width, height))
    draw = ImageDraw.Draw(canvas)
    behind = np.minimum.reduceat(points[:, 2], starts) < NEAR
    gone = np.maximum.reduceat(points[:, 2], starts) < NEAR
    flat = _project(points, focal, size)
    low, high = np.minimum.reduceat(flat, starts), np.maximum.reduceat(flat, starts)
    outside = ((high < 0) | (low > (width, height))).any(axis=1) & ~behind
    for number in np.flatnonzero(~(gone | outside))[1:].tolist():
        span = slice(starts[number], starts[number] + sizes[number])
        outline = flat[span]
        if behind[number]:
            outline = _project(_clip(points[span]), focal, size)
        draw.polygon(outline.ravel().tolist(), fill=number)
    return np.asarray(canvas).astype(np.intp)


def _project(points: Points, focal: float, size: tuple[int, int]) -> Points:
    """Project camera coordinates to pixel columns and rows."""
    height, width = size
    scale = focal / np.maximum(points[:, 2], NEAR)
    columns, rows = width / 2 + scale * points[:, 0], height / 2 - scale * points[:, 1]
    return np.stack([columns, rows], axis=1)


def _clip(polygon: Points) -> Points:
    """Cut off the part of a polygon that is nearer than `NEAR` (Sutherland and Hodgman)."""
    kept = []
    for here, there in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (there[2] >= NEAR):
            share = (NEAR - here[2]) / (there[2] - here[2])
            kept.append(here + share * (there - here))
    return np.array(kept)
