"""The state of a stage under training, in one safetensors file: networks, optimisers, averaged weights, counters."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from wetgen.runtime.errors import WetgenError


@dataclass
class Progress:
    """Where a stage stands; `seconds` counts training only, over all resumes."""

    step: int = 0
    seconds: float = 0.0


def save(
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


def load(
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
