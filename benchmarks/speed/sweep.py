"""A sweep: runs every case in its own process and writes a row for each; an interrupted sweep can be resumed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wetgen.benchmarks.speed import rows
from wetgen.benchmarks.speed.cases import BenchCase, BenchOptions, cases_of
from wetgen.benchmarks.speed.machine import commit, machine, versions
from wetgen.benchmarks.speed.work import counted
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.targets import target_for
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import usable_cores

_SAME = ("bundle", "machine", "versions", "commit")  # of all rows of a folder, which make one report
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def sweep(
    bundle: Bundle, out: Path, options: BenchOptions, say: Callable[[str], None], *, resume: bool = False
) -> list[dict[str, Any]]:
    """Measure the cases that the folder lacks, and return all its rows.

    A failed case gets a row with its error, and is measured again when the sweep is resumed. Raises WetgenError for a
    folder that already has rows, unless `resume`, and for rows of another bundle, machine or version.
    """
    file = out / rows.FILE_NAME
    common = _common(bundle)
    earlier = rows.read(file) if file.is_file() else []
    _check(out, earlier, common, resume)
    finished = {row["key"] for row in rows.newest(earlier) if row["status"] == rows.DONE}
    cases = list(cases_of(bundle, options))
    about = {
        "key": rows.key_of(kind="bundle", **_identity(common)),
        "case": {"kind": "bundle", "device": options.device},
    }
    if about["key"] not in finished:
        rows.append(file, {**common, **about, "status": rows.DONE, "observed": described(bundle, options)})
    for i, case in enumerate(cases, start=1):
        key = rows.key_of(case=case.settings(), **_identity(common))
        if key in finished:
            continue
        result = _run(case, bundle)
        status = rows.DONE if "observed" in result else rows.FAILED
        rows.append(file, {**common, "key": key, "case": case.settings(), "status": status, **result})
        say(f"[{i}/{len(cases)}] {case}: {_in_words(case, result)}")
    return rows.read(file)


def _common(bundle: Bundle) -> dict[str, Any]:
    return {
        "format": rows.FORMAT,
        "bundle": {"hash": bundle.hash[:12], "name": bundle.info.get("name")},
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _identity(common: Mapping[str, Any]) -> dict[str, Any]:
    return {"bundle": common["bundle"]["hash"], "machine": common["machine"]}


def _check(out: Path, earlier: Sequence[rows.BenchRow], common: Mapping[str, Any], resume: bool) -> None:
    if earlier and not resume:
        raise WetgenError(
            f"{out} already holds measurements.",
            why=f"there are {len(earlier)} rows in {rows.FILE_NAME}.",
            fix="choose another --out, or add --resume.",
        )
    for row in earlier:
        other = [name for name in _SAME if row[name] != common[name]]
        if other:
            raise WetgenError(
                f"The measurements in {out} cannot be resumed.",
                why=f"they were made with another {' and another '.join(other)}; a report covers one.",
                fix="measure into another --out; `wetgen bench compare` compares two of them.",
            )


def described(bundle: Bundle, options: BenchOptions) -> dict[str, Any]:
    """The facts about the bundle that a report needs."""
    target = target_for(options.device, bundle.targets).name
    work, source = counted(bundle, target)
    return {
        "sizes": bundle.info["sizes"],
        "target": target,
        "default_plan": bundle.default_plan,
        "plan": bundle.plan(options.plan).name,
        "plans": {
            name: {
                "first_row": plan.first_row,
                "timesteps": [step.timestep for step in plan.steps],
                "kinds": [step.kind.name for step in plan.steps],
                "measured": bundle.info["plans"][name].get("measured"),
            }
            for name, plan in bundle.plans.items()
        },
        "work": work,
        "work_is": source,
    }


def _run(case: BenchCase, bundle: Bundle) -> dict[str, Any]:
    """The result of a case from its child process: `observed` or `error`."""
    threads = str(usable_cores() if case.threads is None else case.threads)
    environment = {**os.environ, **dict.fromkeys(_POOLS, threads)}  # for the thread pools of numpy and torch
    command = [sys.executable, "-m", "wetgen.benchmarks.speed.child", str(bundle.folder), json.dumps(case.to_json())]
    process = subprocess.Popen(
        [*command, repr(time.monotonic())],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        out, talk = process.communicate()
    except BaseException:  # Ctrl-C: the child must not outlive this process
        process.kill()
        process.wait()
        raise
    if process.returncode:
        last = talk.strip().split("\n")[-1][:500] or "it printed nothing"
        ended = f"a signal ({-process.returncode})" if process.returncode < 0 else f"exit status {process.returncode}"
        return {"error": {"what": f"The process of the case ended with {ended}.", "why": last, "fix": "run it alone."}}
    return dict(json.loads(out.rstrip("\n").split("\n")[-1]))


def _in_words(case: BenchCase, result: Mapping[str, Any]) -> str:
    if "error" in result:
        return f"failed: {result['error']['what']} {result['error']['why']}"
    observed = result["observed"]
    if case.kind == "sampling":
        middle = sorted(observed["warm_ms"])[len(observed["warm_ms"]) // 2]
        return f"{1000 * observed['batch'] / middle:.2f} pairs/s, {middle:.0f} ms a batch"
    if case.kind == "ceilings":
        return f"{max(observed['matrix'].values()):.0f} GFLOP/s, copies at {max(observed['copy'].values()):.0f} GB/s"
    return "done"
