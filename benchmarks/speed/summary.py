"""The figures of a report, computed from rows: rates, shares of time, shares of ceilings."""

from collections.abc import Mapping, Sequence
from typing import Any

from wetgen.benchmarks.speed import rows
from wetgen.benchmarks.speed.rates import Rate, percentile, rate_of
from wetgen.benchmarks.speed.roofline import GraphTime, Roofline, roofline_of
from wetgen.runtime.bundle.graphs import StepKind, denoise_name

KNEE = 0.95  # of the best rate: beyond the knee a larger batch brings at most 5 %
HOST = "host, between calls"


class BenchSummary:
    """The rows of one run, or of several on one machine with one bundle."""

    def __init__(self, run: Sequence[rows.BenchRow]) -> None:
        self.rows = list(run)
        self.newest = rows.newest(run)
        self.about = next(iter(rows.done(run, "bundle")))["observed"]
        self.failed = [row for row in self.newest if row["status"] == rows.FAILED]
        self._sampling: dict[int, list[Mapping[str, Any]]] = {}
        for row in rows.done(run, "sampling"):
            self._sampling.setdefault(int(row["observed"]["batch"]), []).append(row["observed"])

    @property
    def batches(self) -> list[int]:
        return sorted(self._sampling)

    def rates(self) -> list[Rate]:
        """By batch size, smallest first."""
        return [rate_of(batch, self._sampling[batch]) for batch in self.batches]

    def knee(self) -> int | None:
        """The smallest batch whose rate is within 5 % of the best."""
        rates = self.rates()
        best = max((rate.pairs_per_second for rate in rates), default=0.0)
        return next((rate.batch for rate in rates if rate.pairs_per_second >= KNEE * best), None)

    def stages(self, batch: int) -> list[GraphTime]:
        """Graph by graph in the order of first calls, then the host; empty where calls are not seen (on a GPU)."""
        times: dict[str, list[float]] = {}
        whole, batches = 0.0, 0
        gaps: list[float] = []
        for observed in self._sampling[batch]:
            for took, calls in zip(observed["warm_ms"], observed["calls"], strict=True):
                if not calls:
                    continue
                whole, batches = whole + took, batches + 1
                for graph, _, began, ended in calls:
                    times.setdefault(graph, []).append(ended - began)
                edges = [0.0, *(edge for call in calls for edge in call[2:]), took]
                gaps += [after - before for before, after in zip(edges[::2], edges[1::2], strict=True)]
        if not times:
            return []
        times[HOST] = gaps
        return [
            GraphTime(
                name,
                round(len(taken) / batches),
                *(percentile(taken, share) for share in (0.5, 0.9, 0.99)),
                sum(taken) / whole,
            )
            for name, taken in times.items()
        ]

    def steps(self, batch: int) -> list[tuple[str, float]]:
        """Kind and median milliseconds of every step of the plan, in its order; empty where calls are not seen."""
        plan = self.about["plans"][self.about["plan"]]
        taken: dict[int, list[float]] = {}
        for observed in self._sampling[batch]:
            for calls in observed["calls"]:
                for _, row, began, ended in calls:
                    if row is not None:
                        taken.setdefault(row - plan["first_row"], []).append(ended - began)
        return [(plan["kinds"][i], percentile(taken[i], 0.5)) for i in sorted(taken)]

    def pairs_over_time(self, batch: int) -> list[tuple[float, float]]:
        """(pairs, seconds since the process was started) after every batch of the first round."""
        observed = self._sampling[batch][0]
        seconds = [observed["to_first_batch_ms"] / 1000]
        for took in observed["warm_ms"]:
            seconds.append(seconds[-1] + took / 1000)
        return [(float(batch * i), when) for i, when in enumerate(seconds, start=1)]

    @property
    def matrix(self) -> float | None:
        """GFLOP/s: the best that any product or convolution reached at any time of the run."""
        found = [rate for row in rows.done(self.rows, "ceilings") for rate in row["observed"]["matrix"].values()]
        found += [rate for observed in self._observed() for rate in observed["pace_gflops"]]
        return max(found, default=None)

    def copy(self, megabytes: float) -> float | None:
        """GB/s: the best copy of the smallest size measured that is no smaller than that."""
        best: dict[float, float] = {}
        for row in rows.done(self.rows, "ceilings"):
            for name, rate in row["observed"]["copy"].items():
                size = float(name.removesuffix(" MiB")) * 2**20 / 1e6
                best[size] = max(rate, best.get(size, 0.0))
        if not best:
            return None
        return best[min((size for size in best if size >= megabytes), default=max(best))]

    def roofline(self, batch: int) -> list[Roofline]:
        """Every graph that was called, where its work and the ceilings are known."""
        found = []
        for stage in self.stages(batch):
            at = 1 if stage.name == "text" else batch  # prompts are encoded one at a time
            flops, moved = (self._work(stage.name, kind, at) for kind in ("flops", "bytes"))
            if flops is None or moved is None or self.matrix is None:
                continue
            copy = self.copy(moved / 1e6)
            assert copy is not None, "both ceilings are measured at once"
            found.append(roofline_of(stage, at, flops, moved, self.matrix, copy))
        return found

    def plan_flops(self, plan: str, batch: int) -> int | None:
        """Of a batch from noise to bytes: the steps' and the decoder's; None where work is not known."""
        kinds = self.about["plans"][plan]["kinds"]
        parts = [
            self._work(name, "flops", batch)
            for name in [*(denoise_name(StepKind.named(kind)) for kind in kinds), "decode"]
        ]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def share_of_matrix(self, batch: int) -> float | None:
        """Of warm sampling: what a batch's arithmetic would take at the matrix rate, over what it took."""
        flops = self.plan_flops(self.about["plan"], batch)
        if flops is None or self.matrix is None:
            return None
        return flops / 1e6 / self.matrix / rate_of(batch, self._sampling[batch]).p50_ms

    def candidates(self) -> list[tuple[int, list[Mapping[str, Any]]]]:
        """Batch and candidates of every case in which candidates took turns."""
        observed = (row["observed"] for row in rows.done(self.rows, "turns"))
        return [(one["batch"], one["candidates"]) for one in observed]

    def storing(self) -> list[tuple[int, Mapping[str, Any]]]:
        """Batch and times of pairs with and without files."""
        return [(row["case"]["batch"], row["observed"]) for row in rows.done(self.rows, "files")]

    def _work(self, graph: str, kind: str, batch: int) -> int | None:
        if graph not in self.about["work"]:
            return None
        constant, slope = self.about["work"][graph][kind]
        return int(constant + slope * batch)

    def _observed(self) -> list[Mapping[str, Any]]:
        return [observed for rounds in self._sampling.values() for observed in rounds]
