"""Setting the shapes down in the street as flat, one-coloured polygons.

Axes in metres: x to the right, y up, z away from the eye.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from toytown.figures import FIGURES
from toytown.outlines import box, disc
from toytown.vehicles import VEHICLES, Vehicle

Points = npt.NDArray[np.float64]

EYE = np.array([0.0, 1.4, 0.0])


class Surface(NamedTuple):
    """A flat polygon: the class it is labelled as and the material it is made of."""

    label: str
    material: str
    points: Points  # (N, 3)
    tone: float = 0.5  # 0 to 1: which of the material's colours
    light: float = 1.0  # below 1 in shadow


def stand(points: Points, x: float, z: float, heading: float) -> Points:
    """Turn points about the vertical by `heading` and set them down at (x, z)."""
    cos, sin = float(np.cos(heading)), float(np.sin(heading))
    turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    placed: Points = points @ turn + (x, 0.0, z)
    return placed


def figure(
    rng: np.random.Generator,
    name: str,
    x: float,
    z: float,
    heading: float = 0.0,
    scale: float = 1.0,
) -> list[Surface]:
    """A flat figure of the table `FIGURES`; each of its materials takes one random tone."""
    tones = {part.material: float(rng.random()) for part in FIGURES[name]}
    return [
        Surface(
            part.label,
            part.material,
            stand(scale * np.array([(u, v, 0.0) for u, v in part.outline]), x, z, heading),
            tones[part.material],
        )
        for part in FIGURES[name]
    ]


def _side(vehicle: Vehicle, x: float, tone: float) -> list[Surface]:
    """One side of a vehicle, with its windows and wheels painted on."""

    def at(outline: Sequence[tuple[float, ...]]) -> Points:
        return np.array(
            [(x, p[1] * vehicle.height, (p[0] - 0.5) * vehicle.length) for p in outline]
        )

    body = "cargo" if vehicle.label == "truck" else vehicle.profile[0][2]
    radius = vehicle.wheel_radius
    profile = at([corner[:2] for corner in vehicle.profile])
    surfaces = [Surface(vehicle.label, body, profile, tone)]
    surfaces += [Surface(vehicle.label, "glass", at(window)) for window in vehicle.windows]
    for along in vehicle.wheels:
        wheel = disc(0.0, 0.0, radius)
        points = np.array([(x, v + radius, u + (along - 0.5) * vehicle.length) for u, v in wheel])
        surfaces.append(Surface(vehicle.label, "tyre", points))
    return surfaces


def _faces(vehicle: Vehicle, tone: float) -> list[list[Surface]]:
    """The faces of a vehicle, each with what is painted on it; nothing is hidden yet."""
    half = vehicle.width / 2
    corners = [((a - 0.5) * vehicle.length, u * vehicle.height) for a, u, _ in vehicle.profile]
    faces = [_side(vehicle, -half, tone), _side(vehicle, half, tone)]
    for i, (_, _, material) in enumerate(vehicle.profile):
        (z0, y0), (z1, y1) = corners[i], corners[(i + 1) % len(corners)]
        quad = np.array([(-half, y0, z0), (half, y0, z0), (half, y1, z1), (-half, y1, z1)])
        faces.append([Surface(vehicle.label, material, quad, tone)])
    for marks, z, face in ((vehicle.rear, -0.5, faces[2]), (vehicle.front, 0.5, faces[-2])):
        for material, left, right, low, high in marks:
            outline = box((left - 0.5) * vehicle.width, (right - 0.5) * vehicle.width, low, high)
            points = np.array([(u, v * vehicle.height, z * vehicle.length) for u, v in outline])
            face.append(Surface(vehicle.label, material, points, tone))
    return faces


def vehicle(
    rng: np.random.Generator, name: str, x: float, z: float, heading: float = 0.0
) -> list[Surface]:
    """A vehicle of the table `VEHICLES`: the faces that the eye can see, far ones first."""
    faces = [
        [s._replace(points=stand(s.points, x, z, heading)) for s in face]
        for face in _faces(VEHICLES[name], float(rng.random()))
    ]
    # The triple product's sign says on which side of a face a point lies; the inside is hidden.
    corners = np.stack([face[0].points[:3] for face in faces])
    inside = np.array([x, VEHICLES[name].height / 2, z])
    visible = np.linalg.det(corners - inside) * np.linalg.det(corners - EYE) < 0
    seen = [face for face, shown in zip(faces, visible, strict=True) if shown]
    seen.sort(key=lambda face: -float(face[0].points[:, 2].mean()))
    return [surface for face in seen for surface in face]


def foliage(
    rng: np.random.Generator, x: float, y: float, z: float, radius: float, tone: float
) -> list[Surface]:
    """A crown or a bush: ragged blobs of leaves, dark ones below and bright ones above."""
    surfaces = []
    angles = np.linspace(0.0, 2.0 * np.pi, 11, endpoint=False)
    for i, (du, dv, size) in enumerate(
        (
            (0.0, 0.0, 1.0),
            (-0.45, -0.15, 0.6),
            (0.45, -0.1, 0.6),
            (0.1, 0.4, 0.65),
            (-0.2, 0.35, 0.5),
        )
    ):
        ragged = size * radius * rng.uniform(0.75, 1.2, angles.size)
        points = np.stack(
            [
                x + du * radius + ragged * np.cos(angles),
                np.maximum(y + dv * radius + ragged * np.sin(angles), 0.02),
                np.full(angles.size, z - 0.05 * i),
            ],
            axis=1,
        )
        surfaces.append(Surface("vegetation", "leaf", points, tone, 0.72 + 0.12 * i))
    return surfaces


def tree(rng: np.random.Generator, x: float, z: float) -> list[Surface]:
    """A trunk and a crown; both are vegetation, as Cityscapes labels them."""
    radius, trunk = rng.uniform(1.4, 3.0), rng.uniform(2.0, 3.2)
    stem = np.array([(u + x, v, z) for u, v in box(-0.14, 0.14, 0.0, trunk + 0.5 * radius)])
    crown = foliage(rng, x, trunk + 0.8 * radius, z, radius, float(rng.random()))
    return [Surface("vegetation", "bark", stem, float(rng.random())), *crown]
