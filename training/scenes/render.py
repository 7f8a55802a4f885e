"""Scene to picture and mask."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wetgen.runtime.errors import WetgenError
from wetgen.training.scenes import breaks, cracks, growth, paint, photographs, rust, units, water
from wetgen.training.scenes.canvas import SceneCanvas, blank
from wetgen.training.scenes.furniture import furnish, look_alike
from wetgen.training.scenes.light import develop, photograph
from wetgen.training.scenes.noise import Field
from wetgen.training.scenes.room import surround
from wetgen.training.scenes.scene import CLASSES, Scene, stream
from wetgen.training.scenes.surfaces import PAINTERS

VISIBLE = 0.08  # of the local brightness: a change that an eye sees beside the unchanged surface
DARK = 0.08  # brightness below which a change is measured against black
DRAWN = 0.02  # opacity from which on a damage counts as drawn
SPECK = 0.001  # of the picture: a smaller hole in what is seen is chance
FINE = 192  # pixels from which on a scene is drawn at its own size; below, at twice that
_SURFACE, _ROOM, _ALIKE, _CAMERA, _FURNITURE, _DAMAGE = 1, 2, 3, 4, 6, 8  # layers of random numbers
# Each paints its damage on the canvas and returns its footprint (n, n) in [0, 1]: all it draws but soft shadows.
DAMAGES = {
    "stain": water.stain,
    "puddle": water.puddle,
    "mold": growth.mold,
    "efflorescence": growth.efflorescence,
    "corrosion": rust.corrosion,
    "crack": cracks.crack,
    "peeling": paint.peeling,
    "spalling": breaks.spalling,
    "lifted": units.lifted,
}


def render(scene: Scene, size: int, textures: Path | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture (size, size, 3) uint8 and its mask (size, size) uint8 of class ids.

    `textures` is the folder of the photograph that the scene names; raises WetgenError when it is needed and missing.
    A pixel is in the mask where the damage was drawn (or beside it, as relief is lit from both sides) and is seen:
    where it changed the picture, before blur, noise and compression, by more than VISIBLE of the brightness there.
    Gaps of one pixel are closed, and specks within what was drawn, where it chances to be as bright as the clean
    surface. Soft shadows that fall outside a damage are no part of it.
    """
    canvas = blank(size if size >= FINE else 2 * size, scene)
    _paint_surface(canvas, scene, textures)
    surround(canvas, scene, stream(scene.seed, scene.index, _ROOM))
    if scene.look_alike:
        look_alike(canvas, scene.look_alike, stream(scene.seed, scene.index, _ALIKE))
    furnish(canvas, scene, stream(scene.seed, scene.index, _FURNITURE))
    picture = develop(canvas, scene.light, size)
    mask = np.zeros((size, size), np.uint8)
    for damage in scene.damages:
        class_id = CLASSES.names.index(damage.kind)
        rng = stream(scene.seed, scene.index, _DAMAGE + class_id)
        footprint = _reduced(DAMAGES[damage.kind](canvas, scene, damage, rng), size)
        before, picture = picture, develop(canvas, scene.light, size)
        seen = closed(visible_change(before, picture)) & grown(footprint > DRAWN)
        mask[_without_specks(seen, footprint)] = class_id
    return photograph(picture, scene.light, scene.view, stream(scene.seed, scene.index, _CAMERA)), mask


def visible_change(before: Field, after: Field) -> NDArray[np.bool_]:
    """Where two pictures (H, W, 3) in [0, 1] differ so that one sees it, (H, W)."""
    return np.asarray(_brightest(np.abs(after - before)) > VISIBLE * (DARK + _brightest(before)))


def _brightest(picture: Field) -> Field:
    return np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])


def closed(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same with gaps of one pixel closed, (H, W)."""
    return ~grown(~grown(where))


def _without_specks(seen: NDArray[np.bool_], footprint: Field) -> NDArray[np.bool_]:
    """`seen` with its smallest holes filled where something was drawn, (H, W)."""
    holes, _ = ndimage.label(~seen)
    small = np.bincount(holes.ravel()) < SPECK * holes.size
    return np.asarray(seen | (small[holes] & (footprint > 0.5)))


def grown(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same and its four neighbours of each pixel, (H, W)."""
    more = where.copy()
    more[1:] |= where[:-1]
    more[:-1] |= where[1:]
    more[:, 1:] |= where[:, :-1]
    more[:, :-1] |= where[:, 1:]
    return more


def _paint_surface(canvas: SceneCanvas, scene: Scene, textures: Path | None) -> None:
    rng = stream(scene.seed, scene.index, _SURFACE)
    if not scene.texture:
        PAINTERS[scene.surface](canvas, scene, rng)
        return
    if textures is None:
        raise WetgenError(
            f"Scene {scene.index} of seed {scene.seed} cannot be rendered.",
            why=f"its surface is the photograph {scene.texture}.",
            fix="give the folder of textures it was drawn with.",
        )
    a, b = canvas.x / scene.view.span, canvas.y / scene.view.span
    canvas.albedo[...] = photographs.lay(textures, scene.texture, a, b)


def _reduced(field: Field, size: int) -> Field:
    factor = len(field) // size
    return field if factor == 1 else field.reshape(size, factor, size, factor).mean((1, 3))
