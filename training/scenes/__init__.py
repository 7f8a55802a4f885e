"""Rendered scenes: pairs of image and mask drawn from random numbers alone, the masks exact by construction."""

from wetgen.training.scenes.captions import caption
from wetgen.training.scenes.draw import draw_scene
from wetgen.training.scenes.render import render
from wetgen.training.scenes.scene import Damage, Scene, scene_from_json
from wetgen.training.scenes.wording import captions

__all__ = ["Damage", "Scene", "caption", "captions", "draw_scene", "render", "scene_from_json"]
