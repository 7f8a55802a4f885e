"""`wetgen prompts check`: what a file would draw, and everything that is wrong with it."""

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.cli import Cli, prompts
from wetgen.runtime.prompts.lines import MOST_LISTED
from wetgen.runtime.prompts.quota import MOST_PAIRS
from wetgen.runtime.prompts.read import OPTIONS, read_prompt_file
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.run.check import MOST_EXPANSIONS, survey


@click.group(cls=Cli)
def cli():
    """The `wetgen` command as far as these tests need it."""


cli.add_command(prompts)


@pytest.fixture
def check(bundle_folder, tmp_path, monkeypatch):
    """Run the command on a text; the bundle reads 24 tokens, begin and end among them."""
    monkeypatch.chdir(tmp_path)

    def check(text, *words, name="p.txt", bundle=bundle_folder, code=0):
        (tmp_path / name).write_text(text)
        result = CliRunner().invoke(cli, ["prompts", "check", name, "--bundle", str(bundle), *words])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return check


FILE = """# wet
mold
{a|b} {class} --count 3 --class stain|mold --seed 7 --negative "mold" --guidance 2.5 --plan two
crack --severity 0.5
"""


def test_a_sound_file_is_shown_line_by_line(check):
    said = check(FILE, "--count", "2").stdout
    assert said == (
        "p.txt: 3 lines, 10 pairs\n"
        "\n"
        "line 2: 2 pairs of 1 combination\n"
        "  mold\n"
        "\n"
        "line 3: 6 pairs of 4 combinations, "
        'count 3, seed 7, negative "mold", guidance 2.5, plan two, class stain|mold\n'
        "  b stain\n"
        "  a mold\n"
        "  a stain\n"
        "\n"
        "line 4: 2 pairs of 1 combination, severity 0.5\n"
        "  moderate crack\n"
        "\n"
        "pairs by class\n"
        "  mold   5\n"
        "  stain  3\n"
        "  crack  2\n"
    )


def test_a_quota_is_shown_with_the_lines_that_serve_none_of_it(check):
    said = check(FILE, "--quota", "mold=5,stain=2").stdout
    assert "p.txt: 3 lines, 7 pairs\n" in said
    assert "line 2: 2 pairs of 1 combination\n" in said
    assert "line 3: 5 pairs of 4 combinations," in said
    assert "line 4: 0 pairs of 1 combination, severity 0.5\n  (draws no class of the quota)\n" in said
    assert said.endswith("pairs by class\n  mold   5\n  stain  2\n")


def test_json_gives_every_ask_on_a_line(check, tmp_path, bundle_folder):
    lines = check(FILE, "--count", "2", "--json").stdout.splitlines()
    asks = read_prompt_file(str(tmp_path / "p.txt"), Bundle.open(bundle_folder).words, count=2)
    assert list(map(json.loads, lines)) == [asdict(ask) for ask in asks]


def test_standard_input_is_read_once(bundle_folder):
    words = ["prompts", "check", "-", "--bundle", str(bundle_folder)]
    said = CliRunner().invoke(cli, words, input="mold\n")
    assert said.exit_code == 0 and said.stdout.startswith("standard input: 1 line, 1 pair\n")


def test_what_would_be_cut_is_shown_for_every_expansion_that_is_drawn(check):
    digits = "1234567890" * 3  # a token each
    text = f"{{mold|stain|crack}} {{{digits}|}} --count 6\nmold\nmold --negative {digits}\n"
    result = check(text, code=1)
    assert result.stderr.count("A prompt is too long") == 4
    for prompt in ("mold", "stain", "crack"):
        assert f"p.txt, line 1: A prompt is too long: '{prompt} {digits}'" in result.stderr
    assert f"p.txt, line 3: A prompt is too long: '{digits}'" in result.stderr
    assert "would be kept and" in result.stderr and result.stderr.endswith("4 things are wrong.\n")
    some = check(text.replace("--count 6", "--count 2"), code=1)
    drawn = [line.split()[0] for line in some.stdout.splitlines() if line.endswith(f" {digits}")]
    assert some.stderr.count("p.txt, line 1: A prompt is too long") == len(drawn) < 3  # others are not drawn


def test_what_the_bundle_lacks_and_files_that_are_missing_are_told_together(check, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(b"")
    sound = f"mold --layout masks/a.png --photo {tmp_path}/masks/a.png"
    text = f"mold --plan for\n{sound}\nmold --layout masks --photo b.jpg\n"
    said = check(text, code=1).stderr
    assert "p.txt, line 1: the bundle has no plan 'for'." in said and "did you mean 'four'?" in said
    assert "line 2" not in said
    assert "p.txt, line 3: the layout masks does not exist." in said
    assert "p.txt, line 3: the photo b.jpg does not exist." in said and "3 things are wrong." in said


def test_files_lie_beside_the_prompts_file(check, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(b"")
    check("mold --layout a.png", name="sub/p.txt")
    assert "sub/b.png is not a file" in check("mold --layout b.png", name="sub/p.txt", code=1).stderr
    check("mold --layout a.png", code=1)


def test_names_that_no_system_takes_are_missing_files(check):
    assert f"the photo {5000 * 'x'} does not exist" in check(f"mold --photo {5000 * 'x'}", code=1).stderr


def test_a_distilled_guidance_has_its_range(check, tmp_path, tiny):
    folder = tiny.write_bundle(tmp_path / "bundle")
    info = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**info, "guidance_range": [1.0, 4.0]}))
    check("mold --guidance 1\nmold --guidance 4\n", bundle=folder)
    said = check("mold --guidance 4\nmold --guidance 4.5\n", bundle=folder, code=1).stderr
    assert "p.txt, line 2: The guidance is 4.5." in said and "1 thing is wrong." in said


def test_a_negative_prompt_without_effect_is_told(check, mixed_folder):
    check('mold --plan every --negative "mold"\nmold --plan unguided --negative ""\n', bundle=mixed_folder)
    said = check('mold --plan unguided --negative "mold"', bundle=mixed_folder, code=1).stderr
    assert "p.txt, line 1: The plan 'unguided' has no use for a negative prompt." in said


def test_faults_of_the_grammar_and_of_the_bundle_come_in_one_go(check):
    result = check("mold {\nmold --plan none\nmold --count 0\n", code=1)
    assert result.stdout == "" and "3 things are wrong." in result.stderr
    assert "line 1, column 6" in result.stderr and "line 3, column 14" in result.stderr
    assert "line 2: the bundle has no plan 'none'" in result.stderr


@pytest.mark.parametrize(
    "words, what",
    [
        (["--quota", "mold=2", "--count", "2"], "--count and --quota exclude each other"),
        (["--quota", "mold:2"], "'mold:2' is no quota"),
        (["--quota", "stain=2"], "can draw the quota's class 'stain'"),
        (["--count", "0"], "The count is 0"),
    ],
)
def test_counts_and_quotas_that_are_impossible(check, words, what):
    said = check("mold\n", *words, code=1).stderr
    assert what in said and "why: " in said and "fix: " in said


def test_a_bundle_without_masks_knows_no_class(check, images_only_folder):
    check("mold\n", bundle=images_only_folder)
    said = check("mold --class mold\n", bundle=images_only_folder, code=1).stderr
    assert "the bundle draws no masks" in said and "leave the class out" in said
    assert "the bundle draws no masks" in check("mold\n", "--quota", "mold=1", bundle=images_only_folder, code=1).stderr


def test_totals_are_those_of_all_pairs(tmp_path, bundle):
    file = tmp_path / "p.txt"
    file.write_text(
        "a {mold|stain|wall|mold and a crack} {1|2|3} --count 7\ncrack --class mold|stain --count 5\nmold\n"
    )
    asks = read_prompt_file(str(file), bundle.words, count=3)
    seen = survey(asks)
    expected = Counter(
        ask.asked or " + ".join(mentioned_classes(ask.text, bundle.words)) or "no damage" for ask in asks
    )
    assert seen.classes == expected and seen.unseen == 0 and not seen.capped
    assert set(seen.texts) == {ask.text for ask in asks}


def test_a_survey_that_is_capped_says_so_and_still_knows_stated_classes(tmp_path, bundle):
    file = tmp_path / "p.txt"
    many = "{0|1|2|3|4|5|6|7|8|9}" * 3
    file.write_text(
        f"{many} wall --count 500\n{many} mould --class mold --count 400\nmold\n{many} --class mold|stain --count 80\n"
    )
    asks = read_prompt_file(str(file), bundle.words)
    seen = survey(asks, most=151)
    assert (seen.looked_at, seen.capped, seen.unseen) == (151, True, 450 + 30)
    assert seen.classes == {"no damage": 50, "mold": 401 + 25, "stain": 25}
    assert len([text for text in seen.texts if "wall" in text]) == 50  # evenly, and the short line is among them
    assert not survey(asks, most=981).capped and survey(asks, most=981).unseen == 0


def test_the_report_says_that_it_was_capped(check, monkeypatch):
    monkeypatch.setattr("wetgen.runtime.run.check.survey", lambda asks: survey(asks, most=2))
    said = check("{1|2|3|4}{1|2} --count 8\n").stdout
    assert "Only 2 expansions were looked at" in said and "The classes of 6 further pairs were not counted." in said


DOCUMENTED = (Path(__file__).parents[3] / "docs" / "prompts.md").read_text(encoding="utf-8")


def documented(kind):
    """The block of the page that is marked as of this kind."""
    (block,) = re.findall(rf"```{kind}\n(.*?)```", DOCUMENTED, re.DOTALL)
    return block


def test_the_page_shows_what_the_command_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text(documented("txt"))
    command, said = documented("console").split("\n", 1)
    result = CliRunner().invoke(cli, shlex.split(command.removeprefix("$ wetgen ")))
    assert (result.exit_code, result.stdout) == (0, said)


def test_the_three_files_of_the_page_ask_for_the_same(tmp_path):
    words = {"crack": ("crack",), "stain": ("stain",), "mold": ("mold",)}
    read = []
    for kind in ("txt", "csv", "jsonl"):
        (tmp_path / f"p.{kind}").write_text(documented(kind))
        read.append([replace(ask, line=0) for ask in read_prompt_file(str(tmp_path / f"p.{kind}"), words)])
    assert len(read[0]) == 8 and read[0] == read[1] == read[2]


def test_the_page_names_every_option_and_its_numbers():
    assert all(f"| `{name}` |" in DOCUMENTED for name in OPTIONS)
    assert f"{MOST_LISTED:,}" in DOCUMENTED and f"{MOST_EXPANSIONS:,}" in DOCUMENTED and f"{MOST_PAIRS:,}" in DOCUMENTED


def test_help_needs_no_heavy_package():
    code = (
        "import sys\n"
        "for name in ('numpy', 'tokenizers', 'onnxruntime', 'PIL'): sys.modules[name] = None\n"
        "from wetgen.runtime.cli import prompts\nprompts(['check', '--help'])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "--quota" in said and all(option.help for option in prompts.commands["check"].params[1:])
