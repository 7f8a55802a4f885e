"""`wetgen convert` as people type it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wetgen.runtime.cli import NAMES, cli
from wetgen.runtime.dataset import convert as convert_module
from wetgen.runtime.dataset.convert import FORMATS
from wetgen.runtime.dataset.reader import Dataset

Make = Callable[..., Path]


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["convert", *map(str, arguments)])


def test_the_command_knows_every_format() -> None:
    assert tuple(FORMATS) == NAMES
    help_text = convert("--help").output
    assert all(name in help_text for name in NAMES)


def test_a_summary_is_printed(make: Make, tmp_path: Path) -> None:
    result = convert(make(count=4), "--to", "voc", "--split", "train=1", "--out", tmp_path / "voc")
    assert result.exit_code == 0, result.output
    assert result.output == (f"{tmp_path / 'voc'}: 4 pairs (4 train)\n  2 pictures encoded as JPEG of quality 95\n")


def test_confidence_maps_are_left_out_with_their_names(make: Make, tmp_path: Path) -> None:
    result = convert(make(count=2, confidence_file_name="confidence/0.png"), "--to", "coco", "--out", tmp_path / "out")
    assert "  2 confidence maps left out\n" in result.output
    assert "confidence" not in (tmp_path / "out" / "metadata.jsonl").read_text(encoding="utf-8")


def test_several_formats_get_a_folder_each(make: Make, tmp_path: Path) -> None:
    result = convert(make(), "--to", "coco", "--to", "semantic", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["coco", "semantic"]


def test_names_of_classes_can_be_given(make: Make, tmp_path: Path) -> None:
    source = make(count=2)
    convert(source, "--to", "semantic", "--out", tmp_path / "out")
    (tmp_path / "out" / "classes.json").rename(tmp_path / "names.json")
    classes = ("--classes", tmp_path / "names.json")
    assert convert(tmp_path / "out", "--from", "semantic", *classes, "--out", tmp_path / "back").exit_code == 0
    assert Dataset.open(tmp_path / "back").classes == Dataset.open(source).classes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Either --to or --from is needed"),
        (("--to", "coco", "--from", "voc"), "Either --to or --from is needed"),
        (("--from", "coco", "--polygons"), "--polygons does nothing with --from"),
        (("--from", "coco", "--split", "train=1"), "--split does nothing with --from"),
        (("--to", "coco", "--classes", "x.json"), "--classes does nothing with --to"),
        (("--from", "coco", "--classes", "x.json"), "coco takes no --classes"),
        (("--from", "yolo-det"), "yolo-det cannot be read back"),
        (("--to", "coco", "--split", "train=2"), "cannot be used"),
        (("--to", "coco", "--group", "claim", "--split", "train=1"), "there is no claim to group by"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], words: str, make: Make, tmp_path: Path) -> None:
    result = convert(make(count=1), *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 1 and words in result.output and "\n  fix: " in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "package"), [("parquet", "pyarrow"), ("yolo-seg", "PyYAML")])
def test_a_missing_package_is_named_with_its_extra(
    name: str, package: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(module: str) -> object:
        raise ImportError(module)

    monkeypatch.setattr(f"wetgen.runtime.dataset.formats.{name.partition('-')[0]}.import_module", absent)
    direction = "--to" if name == "parquet" else "--from"
    result = convert(make(count=1), direction, name, "--out", tmp_path / "out")
    assert result.exit_code == 1 and f"{package} is needed" in result.output and "wetgen[convert]" in result.output


def test_a_disk_that_fails_while_reading_is_not_called_the_outs(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    source = make(count=1)
    monkeypatch.setattr(convert_module, "portable", fail)
    result = convert(source, "--to", "coco", "--out", tmp_path / "out")
    assert result.exit_code == 1 and f"{source} could not be read" in result.output
