"""What surfaces and damages paint on, and the map from the picture to metres on the surface."""

from dataclasses import dataclass

import numpy as np

from wetgen.training.scenes.noise import Field, grid, ramp, texture
from wetgen.training.scenes.scene import Scene

RGB = tuple[float, float, float]
_GRAIN_SIDE = 1024  # pixels of a sheet of grain at most, for memory's sake


@dataclass
class SceneCanvas:
    """The layers of a picture of side n, all float32."""

    albedo: Field  # (n, n, 3) colour in [0, 1]
    height: Field  # (n, n) relief in pictures
    shade: Field  # (n, n) light that arrives, 1 = all
    cast: Field  # (n, n) light left by the soft shadows of damages, 1 = all
    glow: Field  # (n, n, 3) light added on top: reflections
    damp: Field  # (n, n) how wet a stain has left the surface, 0 to 1
    x: Field  # (n, n) metres along the surface
    y: Field
    pixel: Field  # (n, n) metres that a pixel spans
    front: Field  # (n, n) opacity of what stands before the surface or beside it
    front_rgb: Field  # (n, n, 3)
    to_picture: Field  # (3, 3) metres to centred picture fractions
    units: Field | None = None  # (4, n, n) centre and half size in metres of the board, tile or brick at each pixel

    @property
    def n(self) -> int:
        """Pixels a side."""
        return len(self.height)

    def tint(self, alpha: Field, rgb: RGB | Field) -> None:
        """Paint `rgb` over the albedo with opacity `alpha`."""
        self.albedo += alpha[..., None] * (np.asarray(rgb, np.float32) - self.albedo)

    def absorb(self, density: Field, rgb: RGB) -> None:
        """Let a pigment take light: Beer and Lambert's law, `rgb` its absorption."""
        self.albedo *= np.exp(-density[..., None] * np.asarray(rgb, np.float32))

    def mottle(self, field: Field) -> None:
        """Make the albedo brighter or darker by a share."""
        self.albedo *= (1 + field)[..., None]

    def cover(self, alpha: Field, rgb: RGB | Field) -> None:
        """Put something in front of the surface."""
        self.front_rgb += alpha[..., None] * (np.asarray(rgb, np.float32) - self.front_rgb)
        self.front = 1 - (1 - self.front) * (1 - alpha)

    def picture(self, x: Field | float, y: Field | float) -> tuple[Field, Field]:
        """Metres on the surface to picture fractions (u, v)."""
        m = self.to_picture
        w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        return (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / w + 0.5, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / w + 0.5

    def unit_at(self, u: float, v: float) -> Field:
        """Centre and half size (4,) of the unit under a point of the picture."""
        assert self.units is not None
        row, column = (int(np.clip(t * self.n, 0, self.n - 1)) for t in (v, u))
        return self.units[:, row, column]

    def inset(self) -> Field:
        """Metres from each pixel to the border of its unit (n, n)."""
        assert self.units is not None
        cx, cy, hx, hy = self.units
        return np.minimum(hx - np.abs(self.x - cx), hy - np.abs(self.y - cy))

    def joint(self, width: float) -> Field:
        """1 in the joints of `width` metres between units, as sharp as the pixels allow (n, n)."""
        half = width / 2
        return ramp(self.inset(), half + 0.6 * self.pixel, half - 0.6 * self.pixel)

    def grain(
        self, rng: np.random.Generator, slope: float, low: float, stretch: tuple[float, float] = (1.0, 1.0)
    ) -> Field:
        """Fine noise (n, n) that lies on the surface and so shrinks with distance."""
        sheet = texture(rng, min(2 * self.n, _GRAIN_SIDE), slope, low, stretch=stretch)
        scale = len(sheet) / (1.3 * float(self.pixel.min()) * self.n)
        rows = (self.y * scale).astype(np.int32) % len(sheet)
        columns = (self.x * scale).astype(np.int32) % len(sheet)
        return sheet[rows, columns]


def blank(n: int, scene: Scene) -> SceneCanvas:
    """A flat, evenly lit surface of one colour; in a corner of walls, the second wall turns away."""
    u, v = grid(n)
    to_metres = _homography(scene)
    px, py = u - 0.5, v - 0.5
    w = to_metres[2, 0] * px + to_metres[2, 1] * py + 1
    x = (to_metres[0, 0] * px + to_metres[0, 1] * py + to_metres[0, 2]) / w
    y = (to_metres[1, 0] * px + to_metres[1, 1] * py + to_metres[1, 2]) / w
    if scene.place == "corner" and scene.stance == "wall":
        beyond = np.clip(u - scene.line[0] - 0.4 * scene.line[1] * (v - 0.5), 0, None)
        x = x + 1.2 * beyond * scene.view.span
        y = y + (y - scene.view.offset[1]) * 0.9 * beyond
    across = np.hypot(*(np.diff(field, axis=1, append=2 * field[:, -1:] - field[:, -2:-1]) for field in (x, y)))
    down = np.hypot(*(np.diff(field, axis=0, append=2 * field[-1:] - field[-2:-1]) for field in (x, y)))
    zeros = np.zeros((n, n), np.float32)
    return SceneCanvas(
        albedo=np.broadcast_to(np.asarray(scene.rgb, np.float32), (n, n, 3)).copy(),
        height=zeros.copy(),
        shade=zeros + 1,
        cast=zeros + 1,
        glow=np.zeros((n, n, 3), np.float32),
        damp=zeros.copy(),
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        pixel=np.maximum(across, down).astype(np.float32),
        front=zeros.copy(),
        front_rgb=np.zeros((n, n, 3), np.float32),
        to_picture=np.linalg.inv(to_metres),
    )


def _homography(scene: Scene) -> Field:
    """Centred picture fractions to metres (3, 3)."""
    view = scene.view
    c, s = view.span * np.cos(view.angle), view.span * np.sin(view.angle)
    tilt = np.array([*view.tilt, 1.0])
    rows = np.array([[c, -s, 0.0], [s, c, 0.0]]) + np.outer(view.offset, tilt)
    return np.vstack([rows, tilt])
