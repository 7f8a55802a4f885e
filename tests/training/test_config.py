"""Configs: every shipped one loads, and what is wrong in a user's is said by name."""

from pathlib import Path

import pytest

from wetgen.runtime.errors import WetgenError
from wetgen.training import config as configs

BUDGETS = "[vae]\nbudget.steps = 1\n[denoiser]\nbudget.steps = 1\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "c.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(p.stem for p in configs.CONFIGS.glob("*.toml")))
def test_every_shipped_config_loads_by_its_bare_name(name: str) -> None:
    config = configs.load(Path(name))
    assert config == configs.from_data(config.to_json(), "its own JSON")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ema_decay = 0.9\n" + BUDGETS, "unknown key 'ema_decay'"),
        (BUDGETS.replace("[vae]\n", "[vae]\nbacth = 4\n"), "did you mean 'vae.batch'?"),
        ("[vae]\nbudget.steps = 1\n", "lacks 'denoiser'"),
        (BUDGETS + "[schedule]\nprediction = 'noise'\n", "'schedule.prediction' is 'noise'"),
        ("ema = 'high'\n" + BUDGETS, "'ema' is 'high'"),
        ("seed = 1.5\n" + BUDGETS, "'seed' is 1.5"),
        (BUDGETS.replace("budget.steps = 1", "budget.steps = 1\nbudget.minutes = 1", 1), "exactly one of them"),
        ("[data]\nsize = 100\n" + BUDGETS, "multiple of 32"),
        (BUDGETS + "[schedule]\nprediction = 'eps'\n", "zero terminal SNR"),
        ("seed = \n", "cannot be read"),
    ],
)
def test_a_wrong_config_is_said_in_plain_words(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(WetgenError) as caught:
        configs.load(write(tmp_path, text))
    assert said in str(caught.value)


def test_a_missing_config_lists_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(WetgenError, match="cpu-256, gpu-256, gpu-512, tiny"):
        configs.load(tmp_path / "nowhere.toml")


def test_a_whole_number_is_welcome_where_a_float_is_meant(tmp_path: Path) -> None:
    assert configs.load(write(tmp_path, "gradient_clip = 2\n" + BUDGETS)).gradient_clip == 2.0
