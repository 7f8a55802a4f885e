"""The one training loop; a stage says what a step is.

Everything random in a step comes from a generator seeded by (run seed, stage, step, process), so a resumed run repeats
an uninterrupted one and no generator state needs saving.
"""

import hashlib
import math
import time
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from wetgen.runtime.errors import WetgenError
from wetgen.training import state
from wetgen.training.config import Budget, TrainConfig
from wetgen.training.journal import Journal

LINE_SECONDS = 30.0


class Stage(ABC):
    """A network to train: what a step does, how good it is, what it draws."""

    name: str
    budget: Budget
    learning_rate: float
    networks: dict[str, nn.Module]
    averaged: nn.Module
    """The one of `networks` whose moving average is kept."""
    optimisers: dict[str, Optimizer]
    samples_per_step: int

    @abstractmethod
    def step(self, generator: torch.Generator, share: float) -> dict[str, Tensor]:
        """Train on one batch and return its scalars; `share` of the budget is spent."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures on the validation scenes, with the weights as they are."""

    @abstractmethod
    def sheet(self) -> Image.Image:
        """A picture of what it makes, with the weights as they are."""


def train(stage: Stage, config: TrainConfig, accelerator: Accelerator, journal: Journal, path: Path, key: str) -> None:
    """Train a stage to the end of its budget, from its state at `path` if there is one.

    Leaves the averaged weights in the stage's network.
    """
    average = EMAModel(state.trainable(stage.averaged), decay=config.ema)
    average.to(accelerator.device)
    raw = {name: accelerator.unwrap_model(network) for name, network in stage.networks.items()}
    progress = state.Progress()
    if path.is_file():
        progress = state.load(path, key, raw, stage.optimisers, average)
        journal.line(f"{stage.name}: resumed at step {progress.step}, after {progress.seconds / 60:.1f} min")
    watch = _Watch(config, progress.seconds)
    while (share := _share(stage.budget, progress)) < 1:
        started = time.monotonic()
        rate = stage.learning_rate * _rate(progress.step, share, config.warmup)
        _set_rate(stage.optimisers, rate)
        scalars = stage.step(_generator(config.seed, stage.name, progress.step, accelerator.process_index), share)
        progress.step += 1
        if not state.finite(scalars):
            raise _not_finite(stage.name, progress.step, scalars, path)
        average.step(state.trainable(stage.averaged))
        progress.seconds += time.monotonic() - started
        watch.count(scalars)
        if watch.line_due(progress):
            _report(stage, journal, progress, watch, rate)
        if watch.state_due(progress) and accelerator.is_main_process:
            state.save(path, key, progress, raw, stage.optimisers, average)
        if watch.sheet_due(progress) and accelerator.is_main_process:
            _look(stage, journal, progress, average)
    if accelerator.is_main_process:
        state.save(path, key, progress, raw, stage.optimisers, average)
        _look(stage, journal, progress, average)
    accelerator.wait_for_everyone()
    average.copy_to(state.trainable(stage.averaged))
    journal.line(f"{stage.name}: done, {progress.step} steps in {progress.seconds / 60:.1f} min")


class _Watch:
    """When to speak, to save and to draw; the mean of what was counted since the last line."""

    def __init__(self, config: TrainConfig, seconds: float) -> None:
        self.state_seconds, self.sheet_seconds = 60 * config.state_minutes, 60 * config.sheet_minutes
        self.line_at, self.state_at, self.sheet_at = seconds, seconds, seconds
        self.sums: dict[str, float] = {}
        self.steps = 0

    def count(self, scalars: dict[str, Tensor]) -> None:
        self.steps += 1
        for name, value in scalars.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)

    def means(self) -> dict[str, float]:
        means = {name: total / self.steps for name, total in self.sums.items()}
        self.sums, self.steps = {}, 0
        return means

    def line_due(self, progress: state.Progress) -> bool:
        return progress.seconds - self.line_at >= LINE_SECONDS

    def state_due(self, progress: state.Progress) -> bool:
        due = progress.seconds - self.state_at >= self.state_seconds
        if due:
            self.state_at = progress.seconds
        return due

    def sheet_due(self, progress: state.Progress) -> bool:
        due = progress.seconds - self.sheet_at >= self.sheet_seconds
        if due:
            self.sheet_at = progress.seconds
        return due


def _report(stage: Stage, journal: Journal, progress: state.Progress, watch: _Watch, rate: float) -> None:
    per_second = watch.steps * stage.samples_per_step / (progress.seconds - watch.line_at)
    watch.line_at = progress.seconds
    means = watch.means()
    journal.scalars(stage.name, progress.step, {**means, "learning_rate": rate, "samples_per_second": per_second})
    share = _share(stage.budget, progress)
    left = progress.seconds * (1 - share) / max(share, 1e-9) / 60
    shown = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
    pace = f"{per_second:.1f} samples/s  about {left:.0f} min left"
    journal.line(f"{stage.name} step {progress.step} ({share:.0%})  {shown}  {pace}")


def _look(stage: Stage, journal: Journal, progress: state.Progress, average: EMAModel) -> None:
    """Validate and draw with the averaged weights, then put the trained ones back."""
    parameters = state.trainable(stage.averaged)
    average.store(parameters)
    average.copy_to(parameters)
    figures = stage.validate()
    journal.scalars(f"{stage.name}-validation", progress.step, figures)
    journal.line(f"{stage.name} validation  " + "  ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    journal.sheet(stage.name, progress.step, stage.sheet())
    average.restore(parameters)


def _share(budget: Budget, progress: state.Progress) -> float:
    return progress.step / budget.steps if budget.steps else progress.seconds / (60 * budget.minutes)


def _rate(step: int, share: float, warmup: int) -> float:
    """Linear warm-up, then a cosine to zero over the budget."""
    return min(1.0, (step + 1) / max(1, warmup)) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def _set_rate(optimisers: dict[str, Optimizer], rate: float) -> None:
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)


def _generator(seed: int, stage: str, step: int, process: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{stage}/{step}/{process}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _not_finite(stage: str, step: int, scalars: dict[str, Tensor], path: Path) -> WetgenError:
    values = ", ".join(f"{name} {float(value)}" for name, value in scalars.items())
    return WetgenError(
        f"{stage} diverged at step {step}.",
        why=f"its scalars there: {values}.",
        fix=f'lower the learning rate, or train in float32 (mixed_precision = "no"); the last good state is {path}.',
    )
