"""A bundle: the folder that export writes and the runtime runs, or that folder packed into one file.

Everything is verified before it is loaded. bundle.json (format 3) holds the class table, the sizes, the tensors of each
graph, the graph files of each target with their precision and measurements, the plans, the sha256 and size of every
file, and what the bundle was made by and trained on. Format 2 is read too; in it every step is guided. A bundle may
also hold a judge, which looks at its pictures, and fingerprints of its training pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle.archive import JSON_NAME, TOKENIZER_NAME, read_verified
from wetgen.runtime.bundle.graphs import (
    CHANGED,
    GUIDED,
    JUDGE,
    Graph,
    Plan,
    Sizes,
    StepKind,
    check_declared,
    graphs_of,
    kinds_of,
)
from wetgen.runtime.bundle.targets import TARGETS, Target
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassStatistics, ClassTable, statistics_from_json

FORMAT = 3
SHIPPED = Path(__file__).parents[1] / "bundles" / "default"  # the bundle inside the package


@dataclass(frozen=True)
class FingerprintFile:
    """The fingerprints of a bundle's training pictures, and the most bits in which a copy of one differs."""

    path: Path
    kind: str
    count: int
    most_bits: int


@dataclass(frozen=True)
class TargetGraphs:
    """The graphs of a bundle for one target.

    `files` has the ONNX file of every graph; `weights` the files of weights beside it, which graphs and targets may
    share (often none). `batches` are those that engines are built for, empty where any batch runs. `precision` is the
    entry of bundle.json on each graph's arithmetic: "compute" and "weights", and "islands" (path of a torch module to
    the reason) where parts stay float32.
    """

    target: Target
    batches: tuple[int, ...]
    files: Mapping[str, Path]
    weights: Mapping[str, tuple[Path, ...]]
    precision: Mapping[str, Mapping[str, Any]]

    def parts(self, graph: str) -> tuple[Path, ...]:
        """Every file of a graph: its ONNX file, then those of its weights."""
        return (self.files[graph], *self.weights[graph])


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. For a packed bundle `folder` is its file, and paths below it work as in a folder.

    `info` is all of bundle.json, for people and reports; `hash` its sha256, and it holds the hash of every other file.

    `graphs` are the declarations of its graphs, by name; there is a denoise graph for each kind of steps in its plans.

    `guidance_range` holds the scales that a denoiser with distilled guidance learnt; None allows any.

    `judge_knows` names the classes that its judge can tell apart; it is empty without a judge.

    `mask_statistics` says how each class looks in the training masks; older bundles have none.
    """

    folder: Path
    hash: str
    sizes: Sizes
    graphs: Mapping[str, Graph]
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
        return JUDGE in self.graphs

    @property
    def kinds(self) -> tuple[StepKind, ...]:
        """The kinds of steps in its plans."""
        return kinds_of(self.plans.values())

    def alphas_after(self, plan: Plan) -> list[float]:
        """alpha-bar of the latent after each step of a plan; raises WetgenError if the bundle does not state it.

        After the last step it is 1, or that of timestep 0 for a schedule that does not end clean.
        """
        try:
            stated = self.info["schedule"]
            table = [float(a) for a in stated["alphas_cumprod"]]
            return [*(table[step.timestep] for step in plan.steps[1:]), 1.0 if stated["ends_clean"] else table[0]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise WetgenError(
                f"{self.folder} does not state its noise schedule.",
                why=f"bundle.json lacks what painting into a photograph needs of it ({error}).",
                fix="export the bundle again with the installed wetgen-export.",
            ) from error

    @property
    def tokenizer_file(self) -> Path:
        return self.folder / TOKENIZER_NAME

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
        """Read and verify a bundle: the size and hash of every file, its format and its declarations."""
        try:
            info, sha256 = read_verified(folder)
            classes = None if info["classes"] is None else ClassTable.from_json(info["classes"])
            mask_statistics = statistics_from_json(info.get("mask_statistics", {}), classes)
            plans = {name: Plan.from_json(name, plan) for name, plan in info["plans"].items()}
            sizes, judge = Sizes(**info["sizes"]), JUDGE in info["graphs"]
            graphs = graphs_of(sizes, kinds=kinds_of(plans.values()), judge=judge)
            check_declared(graphs, info["graphs"], folder)
            bundle = cls(
                folder=folder,
                hash=sha256,
                sizes=sizes,
                graphs=graphs,
                classes=classes,
                words={name: tuple(words) for name, words in info["words"].items()},
                plans=plans,
                default_plan=info["default_plan"],
                default_guidance=float(info["default_guidance"]),
                guidance_range=_range(info["guidance_range"]) if "guidance_range" in info else None,
                targets=_targets(folder, info),
                judge_knows=tuple(info["judge"]["classes"]) if judge else (),
                fingerprints=_fingerprints(folder, info["fingerprints"]) if "fingerprints" in info else None,
                mask_statistics=mask_statistics,
                info=info,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WetgenError(
                f"{folder / JSON_NAME} is not a bundle description.",
                why=f"{type(error).__name__}: {error}.",
                fix="export the bundle again with wetgen-export.",
            ) from error
        _check(bundle)
        return bundle


def plan_to_json(plan: Plan, **more: object) -> dict[str, object]:
    """A plan as stored in bundle.json, with `more` entries: its short form, its measurements."""
    return {**more, "first_row": plan.first_row, "steps": [step.to_json() for step in plan.steps]}


def declarations(sizes: Sizes, *, kinds: Sequence[StepKind] = (GUIDED,), judge: bool = False) -> dict[str, object]:
    """The "graphs" entry of bundle.json: the tensors of each graph, the same for every target."""
    return {name: graph.to_json() for name, graph in graphs_of(sizes, kinds=kinds, judge=judge).items()}


def graph_entry(file: str, precision: Mapping[str, object], weights: Sequence[str] = ()) -> dict[str, object]:
    """The entry of a graph under a target, or of the judge: its file, the files of its weights, and its precision."""
    return {"file": file, **({"weights": list(weights)} if weights else {}), "precision": dict(precision)}


def target_entry(
    target: Target, graphs: Mapping[str, object], batches: Sequence[int], measured: Mapping[str, object]
) -> dict[str, object]:
    """The entry of a target in bundle.json; it has batches only if engines are built for the target."""
    ladder = {} if target.tensorrt is None else {"batches": list(batches)}
    return {"opset": target.opset, **ladder, "graphs": dict(graphs), "measured": dict(measured)}


def sizes_to_json(sizes: Sizes) -> dict[str, int]:
    return asdict(sizes)


def _range(data: Sequence[float]) -> tuple[float, float]:
    least, greatest = data
    return float(least), float(greatest)


def _fingerprints(folder: Path, data: Mapping[str, Any]) -> FingerprintFile:
    return FingerprintFile(folder / data["file"], str(data["kind"]), int(data["count"]), int(data["most_bits"]))


def _targets(folder: Path, info: Mapping[str, Any]) -> dict[str, TargetGraphs]:
    """The targets in bundle.json; every target includes the judge's graph."""
    unknown = [name for name in info["targets"] if name not in TARGETS]
    if unknown:
        raise WetgenError(
            f"{folder} holds graphs for a target '{unknown[0]}'.",
            why=f"this wetgen knows {', '.join(TARGETS)}.",
            fix="install the wetgen that made the bundle, or export it again with the installed one.",
        )
    found = {}
    for name, entry in info["targets"].items():
        graphs = {**entry["graphs"], **({JUDGE: info["judge"]} if JUDGE in info["graphs"] else {})}
        found[name] = TargetGraphs(
            target=TARGETS[name],
            batches=tuple(map(int, entry.get("batches", ()))),
            files={graph: folder / stated["file"] for graph, stated in graphs.items()},
            weights={
                graph: tuple(folder / file for file in stated.get("weights", ())) for graph, stated in graphs.items()
            },
            precision={graph: dict(stated["precision"]) for graph, stated in graphs.items()},
        )
    return found


def _check(bundle: Bundle) -> None:
    """Raise unless the parts of a bundle fit each other."""
    folder, export = bundle.folder, "export the bundle again with the installed wetgen-export."
    bundle.plan(None)
    if not bundle.targets:
        fix = "export it again with --target cpu."
        raise WetgenError(f"{folder} holds no graphs.", why="it names no target.", fix=fix)
    for target, held in bundle.targets.items():
        missing = ", ".join(sorted(set(bundle.graphs) - set(held.files)))
        if missing:
            raise WetgenError(f"{folder} lacks the graphs {missing} for {target}.", why=CHANGED, fix=export)
    names = () if bundle.classes is None else bundle.classes.names
    if len(names) != bundle.sizes.classes or not set(bundle.words) <= set(names):
        raise WetgenError(
            f"The class table of {folder} does not fit the rest of the bundle.",
            why=f"its classes are {', '.join(names) or 'none'}; its networks have {bundle.sizes.classes} classes, "
            f"and it has words for {', '.join(bundle.words) or 'none'}.",
            fix=export,
        )
    if bundle.has_judge and not (bundle.judge_knows and set(bundle.judge_knows) <= set(names[1:])):
        raise WetgenError(
            f"The judge of {folder} does not fit the rest of the bundle.",
            why=f"it knows {', '.join(bundle.judge_knows) or 'none'}; the masks have {', '.join(names[1:]) or 'none'}.",
            fix="add the judge again, to a bundle that draws masks.",
        )


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
