"""Procedural street scenes in two looks, written in the layouts of GTA5 and Cityscapes."""

from toy_city.data_sets import PALETTE, ToyCity, render_scene, write_toy_city

__all__ = ["PALETTE", "ToyCity", "render_scene", "write_toy_city"]
