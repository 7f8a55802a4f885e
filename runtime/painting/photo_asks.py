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
from wetgen.runtime.prompt_task import Part, PromptTask
from wetgen.runtime.prompts import resolve
from wetgen.runtime.schedule import Plan


class PhotoTask(PromptTask):
    """A task of asks of which some name a photograph, whose middle is taken at the pictures' size."""

    def drawn(self, part: Part, take: Take, *, judge: bool) -> Iterator[Pair]:
        if not part.photos:
            return super().drawn(part, take, judge=judge)
        plan = self.bundle.plan(part.plan)

        def sheets(named: Sequence[tuple[int, int]]) -> list[Sheet]:
            return [self._sheet(plan, index, attempt) for index, attempt in named]

        painter, batch = Painter(self.generator, plan), self.generator.batch
        return draw_painted(self.generator, painter, sheets, take, at_once=batch, judge=judge)

    def _sheet(self, plan: Plan, index: int, attempt: int) -> Sheet:
        ask, layout = self.asks[index], self.layout(index)
        assert ask.photo is not None and layout is not None  # the checks have seen to both
        path = resolve(ask.photo, self.source)
        image = cropped(read_image(path, ask.photo), self.pixels)
        background = Background(image, {"photo": ask.photo, "sha256": file_sha256(path), "cropped": True})
        seed, number = self.key(index)
        how = How(number, plan.name, self.guidance(ask), self.negative(ask))
        planned = of_mask(layout.mask, self.bundle, ask.text, ask.severity)
        return Sheet(index, attempt, seed, number, ask.text, how, background, planned)
