"""`--plan auto:quality=0.98`: plans that cost less than ddim:20, searched on the checkpoint's own prompts.

A walk of 50 steps is what every plan is measured against, on the same noise. Plans are proposed by dynamic programming
over its errors, for a ladder of costs, and the nearest of each rung are measured on pairs that the search has not seen.
Moving their timesteps, whole steps and guided intervals by one or two places brought at most 0.3 % on a trained
checkpoint, so that is left out. Three plans come out:

best        the cheapest that ends as near to the 50 steps as ddim:20 does
balanced    the cheapest whose masks agree with theirs `quality` times as well as those of ddim:20
fast        the nearest whose steps cost at most 0.105 of ddim:20's

The same checkpoint, prompts and quality give the same plans: nothing depends on time.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wetgen.export import reference
from wetgen.export.search.measure import JudgeOf, Loss, Pictures, decode_flops, loss_of, quality
from wetgen.export.search.plans import Form, Named, Network
from wetgen.export.search.spacing import MENDED, Proposals, Trajectory, errors_of, weights_of
from wetgen.export.search.trajectories import Distance, Walks
from wetgen.export.tokens import padded
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.errors import Say, WetgenError
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.schedule import SOLVERS

LONG = 50  # steps of the walk that plans are measured against
YARDSTICK = 20  # steps of the plan that costs and losses are relative to
PAIRS = 8  # that are searched on, and as many others that are measured on
# Costs of the steps that plans are searched for, relative to the yardstick's.
LADDER = (0.105, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.85)
FASTEST = LADDER[0]
QUALITY = 0.98  # where none is asked for

_AUTO = re.compile(r"auto(?::quality=(0\.\d+|1(?:\.0*)?))?")


def quality_asked(spec: str) -> float | None:
    """The quality that an `auto` plan asks for; None for a plan of another form."""
    if spec.partition(":")[0] != "auto":
        return None
    match = _AUTO.fullmatch(spec)
    least_quality = QUALITY if match is None or match[1] is None else float(match[1])
    if match is None or least_quality <= 0:
        raise WetgenError(
            f"'{spec}' is no plan.",
            why="a search is asked for as auto, or auto:quality=Q with Q above 0 and up to 1.",
            fix="write, for example, --plan auto:quality=0.98.",
        )
    return least_quality


@dataclass(frozen=True)
class PlanSearch:
    """What is searched for: a quality, for the network and its prompts, at a guidance scale."""

    checkpoint: Checkpoint
    network: Network
    prompts: Sequence[str]
    guidance: float
    quality: float
    judge: Path | None = None


def search(job: PlanSearch, say: Say) -> list[Named]:
    """The plans best, balanced and fast with what was measured; one network is in memory at a time."""
    prompts = list(job.prompts)[:PAIRS]
    texts = _texts(job.checkpoint, prompts)
    sizes, schedule = job.checkpoint.sizes, job.checkpoint.schedule
    grid, others = schedule.timesteps(LONG), schedule.timesteps(YARDSTICK)
    walks = Walks(job.checkpoint.unet, sizes, schedule, job.network, grid, texts, job.guidance, others)
    candidates = [Candidate(form, walks.cost(form)) for form in _candidates(walks, say)]
    say(f"drawing {PAIRS} other pairs with {len(candidates)} plans")
    fresh = range(PAIRS, 2 * PAIRS)
    latents = [walks.walk(form, fresh) for form in (Form(LONG), *(one.form for one in candidates))]
    step_flops = walks.flops
    job.checkpoint.release("unet")
    del walks
    shown = [prompts[pair % len(prompts)] for pair in fresh]
    judge = None if job.judge is None else JudgeOf(job.judge, job.checkpoint.classes, (sizes.height, sizes.width))
    vae = job.checkpoint.vae
    losses = _losses(vae, latents, shown, judge)
    share = decode_flops(vae, latents[0][:1]) / step_flops  # of decoding, in guided whole steps
    job.checkpoint.release("vae")
    return chosen(job.quality, candidates, losses, share)


@dataclass(frozen=True)
class Candidate:
    """A plan, and what its steps cost in guided whole steps."""

    form: Form
    cost: float


def _texts(checkpoint: Checkpoint, prompts: Sequence[str]) -> NDArray[np.float32]:
    """The embeddings (1 + N, T, W) of the empty prompt and of all others."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        padded(checkpoint.tokenizer, checkpoint.folder, checkpoint.sizes.tokens).save(str(file))
        ids = PromptTokenizer(file, checkpoint.sizes.tokens).encode(["", *prompts], truncate=True)
    texts = reference.embeddings(checkpoint.text_encoder, ids)
    checkpoint.release("text_encoder")
    return texts


def _candidates(walks: Walks, say: Say) -> list[Form]:
    """The yardstick first, then for every rung of the ladder the nearest plan that was found."""
    say(f"walking {LONG} steps with {PAIRS} pairs, to measure shorter plans against")
    pairs = range(PAIRS)
    trajectory = Trajectory.of(walks, pairs)
    yardstick = Form(YARDSTICK)
    full = walks.cost(yardstick)
    errors = errors_of(trajectory)
    proposals = [Proposals(walks, errors.weighted(weights_of(walks, q)), LADDER[-1] * full) for q in MENDED]

    def distance(form: Form) -> float:
        return Distance.between(walks.walk(form, pairs), trajectory.last).relative

    found = [yardstick]
    for rung in LADDER:
        proposed = [*(one.at(rung * full) for one in proposals), _even(rung * full, walks)]
        forms = [replace(form, solver=solver) for form in proposed if form is not None for solver in SOLVERS]
        nearest = min(forms, key=distance, default=None)
        if nearest is not None:
            found.append(nearest)
            say(f"  {walks.cost(nearest) / full:.2f} of the cost: distance {distance(nearest):.4f}  {nearest}")
    return found


def _even(cost: float, walks: Walks) -> Form | None:
    """As many evenly spaced whole steps, guided where the network can be, as cost no more."""
    steps = int(cost / walks.cost(Form(1)) + 1e-9)
    if steps < 1:
        return None
    last = len(walks.grid)
    places = sorted({round(number * last / steps) for number in range(steps)})
    return Form(len(places), tuple(walks.grid[place] for place in places))


def _losses(vae: Any, latents: Sequence[Tensor], prompts: Sequence[str], judge: JudgeOf | None) -> list[Loss]:
    """Of the long walk itself, then of every candidate."""
    wanted = Pictures.of(vae, latents[0])
    losses = []
    for found in latents:
        pictures = wanted if found is latents[0] else Pictures.of(vae, found)
        score = None if judge is None else judge.score(prompts, pictures)
        losses.append(loss_of(found, pictures, latents[0], wanted, score))
    return losses


def chosen(least_quality: float, candidates: Sequence[Candidate], losses: Sequence[Loss], decode: float) -> list[Named]:
    """The three plans among candidates, the yardstick being the first; `losses` has the long walk's before theirs.

    `decode` is what decoding costs in guided whole steps.
    """
    long, yardstick, *_ = losses
    rated = list(zip(candidates, losses[1:], strict=True))
    full = candidates[0].cost

    def cheapest(good: Callable[[Loss], bool]) -> tuple[Candidate, Loss]:
        return min((one for one in rated if good(one[1])), key=lambda one: (one[0].cost, one[1].latent_distance))

    best = cheapest(lambda loss: loss.latent_distance <= yardstick.latent_distance)
    balanced = cheapest(lambda loss: quality(loss, yardstick) >= least_quality)
    affordable = [one for one in rated if one[0].cost <= FASTEST * full + 1e-9]
    fast = min(affordable or rated, key=lambda one: one[1].latent_distance if affordable else one[0].cost)

    def named(name: str, one: tuple[Candidate, Loss]) -> Named:
        candidate, loss = one
        measured: dict[str, object] = {
            "cost_of_steps": round(candidate.cost / full, 3),
            "cost_of_a_pair": round((candidate.cost + decode) / (full + decode), 3),
            **loss.to_json(),
            "quality": round(quality(loss, yardstick), 4),
            "relative_to": {f"ddim:{YARDSTICK}": yardstick.to_json(), f"ddim:{LONG}": long.to_json()},
            "pairs": PAIRS,
        }
        return Named(name, candidate.form, measured)

    return [named("best", best), named("balanced", balanced), named("fast", fast)]
