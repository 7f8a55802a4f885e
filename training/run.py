"""A whole run: photographs in, checkpoint out. Each stage resumes from its own state."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors import safe_open

from wetgen.runtime.errors import WetgenError
from wetgen.training import card, checkpoint, dc_vae, denoiser, mask_statistics, pretrained, text_encoder, vae
from wetgen.training.config import TrainConfig
from wetgen.training.data import Photos, load_photos
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.latents import Latents, cached, encode_views
from wetgen.training.loop import Journal, Progress, train
from wetgen.training.machine import Pace, measure
from wetgen.training.sentences import load_teacher
from wetgen.training.stages.denoiser import Denoiser, DenoiserStage, distinct_prompts
from wetgen.training.stages.text import TextStage, start_words
from wetgen.training.stages.vae import DecoderStage, VaeStage, fit_linear, set_latent_scale
from wetgen.training.synonyms import words_of

EXAMPLE_PROMPTS = 12  # captions of validation scenes that travel with the checkpoint


@dataclass(frozen=True)
class Run:
    """Where a run keeps its things."""

    config: TrainConfig
    folder: Path
    photos: Photos
    accelerator: Accelerator
    journal: Journal

    def state(self, stage: str) -> Path:
        return self.folder / "state" / f"{stage}.safetensors"

    @property
    def vae_folder(self) -> Path:
        return self.folder / "vae"

    @property
    def text_folder(self) -> Path:
        return self.folder / "text"

    def key(self, stage: str) -> str:
        """What a resumed stage must share with the one that was stopped: data, and the settings it depends on.

        How often it reports and how long it trains are not among them, so a run can be given more time.
        """
        settings = self.config.to_json()
        for name in ("state_minutes", "sheet_minutes", "guidance"):
            del settings[name]
        beyond = ("denoiser", "text", "schedule", "distill")
        beside = ("vae", "denoiser", "schedule", "distill")
        later = {"vae": beyond, "decoder": beyond, "text": beside, "denoiser": ("distill",), "distill": ()}
        for name in later[stage]:
            del settings[name]
        for name in ("vae", "text", "denoiser", "distill"):
            settings.get(name, {}).pop("budget", None)
        settings.get("vae", {}).pop("decoder_budget", None)
        said = "" if stage in ("vae", "decoder") else _more_captions(self.photos)
        return digest(json.dumps(settings, sort_keys=True) + _data_digest(self.photos) + said)


def start(config: TrainConfig, data: Path, out: Path, *, resume: bool) -> Run:
    """Open the run's folder: a new one, or with `resume` the one that is there."""
    started = (out / "state").exists()
    if started and not resume:
        raise WetgenError(
            f"{out} holds a run already.",
            why="training into it would mix the two.",
            fix="add --resume to go on with it, or choose another --out.",
        )
    photos = load_photos(data, config.data, config.seed, out / "pixels")
    paces = _paces(config, len(photos.table))
    accelerator = Accelerator(mixed_precision="bf16" if paces[0].bf16 else "no")
    set_seed(config.seed)
    if accelerator.is_main_process:
        (out / "state").mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(config.to_json(), indent=1) + "\n", encoding="utf-8")
    accelerator.wait_for_everyone()
    journal = Journal(out if accelerator.is_main_process else None)
    counts = Counter(photos.table.names[id] for photo in photos.training for id in photo.classes)
    kinds = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    journal.line(
        f"{len(photos.training)} pairs to train on ({kinds}), {len(photos.validation)} of other scenes to validate"
    )
    for pace in paces:
        journal.line(f"measured: {pace}{'  <- used' if pace is paces[0] else ''}")
    if resume and not any((out / "state").iterdir()):
        journal.line(f"nothing to resume in {out}: this run starts anew")
    return Run(config, out, photos, accelerator, journal)


def _paces(config: TrainConfig, classes: int) -> list[Pace]:
    """How fast this machine trains an untrained VAE of the config's shapes, fastest way first."""
    set_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = dc_vae.build(config.vae, classes, config.data.size).to(device, memory_format=torch.channels_last)
    joint = torch.rand(config.vae.batch, 3 + classes, config.vae.crop, config.vae.crop, device=device)

    def step() -> None:
        net.reconstruct(net.mean(joint)).float().square().mean().backward()

    return measure(step, config.vae.batch, device, config.mixed_precision)


def train_vae(run: Run) -> None:
    """The first stage; leaves the averaged VAE, with its latents' scale, under vae/."""
    config, classes = run.config, len(run.photos.table)
    if config.init:
        net = pretrained.joint_vae(Path(config.init), classes)
    else:
        net = dc_vae.build(config.vae, classes, config.data.size)
        fit_linear(net, run.photos, config)
    stage = VaeStage(net.to(run.accelerator.device), run.photos, config, run.accelerator)
    train(stage, config, run.accelerator, run.journal, run.state("vae"), run.key("vae"))
    set_latent_scale(net, run.photos, config, run.accelerator.device)
    _keep_vae(run, net)


def train_decoder(run: Run) -> None:
    """The second stage: the decoder of the VAE under vae/ learns on, in its place; the encoder stays as it is."""
    net = _vae_of(run)
    net.train().requires_grad_(True)
    stage = DecoderStage(net, run.photos, run.config, run.accelerator)
    train(stage, run.config, run.accelerator, run.journal, run.state("decoder"), run.key("decoder"))
    _keep_vae(run, net)


def _keep_vae(run: Run, net: vae.JointVAE) -> None:
    if run.accelerator.is_main_process:
        checkpoint.save_vae(run.vae_folder, net)
    run.accelerator.wait_for_everyone()


def adopt_vae(run: Run, folder: Path) -> None:
    """Take the VAE at `folder`, a vae/ part, in place of one that this run would train.

    Raises WetgenError where it is none, has other classes or another size, or the run has one already.
    """
    if (run.vae_folder / "config.json").is_file():
        raise WetgenError(
            f"{run.folder} has a VAE already.",
            why="latents and denoiser of one VAE mean nothing to another.",
            fix="leave --vae out to go on with the run's own, or choose another --out.",
        )
    if not (folder / "config.json").is_file():
        raise WetgenError(
            f"{folder} is not a VAE.",
            why="it has no config.json.",
            fix="give the vae/ folder of a run or of a checkpoint.",
        )
    classes = len(run.photos.table)
    net = checkpoint.load_vae(folder, classes)
    channels = net.net.config.in_channels
    if round((channels / (3 + classes)) ** 0.5) ** 2 * (3 + classes) != channels:
        raise WetgenError(
            f"The VAE of {folder} has other classes.",
            why=f"it takes {channels} channels, which are no pictures with {classes} classes.",
            fix="use data with its class table, or train a VAE.",
        )
    _keep_vae(run, net)


def _vae_of(run: Run) -> vae.JointVAE:
    if not (run.vae_folder / "config.json").is_file():
        raise WetgenError(
            f"{run.folder} has no trained VAE.",
            why="decoder and denoiser build on it.",
            fix="run `wetgen-train vae` first, with the same --out, or `wetgen-train all`.",
        )
    return checkpoint.load_vae(run.vae_folder, len(run.photos.table)).to(run.accelerator.device)


def train_text(run: Run) -> None:
    """Teach the text encoder and leave it, averaged, with its tokenizer under text/; nothing where it is not taught."""
    config = run.config
    if not config.text.taught or config.init:
        return
    teacher = load_teacher()
    tokenizer = text_encoder.shrunk_tokenizer(teacher.tokenizer, run.photos.captions, config.text)
    set_seed(config.seed)
    encoder = text_encoder.build_taught(config.text, tokenizer)
    start_words(encoder, teacher, tokenizer)
    stage = TextStage(encoder, tokenizer, teacher, run.photos, config, run.accelerator)
    train(stage, config, run.accelerator, run.journal, run.state("text"), run.key("text"))
    if run.accelerator.is_main_process:
        checkpoint.save_text(run.text_folder, encoder, tokenizer)
    run.accelerator.wait_for_everyone()


def train_denoiser(run: Run) -> Path:
    """The last stage, on the latents of the frozen encoder; returns the finished checkpoint's folder."""
    config, photos, table = run.config, run.photos, run.photos.table
    device, net = run.accelerator.device, _vae_of(run)
    latents, held = latents_of(run, net, "training"), latents_of(run, net, "validation")
    model, tokenizer = _denoiser(run, latents.latent.shape)
    schedule = _schedule(config)
    stage = DenoiserStage(model.to(device), tokenizer, net, latents, held, photos, schedule, config, run.accelerator)
    train(stage, config, run.accelerator, run.journal, run.state("denoiser"), run.key("denoiser"))
    folder = run.folder / "checkpoint"
    if run.accelerator.is_main_process:
        checkpoint.save(
            folder,
            vae=net,
            text_encoder=model.text_encoder,
            tokenizer=tokenizer,
            unet=model.unet,
            schedule=schedule,
            classes=table,
            info=(info := _info(run)),
            card=card.render(info, table, card.last_figures(run.folder / "metrics.jsonl")),
            mask_statistics=mask_statistics.measure((photo.mask for photo in photos.training), table),
        )
        run.journal.line(f"checkpoint: {folder}")
    run.accelerator.wait_for_everyone()
    return folder


def latents_of(run: Run, net: vae.JointVAE, split: str, *elsewhere: Path) -> Latents:
    """Cached latents of a split, from this run or the runs `elsewhere`; on many processes the first one makes them."""
    photos, device = getattr(run.photos, split), run.accelerator.device

    def encode() -> Latents:
        run.journal.line(f"encoding {run.config.data.views} views of {len(photos)} {split} pairs")
        bf16 = run.accelerator.mixed_precision == "bf16"
        return encode_views(net, photos, run.config.data, run.config.seed, device, bf16)

    # A caption may forbid a view to be mirrored.
    key = digest(checkpoint.encoder_digest(net) + run.key("vae") + _more_captions(run.photos))
    here, *others = (folder / f"latents-{split}.safetensors" for folder in (run.folder, *elsewhere))
    with run.accelerator.main_process_first():
        return cached(here, key, encode, *others)


def _denoiser(run: Run, shape: torch.Size) -> tuple[Denoiser, Any]:
    """Text encoder and UNet for latents (N, V, C, h, w), new or pretrained, and the tokenizer."""
    config, classes = run.config, len(run.photos.table)
    if config.init:
        encoder, tokenizer = pretrained.text_encoder(Path(config.init))
        return Denoiser(encoder, pretrained.denoiser(Path(config.init), classes, shape[-1])), tokenizer
    set_seed(config.seed)
    encoder, tokenizer = _text_encoder(run)
    unet = denoiser.build(config.denoiser, shape[2], classes, config.text.width, shape[-1])
    return Denoiser(encoder, unet), tokenizer


def _text_encoder(run: Run) -> tuple[Any, Any]:
    """The taught text encoder, which the denoiser leaves as it is, or a new one to train with it; and its tokenizer."""
    config = run.config.text
    if not config.taught:
        tokenizer = text_encoder.train_tokenizer(run.photos.captions, config)
        return text_encoder.build(config, tokenizer), tokenizer
    if not (run.text_folder / "config.json").is_file():
        raise WetgenError(
            f"{run.folder} has no trained text encoder.",
            why="with text.taught the denoiser builds on one.",
            fix="run `wetgen-train text` first, with the same --out, or `wetgen-train all`.",
        )
    return checkpoint.load_text(run.text_folder), checkpoint.load_tokenizer(run.text_folder)


def _schedule(config: TrainConfig) -> NoiseSchedule:
    s = config.schedule
    return NoiseSchedule(s.curve, s.timesteps, s.beta_start, s.beta_end, s.zero_terminal_snr, s.prediction)


def _info(run: Run) -> dict[str, Any]:
    """wetgen.json: what a bundle must say about where it comes from."""
    return {
        "config": run.config.to_json(),
        "trained_on": trained_on(run.photos),
        "training_minutes": {name: minutes(run.state(name)) for name in ("vae", "decoder", "text", "denoiser")},
        "words": words_of(run.photos.table),
        "prompts": distinct_prompts(run.photos.validation, EXAMPLE_PROMPTS),
        "guidance": run.config.guidance,
    }


def trained_on(photos: Photos) -> list[dict[str, Any]]:
    """The sources of the training pairs with their licences, and how many pairs are of each."""
    sources = Counter((photo.source, photo.license) for photo in photos.training)
    return [{"source": s, "license": terms, "pairs": n} for (s, terms), n in sorted(sources.items())]


def minutes(state: Path) -> float:
    """Minutes that a stage was trained, from its state."""
    if not state.is_file():
        return 0.0
    with safe_open(state, "pt") as file:
        note = json.loads(file.metadata()["note"])
    return round(Progress(note["step"], note["seconds"]).seconds / 60, 1)


def _data_digest(photos: Photos) -> str:
    digest = hashlib.sha256()
    for photo in (*photos.training, *photos.validation):
        digest.update(photo.text.encode() + photo.scene.encode() + photo.image.tobytes() + photo.mask.tobytes())
    return digest.hexdigest()


def _more_captions(photos: Photos) -> str:
    """The captions beside the texts; "" where there are none."""
    return "".join("\n".join(photo.more) for photo in (*photos.training, *photos.validation))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
