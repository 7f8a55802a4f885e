"""KeptInFloat32 from ranges, and the order of the rungs."""

from math import inf

from wetgen.export.precision.calibrate import Ranges
from wetgen.export.precision.keep_in_fp32 import GRAPHS, LARGEST, MARGIN, KeptInFloat32, kept_in_float32, precision_sets
from wetgen.export.precision.precision import Precision

BEYOND, WITHIN = LARGEST / MARGIN * 1.01, LARGEST / MARGIN * 0.99


def ranges(**inside_and_border: tuple[float, float]) -> Ranges:
    """Paths with underscores for dots."""
    named = {path.replace("_", "."): pair for path, pair in inside_and_border.items()}
    return Ranges({path: pair[0] for path, pair in named.items()}, {path: pair[1] for path, pair in named.items()})


def test_a_module_that_overflows_inside_and_hands_on_little_is_an_island():
    found = kept_in_float32(ranges(a=(1, 1), a_b=(BEYOND, WITHIN), a_c=(WITHIN, WITHIN)))
    assert [path for path, _ in found.modules] == ["a.b"] and found.whole is None
    assert found.modules[0][1] == f"reaches {BEYOND:.3g} in a.b; 16376 is allowed"


def test_a_module_that_hands_on_what_overflows_is_not_enough():
    found = kept_in_float32(
        ranges(a_b=(1, WITHIN), a_b_c=(1, BEYOND), a_b_c_d=(BEYOND, BEYOND), a_b_c_e=(BEYOND, BEYOND))
    )
    assert [path for path, _ in found.modules] == ["a.b"]


def test_containers_have_no_border_to_cast_at():
    blocks = Ranges({"a.b.blocks.0": BEYOND}, {"a.b": WITHIN, "a.b.blocks.0": BEYOND})
    assert [path for path, _ in kept_in_float32(blocks).modules] == ["a.b"]


def test_the_outermost_of_nested_islands_is_left():
    found = kept_in_float32(ranges(a_b=(BEYOND, WITHIN), a_b_c=(BEYOND, WITHIN), a_bc=(BEYOND, WITHIN)))
    assert [path for path, _ in found.modules] == ["a.b", "a.bc"]


def test_what_flows_through_everything_takes_the_whole():
    found = kept_in_float32(ranges(a=(BEYOND, BEYOND)))
    assert found.modules == () and found.whole == f"reaches {BEYOND:.3g} in a; 16376 is allowed"
    # All of a network in an island would be a float32 network under another name.
    assert kept_in_float32(ranges(unet=(1, WITHIN), unet_a=(BEYOND, BEYOND))).whole is not None
    assert kept_in_float32(Ranges({"": inf}, {})).whole == "reaches inf in its own code; 16376 is allowed"


def names(**changed: KeptInFloat32) -> list[str]:
    return [rung.name for rung in precision_sets({**dict.fromkeys(GRAPHS, KeptInFloat32()), **changed})]


ALL = ["float16 with islands in float32", "decoder in float32", "attention logits in float32", "bfloat16"]


def test_rungs_begin_with_islands_and_end_with_bfloat16():
    assert names() == ALL
    first, decoder, logits, last = precision_sets(
        {**dict.fromkeys(GRAPHS, KeptInFloat32()), "text": KeptInFloat32((("a", "why"),))}
    )
    assert first.precision["text"] == Precision("float16", (("a", "why"),))
    assert decoder.precision == {**first.precision, "decode": Precision()}
    assert logits.precision["denoise"] == Precision("float16", wide_logits=True)
    assert logits.precision["decode"] == Precision()
    assert last.precision["text"] == Precision("bfloat16", wide_logits=True)  # float32's range: no islands for it
    assert last.precision["decode"] == Precision()


def test_a_rung_that_changes_nothing_is_left_out():
    assert names(decode=KeptInFloat32(whole="why")) == [ALL[0], *ALL[2:]]


def test_a_denoiser_that_float16_cannot_hold_starts_at_bfloat16():
    assert names(denoise=KeptInFloat32(whole="why")) == ALL[3:]


def test_other_graphs_that_float16_cannot_hold_are_float32():
    first, *_ = precision_sets({**dict.fromkeys(GRAPHS, KeptInFloat32()), "text": KeptInFloat32(whole="why")})
    assert first.precision["text"] == Precision() and first.precision["denoise"].compute == "float16"
