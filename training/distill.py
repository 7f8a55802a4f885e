"""A whole distillation: a finished checkpoint in, the checkpoint of its student out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from wetgen.runtime.errors import WetgenError
from wetgen.training import card, checkpoint
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.loop import train
from wetgen.training.mask_statistics import measure
from wetgen.training.run import Run, digest, latents_of, minutes, trained_on
from wetgen.training.stages.denoiser import Denoiser
from wetgen.training.stages.student import DistillStage
from wetgen.training.student import student_of


def distill(run: Run, teacher: Checkpoint) -> Path:
    """Distill guidance into a student of `teacher`; returns the finished checkpoint's folder.

    Raises WetgenError for a teacher that does not fit the run's data and settings, and for a student as teacher.
    """
    _check(run, teacher)
    config, photos, device = run.config, run.photos, run.accelerator.device
    set_seed(config.seed)
    student = Denoiser(teacher.text_encoder, student_of(teacher.unet)).to(device)
    taught_by = Denoiser(teacher.text_encoder, teacher.unet).to(device)
    _take_vae(run, teacher)
    net = checkpoint.load_vae(run.vae_folder, len(photos.table)).to(device)
    latents, held = (latents_of(run, net, split, teacher.folder.parent) for split in ("training", "validation"))
    stage = DistillStage(
        student, taught_by, teacher.tokenizer, net, latents, held, photos, teacher.schedule, config, run.accelerator
    )
    key = digest(run.key("distill") + _digest_of(teacher))
    own_warmup = replace(config, warmup=config.distill.warmup)
    train(stage, own_warmup, run.accelerator, run.journal, run.state("distill"), key)
    folder = run.folder / "checkpoint"
    if run.accelerator.is_main_process:
        info = _info(run, teacher)
        figures = [card.last_figures(where / "metrics.jsonl") for where in (teacher.folder.parent, run.folder)]
        checkpoint.save(
            folder,
            vae=net,
            text_encoder=teacher.text_encoder,
            tokenizer=teacher.tokenizer,
            unet=student.unet,
            schedule=teacher.schedule,
            classes=photos.table,
            info=info,
            card=card.render(info, photos.table, {**figures[0], **figures[1]}),
            mask_statistics=measure((photo.mask for photo in photos.training), photos.table),
        )
        run.journal.line(f"checkpoint: {folder}")
    run.accelerator.wait_for_everyone()
    return folder


def _check(run: Run, teacher: Checkpoint) -> None:
    names = () if teacher.classes is None else teacher.classes.names
    if names != run.photos.table.names:
        raise WetgenError(
            f"{teacher.folder} and the data have different classes.",
            why=f"the teacher knows {', '.join(names) or 'none'}, the data {', '.join(run.photos.table.names)}.",
            fix="distill on data with the teacher's class table, best the data that it was trained on.",
        )
    if (teacher.sizes.height, teacher.sizes.width) != (run.config.data.size,) * 2:
        raise WetgenError(
            f"{teacher.folder} draws {teacher.sizes.width} x {teacher.sizes.height} pixels.",
            why=f"the config has data.size = {run.config.data.size}.",
            fix="give the config that the teacher was trained with.",
        )
    ours, default = run.config.distill, run.config.guidance
    if not ours.least_guidance <= default <= ours.greatest_guidance:
        raise WetgenError(
            f"The default guidance, {default:g}, is not among the scales to distill.",
            why=f"they run from {ours.least_guidance:g} to {ours.greatest_guidance:g}.",
            fix="choose guidance = ... in that range, or widen the range in [distill].",
        )
    if teacher.folder.resolve().is_relative_to(run.folder.resolve()):
        raise WetgenError(
            f"The teacher lies in {run.folder}.",
            why="the student's checkpoint would take its place.",
            fix="choose another --out.",
        )


def _take_vae(run: Run, teacher: Checkpoint) -> None:
    """Copy the teacher's VAE into the run: from the run that made it where its weights are the same.

    Cached latents name the files of their run's VAE, and a checkpoint's description of it names another folder.
    """
    own, beside = teacher.folder / "vae", teacher.folder.parent / "vae"
    same = beside.is_dir() and all(
        (beside / file.name).is_file() and (beside / file.name).read_bytes() == file.read_bytes()
        for file in own.glob("*.safetensors")
    )
    if run.accelerator.is_main_process:
        shutil.copytree(beside if same else own, run.vae_folder, dirs_exist_ok=True)
    run.accelerator.wait_for_everyone()


def _digest_of(teacher: Checkpoint) -> str:
    return digest("".join(checkpoint.part_digest(teacher.folder / part) for part in checkpoint.PARTS))


def _info(run: Run, teacher: Checkpoint) -> dict[str, Any]:
    """wetgen.json: the teacher's, and what the student adds to it."""
    ours, before = run.config.distill, teacher.info
    seen = [row for row in trained_on(run.photos) if row not in before["trained_on"]]
    return {
        **before,
        "config": {**before["config"], "distill": json.loads(json.dumps(run.config.to_json()["distill"]))},
        "trained_on": [*before["trained_on"], *seen],
        "training_minutes": {**before["training_minutes"], "distill": minutes(run.state("distill"))},
        "guidance": run.config.guidance,
        checkpoint.RANGE_KEY: [ours.least_guidance, ours.greatest_guidance],
    }
