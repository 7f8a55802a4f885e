"""The one training loop, its state on disk and its journal; a stage says what a step is.

Everything random in a step comes from a generator seeded by (run seed, stage, step, process), so a resumed run repeats
an uninterrupted one and no generator state needs saving.
"""

import hashlib
import json
import math
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from wetgen.runtime.errors import WetgenError
from wetgen.training.config import Budget, TrainConfig

LINE_SECONDS = 30.0


@dataclass
class Progress:
    """Where a stage stands. Seconds, by the clock and of CPU time, count training only, over all resumes."""

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def save_state(
    path: Path,
    key: str,
    progress: Progress,
    networks: dict[str, nn.Module],
    optimisers: dict[str, Optimizer],
    average: EMAModel,
) -> None:
    """Write the state under a temporary name, then put it in place: a kill leaves the old state or the new one."""
    tensors = {f"network/{name}/{k}": v for name, net in networks.items() for k, v in net.state_dict().items()}
    for name, optimiser in optimisers.items():
        for number, slots in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{name}/{number}/{slot}": value for slot, value in slots.items()}
    tensors |= {f"average/{number}": value for number, value in enumerate(average.shadow_params)}
    note = {**asdict(progress), "average_step": average.optimization_step}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(
        {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
        part,
        {"key": key, "note": json.dumps(note)},
    )
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def load_state(
    path: Path, key: str, networks: dict[str, nn.Module], optimisers: dict[str, Optimizer], average: EMAModel
) -> Progress:
    """Take up a saved state, in place; raises WetgenError when it belongs to another configuration."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        if metadata["key"] != key:
            raise WetgenError(
                f"{path} was trained with another configuration or other data.",
                why="resuming would mix the two.",
                fix="resume with the config and data of that run, or choose another --out.",
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
    for name, network in networks.items():
        network.load_state_dict(_under(tensors, f"network/{name}/"))
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict({**optimiser.state_dict(), "state": _slots(_under(tensors, f"optimiser/{name}/"))})
    note = json.loads(metadata["note"])
    average.optimization_step = note.pop("average_step")
    for number, shadow in enumerate(average.shadow_params):
        shadow.copy_(tensors[f"average/{number}"])
    return Progress(**note)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _slots(flat: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        number, slot = name.split("/")
        slots.setdefault(int(number), {})[slot] = value
    return slots


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters an optimiser and the average follow, in a fixed order."""
    return [p for p in network.parameters() if p.requires_grad]


@torch.no_grad()
def finite(values: dict[str, Tensor]) -> bool:
    """Whether every scalar is a number."""
    return all(bool(torch.isfinite(value)) for value in values.values())


class Journal:
    """Writes only in the main process; the others get one with folder = None."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.board = None if folder is None else SummaryWriter(str(folder / "tensorboard"))

    def scalars(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Record numbers of a step."""
        if self.folder is None or self.board is None:
            return
        row = {
            "time": round(time.time(), 1),
            "stage": stage,
            "step": step,
            **{k: round(v, 6) for k, v in values.items()},
        }
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in values.items():
            self.board.add_scalar(f"{stage}/{name}", value, step)

    def line(self, text: str) -> None:
        """A line that reads the same on a terminal and in a log file."""
        if self.folder is not None:
            print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def sheet(self, stage: str, step: int, picture: Image.Image) -> None:
        """Keep a picture of what the stage makes now."""
        if self.folder is None or self.board is None:
            return
        path = self.folder / "sheets" / f"{stage}-{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
        self.board.add_image(stage, np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


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

    def sheet(self) -> Image.Image | None:
        """A picture of what it makes, with the weights as they are; None where there is nothing to see."""
        return None


def train(stage: Stage, config: TrainConfig, accelerator: Accelerator, journal: Journal, path: Path, key: str) -> None:
    """Train a stage to the end of its budget, from its state at `path` if there is one.

    Leaves the averaged weights in the stage's network.
    """
    average = EMAModel(trainable(stage.averaged), decay=config.ema)
    average.to(accelerator.device)
    raw = {name: accelerator.unwrap_model(network) for name, network in stage.networks.items()}
    progress = Progress()
    if path.is_file():
        progress = load_state(path, key, raw, stage.optimisers, average)
        journal.line(f"{stage.name}: resumed at step {progress.step}, after {progress.seconds / 60:.1f} min")
    saving = _Saving(path, key, progress, raw, stage.optimisers, average, accelerator.is_main_process)
    with _Interruption() as interruption:
        _spend_budget(stage, config, accelerator, journal, saving, interruption)
    saving.save()
    if interruption.noted:
        journal.line(f"{stage.name}: stopped at step {progress.step}; its state is {path}. Go on with --resume.")
        raise KeyboardInterrupt
    if accelerator.is_main_process:
        _look(stage, journal, progress, average)
    accelerator.wait_for_everyone()
    average.copy_to(trainable(stage.averaged))
    journal.line(f"{stage.name}: done, {progress.step} steps in {progress.seconds / 60:.1f} min")


@dataclass(frozen=True)
class _Saving:
    """What a stage's state is made of, and where it goes."""

    path: Path
    key: str
    progress: Progress
    networks: dict[str, nn.Module]
    optimisers: dict[str, Optimizer]
    average: EMAModel
    main_process: bool

    def save(self) -> None:
        if self.main_process:
            save_state(self.path, self.key, self.progress, self.networks, self.optimisers, self.average)


def _spend_budget(
    stage: Stage,
    config: TrainConfig,
    accelerator: Accelerator,
    journal: Journal,
    saving: _Saving,
    interruption: "_Interruption",
) -> None:
    progress = saving.progress
    watch = _Watch(config, progress.seconds)
    while (share := _share(stage.budget, progress)) < 1 and not interruption.noted:
        started, worked = time.monotonic(), time.process_time()
        rate = stage.learning_rate * _rate(progress.step, share, config.warmup)
        _set_rate(stage.optimisers, rate)
        scalars = stage.step(_generator(config.seed, stage.name, progress.step, accelerator.process_index), share)
        progress.step += 1
        if not finite(scalars):
            raise _not_finite(stage.name, progress.step, scalars, saving.path)
        saving.average.step(trainable(stage.averaged))
        progress.seconds += time.monotonic() - started
        progress.cpu_seconds += time.process_time() - worked
        watch.count(scalars)
        if watch.line_due(progress):
            _report(stage, journal, progress, watch, rate)
        if watch.state_due(progress):
            saving.save()
        if watch.sheet_due(progress) and accelerator.is_main_process:
            _look(stage, journal, progress, saving.average)


class _Interruption:
    """Ctrl-C ends a stage after the step under way, so that its state is that of whole steps; a second one at once."""

    def __init__(self) -> None:
        self.noted = False

    def __enter__(self) -> "_Interruption":
        self._before = signal.getsignal(signal.SIGINT)
        self._ours = (
            self._before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
        )
        if self._ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: object) -> None:
        if self.noted:
            raise KeyboardInterrupt
        self.noted = True

    def __exit__(self, *error: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)


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

    def line_due(self, progress: Progress) -> bool:
        return progress.seconds - self.line_at >= LINE_SECONDS

    def state_due(self, progress: Progress) -> bool:
        due = progress.seconds - self.state_at >= self.state_seconds
        if due:
            self.state_at = progress.seconds
        return due

    def sheet_due(self, progress: Progress) -> bool:
        due = progress.seconds - self.sheet_at >= self.sheet_seconds
        if due:
            self.sheet_at = progress.seconds
        return due


def _report(stage: Stage, journal: Journal, progress: Progress, watch: _Watch, rate: float) -> None:
    per_second = watch.steps * stage.samples_per_step / (progress.seconds - watch.line_at)
    watch.line_at = progress.seconds
    means = watch.means()
    spent = {"learning_rate": rate, "samples_per_second": per_second, "cpu_seconds": progress.cpu_seconds}
    journal.scalars(stage.name, progress.step, {**means, **spent})
    share = _share(stage.budget, progress)
    left = progress.seconds * (1 - share) / max(share, 1e-9) / 60
    shown = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
    pace = f"{per_second:.1f} samples/s  about {left:.0f} min left"
    journal.line(f"{stage.name} step {progress.step} ({share:.0%})  {shown}  {pace}")


def _look(stage: Stage, journal: Journal, progress: Progress, average: EMAModel) -> None:
    """Validate and draw with the averaged weights, then put the trained ones back."""
    parameters = trainable(stage.averaged)
    average.store(parameters)
    average.copy_to(parameters)
    figures = stage.validate()
    journal.scalars(f"{stage.name}-validation", progress.step, figures)
    journal.line(f"{stage.name} validation  " + "  ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    picture = stage.sheet()
    if picture is not None:
        journal.sheet(stage.name, progress.step, picture)
    average.restore(parameters)


def _share(budget: Budget, progress: Progress) -> float:
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
