"""What a training run is told: one TOML file, every key checked, the resolved copy saved with the run."""

import dataclasses
import difflib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wetgen.runtime.errors import WetgenError
from wetgen.training.schedule import Curve, Prediction

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Budget:
    """How long a stage trains: steps, or minutes of training (what was trained before a resume counts)."""

    steps: int = 0
    minutes: float = 0.0

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.minutes > 0):
            raise WetgenError(
                "A stage has no clear budget.",
                why=f"steps = {self.steps} and minutes = {self.minutes}; exactly one of them must be above 0.",
                fix="set steps = ... or minutes = ... in [vae.budget], [vae.decoder_budget], [denoiser.budget] and "
                "[distill.budget].",
            )


@dataclass(frozen=True)
class DataConfig:
    """How photographs become training views."""

    size: int = 128
    """Pixels a side of a view."""
    views: int = 8
    """Augmented views of each photograph whose latents are cached for the denoiser."""
    smallest_crop: float = 0.6
    """Side of the smallest crop, as a share of the photograph's shorter side."""
    validation: float = 0.08
    """Share of scenes kept for validation; a scene is never split."""
    balance: float = 0.5
    """0 samples every pair alike, 1 gives every class the same share."""
    only: tuple[str, ...] = ()
    """Dataset folders to take, by name, when --data holds several; empty takes all."""


@dataclass(frozen=True)
class VaeConfig:
    """The joint autoencoder: network, losses, optimisation. First all of it trains, then the decoder alone."""

    budget: Budget
    """Of the first part; the encoder is frozen after it, and the denoiser can start."""
    decoder_budget: Budget = field(default_factory=lambda: Budget(minutes=60))
    """Of the second part: the decoder learns on, with critics."""
    encoder_widths: tuple[int, ...] = (32, 64, 128, 256)
    encoder_layers: tuple[int, ...] = (1, 1, 1, 2)
    decoder_widths: tuple[int, ...] = (24, 48, 96, 192)
    decoder_layers: tuple[int, ...] = (2, 1, 1, 3)
    """From fine to coarse. Each width is a half, a quarter or all of the next."""
    latent_channels: int = 16
    crop: int = 128
    """Pixels a side of what a step sees of a view."""
    batch: int = 8
    learning_rate: float = 5e-4
    decoder_learning_rate: float = 2e-4
    mask_weight: float = 0.4
    perceptual_weight: float = 0.05
    """0 trains without pretrained features, and the decoder without their critic."""
    mean_weight: float = 1e-2
    """Weight of the latents' mean square: they stay near the linear autoencoder's."""
    latent_noise: float = 0.3
    """Each crop's latent gets noise of a strength drawn evenly from 0 to this: what a denoiser leaves wrong."""
    adversarial_weight: float = 0.3
    """How hard each critic pulls, against the gradient of all reconstruction losses."""
    matching_weight: float = 0.3
    pair_critic_width: int = 40
    feature_critic_width: int = 64
    critic_learning_rate: float = 5e-4

    def __post_init__(self) -> None:
        widths = (*self.decoder_widths, self.latent_channels)
        pairs = zip(self.decoder_widths, self.decoder_widths[1:], strict=False)
        whole = all(4 * fine % coarse == 0 for fine, coarse in pairs) and widths[-2] % widths[-1] == 0
        lengths = {len(t) for t in (self.encoder_widths, self.encoder_layers, self.decoder_widths, self.decoder_layers)}
        if not whole or len(lengths) != 1:
            raise WetgenError(
                "The VAE's widths do not fit one another.",
                why="its shortcuts repeat channels: four times a width must be a multiple of the next coarser one, the "
                "coarsest a multiple of latent_channels; widths and layers need one number a level.",
                fix="take (24, 48, 96, 192) with latent_channels = 16, say.",
            )

    @property
    def stride(self) -> int:
        """Pixels a side of a latent cell: the pixel-unshuffle halves once, every level but the first again."""
        return 2 ** len(self.encoder_widths)


@dataclass(frozen=True)
class TextConfig:
    """The text encoder."""

    taught: bool = True
    """Whether a sentence encoder teaches it before the denoiser, which then leaves it as it is; otherwise it is trained
    with the denoiser, on the captions alone."""
    budget: Budget = field(default_factory=lambda: Budget(minutes=30))
    """Of the teaching."""
    tokens: int = 64
    vocabulary: int = 16384
    width: int = 256
    layers: int = 3
    heads: int = 4
    word_width: int = 96
    inner_width: int = 768
    """Of the word vectors, and of the layers' feed-forward part; of an encoder that is taught."""
    batch: int = 64
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class ScheduleConfig:
    """The noise schedule; zero terminal SNR needs v- or x0-prediction."""

    curve: Curve = "scaled_linear"
    timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    zero_terminal_snr: bool = True
    prediction: Prediction = "v"


@dataclass(frozen=True)
class DenoiserConfig:
    """The denoiser: network, conditioning dropout, optimisation."""

    budget: Budget
    widths: tuple[int, ...] = (128, 192)
    layers: int = 1
    head_width: int = 32
    batch: int = 32
    learning_rate: float = 1e-3
    min_snr_gamma: float = 5.0
    drop_text: float = 0.1
    """Share of samples trained without their caption: what guidance is guided away from."""
    give_layout: float = 0.2
    give_known: float = 0.2
    """Shares of samples that see their class layout and a part of their latent; the rest train free."""


@dataclass(frozen=True)
class DistillConfig:
    """Guidance distilled into a copy of a finished denoiser; what is given and how noise is drawn is the denoiser's."""

    budget: Budget = field(default_factory=lambda: Budget(minutes=60))
    batch: int = 16
    learning_rate: float = 1e-4
    warmup: int = 10
    """Steps over which the learning rate rises: few, for it starts from a finished network."""
    least_guidance: float = 1.0
    greatest_guidance: float = 4.0
    """The range of guidance scales that the student learns, and the only ones it can be asked for."""

    def __post_init__(self) -> None:
        if not 0 <= self.least_guidance < self.greatest_guidance:
            raise WetgenError(
                f"There are no guidance scales from {self.least_guidance} to {self.greatest_guidance} to distill.",
                why="the least must be 0 or more, and below the greatest.",
                fix="set least_guidance = 1.0 and greatest_guidance = 4.0 in [distill], say.",
            )


@dataclass(frozen=True)
class TrainConfig:
    """A whole run."""

    vae: VaeConfig
    denoiser: DenoiserConfig
    data: DataConfig = field(default_factory=DataConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    text: TextConfig = field(default_factory=TextConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    seed: int = 0
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    """"bf16" autocasts the networks, "no" trains in float32; "auto" measures which this machine does faster."""
    ema: float = 0.999
    """Decay of the weights' moving average, which is what the checkpoint holds."""
    gradient_clip: float = 1.0
    warmup: int = 200
    """Steps over which the learning rate rises."""
    state_minutes: float = 5.0
    """Minutes between saved states: the most that a kill can cost."""
    sheet_minutes: float = 15.0
    """Minutes between sample sheets."""
    guidance: float = 3.0
    """The guidance scale that sheets are drawn with and that bundles take as their default."""
    init: str = ""
    """A run, a checkpoint or a diffusers folder to start from: shared weights load, added channels start at zero."""

    def __post_init__(self) -> None:
        stride = self.vae.stride
        deepest = stride * 2 ** (len(self.denoiser.widths) - 1)
        if self.data.size % deepest:
            raise WetgenError(
                f"Views of {self.data.size} pixels do not fit these networks.",
                why=f"VAE and denoiser together halve the size down by {deepest}.",
                fix=f"choose data.size as a multiple of {deepest}.",
            )
        if self.vae.crop > self.data.size or self.vae.crop % stride:
            raise WetgenError(
                f"Crops of {self.vae.crop} pixels do not fit views of {self.data.size}.",
                why=f"a crop is a part of a view, and a multiple of the VAE's stride, {stride}.",
                fix="choose vae.crop accordingly; data.size itself is always right.",
            )
        if self.schedule.prediction == "eps" and self.schedule.zero_terminal_snr:
            raise WetgenError(
                "eps-prediction cannot be trained with zero terminal SNR.",
                why="at the last timestep the noise is the input itself and x0 cannot be told from it.",
                fix='set schedule.zero_terminal_snr = false, or prediction = "v".',
            )

    def to_json(self) -> dict[str, Any]:
        """The resolved configuration as plain data."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self))))


def load(path: Path) -> TrainConfig:
    """Read a TOML config; a bare name such as `tiny` means the one that comes with wetgen."""
    shipped = CONFIGS / f"{path}.toml"
    if not path.is_file() and shipped.is_file():
        path = shipped
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        names = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise WetgenError(
            f"There is no config {path}.", why="no such file.", fix=f"give a file, or one of {names}."
        ) from error
    except (OSError, ValueError) as error:
        raise WetgenError(f"{path} cannot be read.", why=f"{error}.", fix="write it as UTF-8 TOML.") from error
    return from_data(data, str(path))


def from_data(data: dict[str, Any], source: str) -> TrainConfig:
    """A config from plain data, as saved in a checkpoint."""
    config: TrainConfig = _build(TrainConfig, data, source, "")
    return config


def _build(kind: Any, data: dict[str, Any], source: str, prefix: str) -> Any:
    known = {f.name: f.type for f in dataclasses.fields(kind)}
    for key in sorted(data.keys() - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        fix = f"did you mean '{prefix}{near[0]}'?" if near else f"use one of {', '.join(sorted(known))}."
        raise WetgenError(f"{source} has an unknown key '{prefix}{key}'.", why="it is not a setting.", fix=fix)
    values = {key: _value(known[key], value, source, f"{prefix}{key}") for key, value in data.items()}
    required = {f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING}
    for key in sorted(required - set(values)):
        raise WetgenError(f"{source} lacks '{prefix}{key}'.", why="it has no default.", fix=f"add [{prefix}{key}].")
    return kind(**values)


def _value(kind: Any, value: Any, source: str, name: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _build(kind, value, source, f"{name}.")
    if isinstance(value, list):
        value = tuple(value)
    if kind is float and type(value) is int:
        value = float(value)
    expected = {int: int, float: float, str: str, bool: bool}.get(kind, tuple if "tuple" in str(kind) else object)
    choices = getattr(kind, "__args__", ()) if "Literal" in str(kind) else ()
    if (type(value) is not expected and expected is not object) or (choices and value not in choices):
        wanted = " or ".join(map(str, choices)) or getattr(expected, "__name__", str(expected))
        raise WetgenError(f"{source}: '{name}' is {value!r}.", why=f"it must be {wanted}.", fix="change that line.")
    return value
