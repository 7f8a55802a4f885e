"""Scene to picture and mask."""

import numpy as np

from wetgen.runtime.classes import DEFAULT
from wetgen.training.scenes import growth, units, water, wear
from wetgen.training.scenes.canvas import blank
from wetgen.training.scenes.light import illuminate, photograph
from wetgen.training.scenes.room import furnish, look_alike, surround
from wetgen.training.scenes.scene import Scene, stream
from wetgen.training.scenes.surfaces import PAINTERS

OVERSAMPLING = 2
_SURFACE, _ROOM, _ALIKE, _CAMERA, _FURNITURE, _DAMAGE = 1, 2, 3, 4, 6, 8  # layers of random numbers
DAMAGES = {
    "stain": water.stain,
    "puddle": water.puddle,
    "mold": growth.mold,
    "efflorescence": growth.efflorescence,
    "corrosion": growth.corrosion,
    "crack": wear.crack,
    "peeling": wear.peeling,
    "spalling": wear.spalling,
    "lifted": units.lifted,
}


def render(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture (size, size, 3) uint8 and its mask (size, size) uint8 of class ids."""
    n = size * OVERSAMPLING
    canvas = blank(n, scene.view, scene.rgb)
    PAINTERS[scene.surface](canvas, scene, stream(scene.seed, scene.index, _SURFACE))
    surround(canvas, scene, stream(scene.seed, scene.index, _ROOM))
    furnish(canvas, scene, stream(scene.seed, scene.index, _FURNITURE))
    if scene.look_alike:
        look_alike(canvas, scene.look_alike, stream(scene.seed, scene.index, _ALIKE))
    mask = np.zeros((size, size), np.uint8)
    for damage in scene.damages:
        class_id = DEFAULT.names.index(damage.kind)
        rng = stream(scene.seed, scene.index, _DAMAGE + class_id)
        drawn = DAMAGES[damage.kind](canvas, scene, damage, rng)
        mask[_shrink(drawn, size) >= 0.5] = class_id
    lit = np.clip(illuminate(canvas, scene.light), 0, 1.5)
    return photograph(lit, scene.light, size, stream(scene.seed, scene.index, _CAMERA)), mask


def _shrink(field: np.ndarray, size: int) -> np.ndarray:
    return field.reshape(size, OVERSAMPLING, size, OVERSAMPLING).mean((1, 3))
