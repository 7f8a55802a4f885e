"""Whole distillations at tiny size: what they learn, the checkpoint they leave, resuming, and what is refused."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from wetgen.runtime.errors import WetgenError
from wetgen.training import run
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.cli import cli
from wetgen.training.config import Budget, TrainConfig
from wetgen.training.distill import distill
from wetgen.training.pretrained import open_checkpoint
from wetgen.training.run import Run
from wetgen.training.stages.student import DistillStage
from wetgen.training.student import guidance_embedding


@contextmanager
def opened(config: TrainConfig, data: Path, out: Path, *, resume: bool = False) -> Iterator[Run]:
    started = run.start(config, data, out, resume=resume)
    try:
        yield started
    finally:
        started.journal.close()


def distilled(config: TrainConfig, data: Path, out: Path, teacher: Path, *, resume: bool = False) -> Path:
    with opened(config, data, out, resume=resume) as started:
        return distill(started, open_checkpoint(teacher))


@pytest.fixture(scope="module")
def student(finished: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny distillation of the tiny run."""
    out = tmp_path_factory.mktemp("student") / "run"
    distilled(tiny, pairs_folder, out, finished)
    return out


def test_a_distillation_leaves_a_checkpoint_of_the_teacher_with_another_unet(student: Path, finished: Path) -> None:
    ours, theirs = Checkpoint.load(student / "checkpoint"), Checkpoint.load(finished / "checkpoint")
    assert ours.sizes == theirs.sizes and ours.schedule == theirs.schedule and ours.classes == theirs.classes
    assert ours.unet.config.time_cond_proj_dim == 256 and theirs.unet.config.time_cond_proj_dim is None
    assert ours.info["guidance_range"] == [1.0, 4.0]
    assert ours.info["trained_on"] == theirs.info["trained_on"] and ours.info["prompts"] == theirs.info["prompts"]
    assert ours.info["training_minutes"].keys() == {"vae", "decoder", "text", "denoiser", "distill"}
    for part in ("vae", "text_encoder"):
        for file in (finished / "checkpoint" / part).glob("*.safetensors"):
            assert file.read_bytes() == (student / "checkpoint" / part / file.name).read_bytes()
    card = (student / "checkpoint" / "MODEL_CARD.md").read_text()
    assert "damage_iou" in card and "missing" in card and "guidance from 1 to 4" in card
    assert (student / "sheets" / "distill-0000006.png").is_file()


def test_the_teachers_latents_are_taken_where_data_and_settings_are_the_same(
    student: Path, finished: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    assert not list(student.glob("latents-*"))
    other = replace(tiny, data=replace(tiny.data, views=3))
    distilled(other, pairs_folder, tmp_path / "run", finished / "checkpoint")
    assert len(list((tmp_path / "run").glob("latents-*.safetensors"))) == 2


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / "unet" / "diffusion_pytorch_model.safetensors")


def test_a_distillation_stopped_and_resumed_reaches_the_weights_of_an_uninterrupted_one(
    student: Path,
    finished: Path,
    pairs_folder: Path,
    tiny: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps, untouched = 0, DistillStage.step

    def stopped_at_the_fourth(self: DistillStage, generator: torch.Generator, share: float) -> dict[str, torch.Tensor]:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return untouched(self, generator, share)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(DistillStage, "step", stopped_at_the_fourth)
        distilled(tiny, pairs_folder, tmp_path / "run", finished)
    assert not (tmp_path / "run" / "checkpoint").exists()
    resumed = weights(distilled(tiny, pairs_folder, tmp_path / "run", finished, resume=True))
    for name, value in weights(student / "checkpoint").items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0, msg=name)


def stage(teacher: Path, config: TrainConfig, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> DistillStage:
    """The stage as `distill` builds it, before its first step."""
    caught: list[DistillStage] = []

    def catch(stage: DistillStage, *rest: object) -> None:
        caught.append(stage)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("wetgen.training.distill.train", catch)
        distilled(config, data, out, teacher)
    return caught[0]


def test_before_the_first_step_all_of_guidance_is_missing_and_less_later(
    finished: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six steps of training taught the teacher little of its text, so that guidance is a small effect to learn.
    gently = replace(tiny, distill=replace(tiny.distill, learning_rate=2e-5))
    at_first = stage(finished, gently, pairs_folder, tmp_path / "run", monkeypatch)
    assert at_first.validate()["missing"] == pytest.approx(1.0, abs=1e-4)
    for n in range(26):
        at_first.step(torch.Generator().manual_seed(n), 0.0)
    assert at_first.validate()["missing"] < 0.8  # 0.63 where this was written


class Says(torch.nn.Module):
    """Says one number where the caption is empty and another where it is not; keeps the scales that it was given."""

    def __init__(self, empty: torch.Tensor, without: float, prompted: float) -> None:
        super().__init__()
        self.empty, self.without, self.prompted = empty, without, prompted
        self.scales: torch.Tensor | None = None

    def forward(
        self,
        ids: torch.Tensor,
        x: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: torch.Tensor,
        scales: torch.Tensor | None = None,
    ) -> torch.Tensor:
        self.scales = scales
        silent = (ids == self.empty).all(1).view(-1, 1, 1, 1)
        return torch.where(silent, self.without, self.prompted).expand_as(x)


def test_the_student_is_taught_what_the_teacher_says_guided(
    finished: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near_two = replace(tiny, distill=replace(tiny.distill, least_guidance=2.0, greatest_guidance=2.0 + 1e-6))
    at_first = stage(finished, replace(near_two, guidance=2.0), pairs_folder, tmp_path / "run", monkeypatch)
    at_first.teacher = Says(at_first.empty, without=1.0, prompted=3.0)  # guided by 2: 1 + 2 (3 - 1) = 5
    net = Says(at_first.empty, without=-1.0, prompted=4.0)
    at_first.loss_weight = torch.full_like(at_first.loss_weight, 0.25)
    student, untaught = at_first._errors(net, *at_first._held_out())
    torch.testing.assert_close(student, torch.full_like(student, 0.25 * (5.0 - 4.0) ** 2), rtol=1e-5, atol=0)
    torch.testing.assert_close(untaught, torch.full_like(untaught, 0.25 * (5.0 - 3.0) ** 2), rtol=1e-5, atol=0)
    told = guidance_embedding(torch.full((len(student),), 2.0), 256)
    assert net.scales is not None
    torch.testing.assert_close(net.scales, told, rtol=0, atol=2e-3)  # 1e-6 of a scale is 1e-3 radians
    assert at_first.settings.drop_text == 0 < tiny.denoiser.drop_text


def test_a_teacher_that_ignores_its_text_has_nothing_to_teach(
    finished: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_first = stage(finished, tiny, pairs_folder, tmp_path / "run", monkeypatch)
    x0, layout, _, generator = at_first._held_out()
    silent = at_first.empty.expand(len(x0), -1)
    with torch.no_grad():
        student, untaught = at_first._errors(at_first.denoiser, x0, layout, silent, generator)
    # Both halves see the empty caption: guidance of any scale moves nothing but the order of sums.
    assert float(student.max()) < 1e-8 and float(untaught.max()) < 1e-8


def test_other_stages_do_not_depend_on_the_distillations_settings(
    pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    other = replace(tiny, distill=replace(tiny.distill, batch=7))
    with opened(tiny, pairs_folder, tmp_path / "a") as a, opened(other, pairs_folder, tmp_path / "b") as b:
        assert [a.key(name) for name in ("vae", "denoiser")] == [b.key(name) for name in ("vae", "denoiser")]
        assert a.key("distill") != b.key("distill")


def test_resuming_with_another_teacher_is_refused(
    student: Path, finished: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    shutil.copytree(finished / "checkpoint", tmp_path / "other")
    config = tmp_path / "other" / "unet" / "config.json"
    config.write_text(config.read_text() + "\n")
    shutil.copytree(student, tmp_path / "run")
    with pytest.raises(WetgenError, match="another configuration"):
        distilled(tiny, pairs_folder, tmp_path / "run", tmp_path / "other", resume=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"guidance": 9.0}, "The default guidance, 9, is not among"),
        ({"size": 64}, "draws 32 x 32 pixels"),
    ],
)
def test_settings_that_do_not_fit_the_teacher_are_refused(
    changed: dict[str, float], message: str, finished: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    size = int(changed.get("size", 32))
    config = replace(tiny, guidance=changed.get("guidance", 3.0), data=replace(tiny.data, size=size))
    with pytest.raises(WetgenError, match=message):
        distilled(config, pairs_folder, tmp_path / "run", finished)


def test_a_teacher_of_other_classes_is_refused(
    picture_checkpoint: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(WetgenError, match="different classes"):
        distilled(tiny, pairs_folder, tmp_path / "run", picture_checkpoint)


def test_the_student_never_takes_its_teachers_place(finished: Path, pairs_folder: Path, tiny: TrainConfig) -> None:
    with pytest.raises(WetgenError, match="The teacher lies in"):
        distilled(tiny, pairs_folder, finished, finished, resume=True)
    assert Checkpoint.load(finished / "checkpoint").unet.config.time_cond_proj_dim is None


@pytest.mark.parametrize(("least", "greatest"), [(-1.0, 2.0), (3.0, 3.0), (4.0, 1.0), (float("nan"), 2.0)])
def test_a_range_of_guidance_runs_upwards_from_zero_or_more(tiny: TrainConfig, least: float, greatest: float) -> None:
    with pytest.raises(WetgenError, match="no guidance scales"):
        replace(tiny.distill, budget=Budget(steps=1), least_guidance=least, greatest_guidance=greatest)


def test_the_command_names_a_teacher_that_is_none(pairs_folder: Path, tmp_path: Path) -> None:
    arguments = ["distill", "tiny", "--data", str(pairs_folder), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, [*arguments, "--teacher", str(tmp_path)])
    assert result.exit_code == 1 and "is not a checkpoint" in result.stderr and not (tmp_path / "run").exists()
    result = CliRunner().invoke(cli, [*arguments, "--teacher", str(tmp_path), "--dry-run"])
    assert result.exit_code == 0 and json.loads(result.stdout)["distill"]["budget"]["steps"] == 6
