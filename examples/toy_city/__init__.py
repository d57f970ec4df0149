"""A procedural street scene, drawn in two looks and written as GTA5 and Cityscapes would be."""

from toy_city.data_sets import PALETTE, ToyCity, render_scene, write_toy_city

__all__ = ["PALETTE", "ToyCity", "render_scene", "write_toy_city"]
