"""What a row says of how its pair was drawn, read back.

Rows are somebody's files: what does not fit raises KeyError, TypeError or ValueError, or WetgenError with its words.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle_files import file_sha256
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.generator import Generator
from wetgen.runtime.painting.backgrounds import Background, cropped
from wetgen.runtime.painting.damages import Planned
from wetgen.runtime.painting.loop import draw_painted
from wetgen.runtime.painting.paint import Sheet
from wetgen.runtime.painting.painter import Damage, Painter
from wetgen.runtime.pair import How, Pair
from wetgen.runtime.pictures import Pixels, read_image
from wetgen.runtime.placing.boxes import Box
from wetgen.runtime.schedule import Plan
from wetgen.runtime.stated import mask_of, region_of
from wetgen.runtime.wanted import Wanted, layout_of, undamaged

Row = Mapping[str, Any]


def drawn_pair(generator: Generator, row: Row, plan: Plan) -> Pair:
    """The pair of a row that was drawn from its prompt, and a layout if it had one."""
    cells = generator.cells(_size(row))
    index, attempt = int(row["index"]), int(row["try"])
    layout = None
    if "layout" in row:
        assert generator.bundle.classes is not None  # a bundle that took a layout has some
        layout = layout_of(mask_of(row["layout"], generator.bundle.classes, f"Row {index}"), generator.bundle.sizes)
    wanted = Wanted(
        str(row["text"]),
        int(row["seed"]),
        int(row.get("number", index)),
        float(row["guidance"]),
        str(row["negative"]),
        attempt,
        layout,
        size=cells,
    )
    named = iter([(index, attempt)])
    return next(generator.draw_wanted(lambda *_: wanted, lambda _: list(named), plan, cells=cells))


def painted_pair(generator: Generator, row: Row, plan: Plan, photos: Path | None) -> Pair:
    """The pair of a row that was painted, into a photograph of `photos` or into a surface that is drawn again."""
    how = How(int(row.get("number", row["index"])), plan.name, float(row["guidance"]), str(row["negative"]))
    sheet = Sheet(
        int(row["index"]),
        int(row["try"]),
        int(row["seed"]),
        how.number,
        str(row["text"]),
        how,
        Background(_background(generator, row, plan, photos), row["background"]),
        list(_planned(generator, row)),
    )
    painter, named = Painter(generator, plan, detail=int(row["detail"])), iter([(sheet.index, sheet.attempt)])
    return next(draw_painted(generator, painter, lambda _: [sheet], lambda _: list(named), at_once=1, judge=False))


def _planned(generator: Generator, row: Row) -> Iterator[Planned]:
    table, where = generator.bundle.classes, f"Row {row['index']}"
    assert table is not None
    for stated in row["painted"]:
        region = region_of(stated["where"], where) if "where" in stated else None
        damage = Damage(str(stated["prompt"]), Box(*stated["box"]), mask_of(stated["mask"], table, where), region)
        yield Planned(damage, str(stated["class"]), stated.get("severity"))


def _background(generator: Generator, row: Row, plan: Plan, photos: Path | None) -> Pixels:
    said, sizes = row["background"], generator.bundle.sizes
    cells = generator.cells(_size(row))
    if "photo" in said:
        image = read_image(_photograph(said, photos))
        return cropped(image, sizes.pixels(cells)) if said.get("cropped") else image
    wanted = Wanted(
        str(said["prompt"]),
        int(said["seed"]),
        int(said["number"]),
        float(said["guidance"]),
        str(said["negative"]),
        int(said["try"]),
        undamaged(sizes, cells),
        size=cells,
    )
    canvas = generator.canvas(plan)
    return canvas.decode(canvas.draw([wanted], plan))[0].image


def _photograph(said: Row, photos: Path | None) -> Path:
    """Where the photograph of a row lies now, if it is still the same."""
    name = str(said["photo"])
    path = Path(name) if photos is None else photos / name
    if not path.is_file():
        raise WetgenError(
            f"The photograph {name} is needed to make this pair again.",
            why=f"{path} is not there.",
            fix="say with --photos which folder it lies in.",
        )
    if file_sha256(path) != said["sha256"]:
        raise WetgenError(
            f"{path} is not the photograph that was painted in.",
            why="its hash is another than the row's.",
            fix="say with --photos where the one lies that was.",
        )
    return path


def _size(row: Row) -> tuple[int, int] | None:
    if "size" not in row:
        return None
    width, height = row["size"]
    return int(width), int(height)
