"""The bundle that ships, through the doubles of TensorRT: its real graphs build, and draw what its cpu target draws."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from wetgen.runtime.bundle.bundle import SHIPPED, Bundle
from wetgen.runtime.engines.build import BuildOptions, build_engines
from wetgen.runtime.engines.build_progress import BuildStatus
from wetgen.runtime.sampling.generator import Generator

PROMPT = "a brown water stain on a white plaster ceiling"


def test_its_engines_draw_what_the_cpu_draws(gpu: Any, tmp_path: Path) -> None:
    """As near as export asks of float16: 45 dB and 99.5 % of mask pixels. jp6 on 10.3, trt11 on 11.4."""
    bundle = Bundle.open(Path(shutil.copytree(SHIPPED, tmp_path / "bundle")))
    build_engines(bundle, BuildOptions((1,)), BuildStatus(None), lambda _: None)
    with Generator(bundle, device="tensorrt", batch=1) as generator:
        assert generator.target.name == {"10.3": "jp6", "11.4": "trt11"}[gpu.version]
        (drawn,) = generator.generate([PROMPT], seed=3, plan="ddim:8")
    (expected,) = Generator(bundle, batch=1).generate([PROMPT], seed=3, plan="ddim:8")
    error = np.mean((drawn.image.astype(float) - expected.image) ** 2)
    assert error <= 255**2 / 10**4.5
    assert drawn.mask is not None and np.mean(drawn.mask == expected.mask) >= 0.995
