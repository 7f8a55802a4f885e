"""A bundle: the folder that export writes and the runtime runs, or that folder packed into one file.

Everything is verified before it is loaded. bundle.json (format 3) holds the class table, the sizes, the tensors of each
graph, the graph files of each target with their precision and measurements, the plans, the sha256 and size of every
file, and what the bundle was made by and trained on. Format 2 is read too; in it every step is guided. A bundle may
also hold a judge, which looks at its pictures, and fingerprints of its training pictures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wetgen.runtime.bundle.archive import exists, file_sha256, read_stored
from wetgen.runtime.bundle.graphs import JUDGE, Graph, Sizes, graphs_of
from wetgen.runtime.bundle.manifest import JSON_NAME, TargetGraphs, check_files, inside, named_files, read_targets
from wetgen.runtime.bundle.schedule import GUIDED, Plan, Step, StepKind, alphas_after, kinds_of
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks import statistics
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.statistics import ClassStatistics

FORMAT = 3
READ_FORMATS = (2, 3)
TOKENIZER_NAME = "tokenizer.json"
SHIPPED = Path(__file__).parents[1] / "bundles" / "default"  # the bundle inside the package


@dataclass(frozen=True)
class FingerprintFile:
    """The fingerprints of a bundle's training pictures, and the most bits in which a copy of one differs."""

    path: Path
    kind: str
    count: int
    most_bits: int


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. For a packed bundle `folder` is its file, and paths below it work as in a folder.

    `info` is all of bundle.json, for people and reports.

    `guidance_range` holds the scales that a denoiser with distilled guidance learnt; None allows any.

    `judge_knows` names the classes that its judge can tell apart; it is empty without a judge.

    `mask_statistics` says how each class looks in the training masks; older bundles have none.
    """

    folder: Path
    sizes: Sizes
    classes: ClassTable | None
    words: Mapping[str, tuple[str, ...]]
    plans: Mapping[str, Plan]
    default_plan: str
    default_guidance: float
    guidance_range: tuple[float, float] | None
    targets: Mapping[str, TargetGraphs]
    judge_knows: tuple[str, ...]
    fingerprints: FingerprintFile | None
    mask_statistics: Mapping[str, ClassStatistics]
    info: Mapping[str, Any]

    @property
    def has_judge(self) -> bool:
        return JUDGE in self.info["graphs"]

    @property
    def kinds(self) -> tuple[StepKind, ...]:
        """The kinds of steps in its plans; there is a graph for each."""
        return kinds_of(self.plans.values())

    @property
    def graphs(self) -> dict[str, Graph]:
        """The declarations of its graphs, by name."""
        return graphs_of(self.sizes, kinds=self.kinds, judge=self.has_judge)

    def alphas_after(self, plan: Plan) -> list[float]:
        """alpha-bar of the latent after each step of a plan; raises WetgenError if the bundle does not state it."""
        try:
            stated = self.info["schedule"]
            table = np.array(stated["alphas_cumprod"], np.float64)
            return alphas_after(plan, table, ends_clean=bool(stated["ends_clean"]))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise WetgenError(
                f"{self.folder} does not state its noise schedule.",
                why=f"bundle.json lacks what painting into a photograph needs of it ({error}).",
                fix="export the bundle again with the installed wetgen-export.",
            ) from error

    @property
    def tokenizer_file(self) -> Path:
        return self.folder / TOKENIZER_NAME

    @property
    def hash(self) -> str:
        """sha256 of bundle.json, which holds the hash of every other file."""
        return file_sha256(self.folder / JSON_NAME)

    def plan(self, name: str | None) -> Plan:
        """The plan of that name, or the default one for None."""
        name = self.default_plan if name is None else name
        if name not in self.plans:
            raise WetgenError(
                f"The bundle has no plan '{name}'.",
                why=f"{self.folder} has {', '.join(self.plans)}.",
                fix="choose one of those with --plan, or export the bundle again with this plan added.",
            )
        return self.plans[name]

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read and verify a bundle: its format, its declarations, and the size and hash of every file."""
        info = _read_json(folder)
        try:
            sizes = Sizes(**info["sizes"])
            classes = None if info["classes"] is None else ClassTable.from_json(info["classes"])
            bundle = cls(
                folder=folder,
                sizes=sizes,
                classes=classes,
                words={name: tuple(words) for name, words in info["words"].items()},
                plans=_plans(info["plans"]),
                default_plan=info["default_plan"],
                default_guidance=float(info["default_guidance"]),
                guidance_range=_range(info["guidance_range"]) if "guidance_range" in info else None,
                targets=read_targets(folder, info),
                judge_knows=tuple(info["judge"]["classes"]) if JUDGE in info["graphs"] else (),
                fingerprints=_fingerprint_file(folder, info["fingerprints"]) if "fingerprints" in info else None,
                mask_statistics=statistics.from_json(info.get("mask_statistics", {}), classes),
                info=info,
            )
            listed = {name: (int(file["bytes"]), str(file["sha256"])) for name, file in info["files"].items()}
            needed = [TOKENIZER_NAME, *named_files(info)]
            needed += [info["fingerprints"]["file"]] if "fingerprints" in info else []
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WetgenError(
                f"{folder / JSON_NAME} is not a bundle description.",
                why=f"{type(error).__name__}: {error}.",
                fix="export the bundle again with wetgen-export.",
            ) from error
        _check_declarations(bundle)
        check_files(folder, listed, needed)
        return bundle


def plan_to_json(plan: Plan, **more: object) -> dict[str, object]:
    """A plan as stored in bundle.json, with `more` entries: its short form, its measurements."""
    return {**more, "first_row": plan.first_row, "steps": [step.to_json() for step in plan.steps]}


def declarations(sizes: Sizes, *, kinds: Sequence[StepKind] = (GUIDED,), judge: bool = False) -> dict[str, object]:
    """The "graphs" entry of bundle.json: the tensors of each graph, the same for every target."""
    return {name: graph.to_json() for name, graph in graphs_of(sizes, kinds=kinds, judge=judge).items()}


def sizes_to_json(sizes: Sizes) -> dict[str, int]:
    return asdict(sizes)


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / JSON_NAME
    if not exists(path):
        raise WetgenError(
            f"{folder} is not a bundle.",
            why=f"it has no {JSON_NAME}.",
            fix="give the folder that wetgen-export wrote, or the file of `wetgen pack`, or leave out --bundle for the "
            "one that ships.",
        )
    try:
        info = json.loads(read_stored(path))
    except ValueError as error:
        raise WetgenError(f"{path} cannot be read.", why=f"{error}.", fix="copy or export the bundle again.") from error
    found = info.get("format") if isinstance(info, dict) else None
    if found not in READ_FORMATS:
        raise WetgenError(
            f"{folder} is a bundle of format {found}.",
            why=f"this wetgen reads the formats {' and '.join(map(str, READ_FORMATS))}.",
            fix="export it again with the installed wetgen-export, or install the wetgen that made it.",
        )
    return dict(info)


def _plans(data: Mapping[str, Any]) -> dict[str, Plan]:
    return {
        name: Plan(name, int(plan["first_row"]), tuple(map(Step.from_json, plan["steps"])))
        for name, plan in data.items()
    }


def _range(data: Sequence[float]) -> tuple[float, float]:
    least, greatest = data
    return float(least), float(greatest)


def _fingerprint_file(folder: Path, data: Mapping[str, Any]) -> FingerprintFile:
    path = folder / inside(folder, data["file"])
    return FingerprintFile(path, str(data["kind"]), int(data["count"]), int(data["most_bits"]))


_CHANGED = "bundle.json was changed, or another version of wetgen wrote it."
_EXPORT = "export the bundle again with the installed wetgen-export."


def _check_declarations(bundle: Bundle) -> None:
    """Raise unless the declared tensors are those this runtime feeds, and everything that is named exists."""
    names = () if bundle.classes is None else bundle.classes.names
    missing = {name: sorted(set(bundle.graphs) - set(held.files)) for name, held in bundle.targets.items()}
    knows, words, damages = (", ".join(each) or "none" for each in (bundle.judge_knows, bundle.words, names[1:]))
    checks = [  # whether it holds; what is wrong, why, and the fix
        *(
            (
                bundle.info["graphs"].get(name) == json.loads(json.dumps(graph.to_json())),
                f"Graph '{name}' of {bundle.folder} does not have the tensors its sizes call for.",
                _CHANGED,
                _EXPORT,
            )
            for name, graph in bundle.graphs.items()
        ),
        *(
            (not graphs, f"{bundle.folder} lacks the graphs {', '.join(graphs)} for {target}.", _CHANGED, _EXPORT)
            for target, graphs in missing.items()
        ),
        (
            bool(bundle.targets),
            f"{bundle.folder} holds no graphs.",
            "it names no target.",
            "export it again with --target cpu.",
        ),
        (
            len(names) == bundle.sizes.classes and set(bundle.words) <= set(names),
            f"The class table of {bundle.folder} does not fit the rest of the bundle.",
            f"its classes are {', '.join(names) or 'none'}; its networks have {bundle.sizes.classes} classes, "
            f"and it has words for {words}.",
            _EXPORT,
        ),
        (
            not bundle.has_judge or (bool(bundle.judge_knows) and set(bundle.judge_knows) <= set(names[1:])),
            f"The judge of {bundle.folder} does not fit the rest of the bundle.",
            f"it knows {knows}; the masks have {damages}.",
            "add the judge again, to a bundle that draws masks.",
        ),
    ]
    for holds, what, why, fix in checks:
        if not holds:
            raise WetgenError(what, why=why, fix=fix)
    bundle.plan(None)


def check_layouts(bundle: Bundle) -> None:
    """Raise WetgenError for a bundle that takes no masks."""
    if bundle.classes is None or not bundle.sizes.conditioning_channels:
        raise WetgenError(
            "This bundle takes no layouts.",
            why=f"the denoiser in {bundle.folder} has no input for a mask.",
            fix="use a bundle that draws masks, trained by wetgen-train.",
        )


def open_bundle(folder: Path | str | None) -> Bundle:
    """The verified bundle in a folder; None means the one inside the package."""
    if folder is None and not SHIPPED.is_dir():
        raise WetgenError(
            "This installation of wetgen has no bundle.",
            why=f"{SHIPPED} does not exist.",
            fix="give a folder that wetgen-export wrote with --bundle, or install a released wheel.",
        )
    return Bundle.open(SHIPPED if folder is None else Path(folder))
