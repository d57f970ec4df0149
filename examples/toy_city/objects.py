"""Place objects in the street, as flat polygons of one colour.

Axes in metres: x to the right, y up, z away from the camera.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from toy_city.billboards import BILLBOARDS
from toy_city.outlines import box, disc
from toy_city.vehicles import VEHICLES, Vehicle

Points = npt.NDArray[np.float64]

EYE = np.array([0.0, 1.4, 0.0])
ROUND = np.array(disc(0.0, 0.0, 1.0, 11))
BLOBS = np.array(  # of foliage: right, up and size, in radii
    [(0, 0, 1), (-0.45, -0.15, 0.6), (0.45, -0.1, 0.6), (0.1, 0.4, 0.65), (-0.2, 0.35, 0.5)]
)


class Surface(NamedTuple):
    """A flat polygon with the class of its label and its material."""

    label: str
    material: str
    points: Points  # (N, 3)
    tone: float = 0.5  # 0 to 1; chooses one of the colours of the material
    light: float = 1.0  # below 1 in shadow


class Place(NamedTuple):
    """The position of an object on the ground, and its rotation about the vertical axis."""

    x: float
    z: float
    heading: float = 0.0

    def stand(self, points: Points) -> Points:
        """Rotate points about the vertical axis, and move them to this place."""
        cos, sin = float(np.cos(self.heading)), float(np.sin(self.heading))
        turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
        placed: Points = points @ turn + (self.x, 0.0, self.z)
        return placed


def billboard(
    rng: np.random.Generator, name: str, place: Place, scale: float = 1.0
) -> list[Surface]:
    """A billboard of the table `BILLBOARDS`. Each of its materials gets one random tone."""
    tones = {part.material: float(rng.random()) for part in BILLBOARDS[name]}
    return [
        Surface(part.label, part.material, place.stand(scale * points), tones[part.material])
        for part, points in zip(BILLBOARDS[name], _cut_out(name), strict=True)
    ]


@cache
def _cut_out(name: str) -> tuple[Points, ...]:
    """The outlines of a billboard in the plane z = 0."""
    return tuple(np.array([(u, v, 0.0) for u, v in part.outline]) for part in BILLBOARDS[name])


def _side(vehicle: Vehicle, x: float) -> list[Surface]:
    """One side of a vehicle, with its windows and wheels."""

    def at(outline: Sequence[tuple[float, ...]]) -> Points:
        return np.array(
            [(x, p[1] * vehicle.height, (p[0] - 0.5) * vehicle.length) for p in outline]
        )

    body = "cargo" if vehicle.label == "truck" else vehicle.profile[0][2]
    radius = vehicle.wheel_radius
    profile = at([corner[:2] for corner in vehicle.profile])
    surfaces = [Surface(vehicle.label, body, profile)]
    surfaces += [Surface(vehicle.label, "glass", at(window)) for window in vehicle.windows]
    for along in vehicle.wheels:
        wheel = disc(0.0, 0.0, radius)
        points = np.array([(x, v + radius, u + (along - 0.5) * vehicle.length) for u, v in wheel])
        surfaces.append(Surface(vehicle.label, "tyre", points))
    return surfaces


@cache
def _model(name: str) -> tuple[list[list[Surface]], Points, Points]:
    """A vehicle at the origin: its faces, their centres, and three corners of each face."""
    faces = _faces(VEHICLES[name])
    centres = np.array([face[0].points.mean(axis=0) for face in faces])
    return faces, centres, np.stack([face[0].points[:3] for face in faces])


def _faces(vehicle: Vehicle) -> list[list[Surface]]:
    """All faces of a vehicle, each with its details."""
    half = vehicle.width / 2
    corners = [((a - 0.5) * vehicle.length, u * vehicle.height) for a, u, _ in vehicle.profile]
    faces = [_side(vehicle, -half), _side(vehicle, half)]
    for i, (_, _, material) in enumerate(vehicle.profile):
        (z0, y0), (z1, y1) = corners[i], corners[(i + 1) % len(corners)]
        quad = np.array([(-half, y0, z0), (half, y0, z0), (half, y1, z1), (-half, y1, z1)])
        faces.append([Surface(vehicle.label, material, quad)])
    for marks, z, face in ((vehicle.rear, -0.5, faces[2]), (vehicle.front, 0.5, faces[-2])):
        for material, left, right, low, high in marks:
            outline = box((left - 0.5) * vehicle.width, (right - 0.5) * vehicle.width, low, high)
            points = np.array([(u, v * vehicle.height, z * vehicle.length) for u, v in outline])
            face.append(Surface(vehicle.label, material, points))
    return faces


def vehicle(rng: np.random.Generator, name: str, place: Place) -> list[Surface]:
    """A vehicle of the table `VEHICLES`: its visible faces, from far to near."""
    tone, (faces, centres, corners) = float(rng.random()), _model(name)
    # The sign of the triple product is the side of a face on which a point lies. A face is visible
    # if the camera and the inside of the vehicle are on different sides.
    placed, inside = place.stand(corners), place.stand(centres).mean(axis=0)
    visible = np.linalg.det(placed - inside) * np.linalg.det(placed - EYE) < 0
    order = np.argsort(-place.stand(centres)[:, 2]).tolist()
    return [
        surface._replace(points=place.stand(surface.points), tone=tone)
        for i in order
        if visible[i]
        for surface in faces[i]
    ]


def foliage(
    rng: np.random.Generator, place: Place, height: float, radius: float, tone: float
) -> list[Surface]:
    """A tree crown or a bush: ragged blobs of leaves, dark below and bright above."""
    ragged = radius * BLOBS[:, 2:] * rng.uniform(0.75, 1.2, (len(BLOBS), len(ROUND)))
    points = np.empty((*ragged.shape, 3))
    points[..., 0] = place.x + radius * BLOBS[:, :1] + ragged * ROUND[:, 0]
    points[..., 1] = height + radius * BLOBS[:, 1:2] + ragged * ROUND[:, 1]
    points[..., 2] = place.z
    points[..., 1] = np.maximum(points[..., 1], 0.02)  # no leaf is below the ground
    return [
        Surface("vegetation", "leaf", blob, tone, 0.72 + 0.12 * i) for i, blob in enumerate(points)
    ]


def tree(rng: np.random.Generator, place: Place) -> list[Surface]:
    """A trunk and a crown. Both are labelled vegetation, as in Cityscapes."""
    radius, trunk = rng.uniform(1.6, 3.4), rng.uniform(2.0, 3.2)
    outline = box(-0.14, 0.14, 0.0, trunk + 0.5 * radius)
    stem = place.stand(np.array([(u, v, 0.0) for u, v in outline]))
    crown = foliage(rng, place, trunk + 0.8 * radius, radius, float(rng.random()))
    return [Surface("vegetation", "bark", stem, float(rng.random())), *crown]
