"""What surfaces and damages paint on, and the map from the picture to metres on the surface."""

from dataclasses import dataclass

import numpy as np

from wetgen.training.scenes.noise import Field, grid
from wetgen.training.scenes.scene import View


@dataclass
class Canvas:
    """The layers of a picture of side n, all float32."""

    albedo: Field  # (n, n, 3) linear-ish colour in [0, 1]
    height: Field  # (n, n) relief in pictures
    shade: Field  # (n, n) light that arrives, 1 = all
    glow: Field  # (n, n, 3) light added on top: reflections
    clear: Field  # (n, n) 1 where the surface is, 0 where another surface (skirting, next wall) covers it
    x: Field  # (n, n) metres along the surface
    y: Field
    units: Field | None = None  # (4, n, n) centre and half size in metres of the board, tile or brick at each pixel
    to_picture: Field | None = None  # (3, 3) metres to picture fractions

    @property
    def n(self) -> int:
        return len(self.height)

    def tint(self, alpha: Field, rgb: tuple[float, float, float] | Field) -> None:
        """Paint `rgb` over the albedo with opacity `alpha`."""
        self.albedo += alpha[..., None] * (np.asarray(rgb, np.float32) - self.albedo)

    def absorb(self, density: Field, rgb: tuple[float, float, float]) -> None:
        """Let a pigment take light: Beer and Lambert's law, `rgb` its absorption."""
        self.albedo *= np.exp(-density[..., None] * np.asarray(rgb, np.float32))

    def picture(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Metres on the surface to picture fractions (u, v)."""
        m = self.to_picture
        w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        return (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / w + 0.5, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / w + 0.5

    def unit_at(self, u: float, v: float) -> Field:
        """Centre and half size (4,) of the unit under a point of the picture."""
        row, column = (int(np.clip(t * self.n, 0, self.n - 1)) for t in (v, u))
        return self.units[:, row, column]


def blank(n: int, view: View, rgb: tuple[float, float, float]) -> Canvas:
    """A flat, evenly lit surface of one colour."""
    u, v = grid(n)
    to_metres = _homography(view)
    px, py = u - 0.5, v - 0.5
    w = to_metres[2, 0] * px + to_metres[2, 1] * py + 1
    x = (to_metres[0, 0] * px + to_metres[0, 1] * py + to_metres[0, 2]) / w
    y = (to_metres[1, 0] * px + to_metres[1, 1] * py + to_metres[1, 2]) / w
    zeros = np.zeros((n, n), np.float32)
    return Canvas(
        albedo=np.broadcast_to(np.asarray(rgb, np.float32), (n, n, 3)).copy(),
        height=zeros.copy(),
        shade=zeros + 1,
        glow=np.zeros((n, n, 3), np.float32),
        clear=zeros + 1,
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        to_picture=np.linalg.inv(to_metres),
    )


def _homography(view: View) -> Field:
    """Centred picture fractions to metres (3, 3)."""
    c, s = view.span * np.cos(view.angle), view.span * np.sin(view.angle)
    tilt = np.array([*view.tilt, 1.0])
    rows = np.array([[c, -s, 0.0], [s, c, 0.0]]) + np.outer(view.offset, tilt)
    return np.vstack([rows, tilt])
