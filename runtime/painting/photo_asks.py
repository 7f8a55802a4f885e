"""Asks of a prompts file that name a photograph: their damage is painted into it, at the size of the run's pictures."""

from collections.abc import Iterator, Sequence

from wetgen.runtime.bundle_files import file_sha256
from wetgen.runtime.generator import Take
from wetgen.runtime.painting.backgrounds import Background, cropped
from wetgen.runtime.painting.damages import of_mask
from wetgen.runtime.painting.loop import draw_painted
from wetgen.runtime.painting.paint import Sheet
from wetgen.runtime.painting.painter import Painter
from wetgen.runtime.pair import How, Pair
from wetgen.runtime.pictures import read_image
from wetgen.runtime.prompt_task import PromptTask
from wetgen.runtime.prompts import resolve
from wetgen.runtime.schedule import Plan


def draw_into_photos(task: PromptTask, plan: Plan, take: Take, *, judge: bool) -> Iterator[Pair]:
    """Yield the pairs that `take` names, of asks with a photograph, whose middle is taken at the pictures' size."""
    painter = Painter(task.generator, plan)

    def sheets(named: Sequence[tuple[int, int]]) -> list[Sheet]:
        return [_sheet(task, plan, index, attempt) for index, attempt in named]

    yield from draw_painted(task.generator, painter, sheets, take, at_once=task.generator.batch, judge=judge)


def _sheet(task: PromptTask, plan: Plan, index: int, attempt: int) -> Sheet:
    ask, layout = task.asks[index], task.layout(index)
    assert ask.photo is not None and layout is not None  # the task's checks have seen to both
    path = resolve(ask.photo, task.source)
    image = cropped(read_image(path, ask.photo), task.pixels)
    background = Background(image, {"photo": ask.photo, "sha256": file_sha256(path), "cropped": True})
    seed, number = task.key(index)
    how = How(number, plan.name, task.guidance(ask), task.negative(ask))
    planned = of_mask(layout.mask, task.bundle, ask.text, ask.severity)
    return Sheet(index, attempt, seed, number, ask.text, how, background, planned)
