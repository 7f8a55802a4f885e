"""Prompts to token ids."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.errors import WetgenError

LONG = "black mold in a bathroom corner " * 9


@pytest.fixture(scope="module")
def file(bundle):
    return bundle.tokenizer_file


@pytest.fixture(scope="module")
def tokenizer(file):
    return PromptTokenizer(file, 24)


def test_ids_begin_and_end_and_are_padded_with_the_files_padding(tokenizer, file):
    ids = tokenizer.encode(["a crack", ""])
    bos, eos = (Tokenizer.from_file(str(file)).token_to_id(token) for token in ("<bos>", "<eos>"))
    assert ids.shape == (2, 24) and ids.dtype == np.int32
    assert ids[1].tolist() == [bos, eos] + [eos] * 22
    assert ids[0, 0] == bos and (ids[0, -10:] == eos).all()
    assert not np.isin(ids[0, 1:3], [bos, eos]).any()


def test_no_prompts_give_no_rows(tokenizer):
    assert tokenizer.encode([]).shape == (0, 24)


@given(st.text(max_size=5, alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_text_has_ids(tokenizer, text):
    ids = tokenizer.encode([text])
    assert ids.shape == (1, 24) and (ids >= 0).all()


def test_a_prompt_gets_the_same_ids_alone_and_in_company(tokenizer):
    alone = tokenizer.encode(["a crack"])
    np.testing.assert_array_equal(tokenizer.encode(["", "a crack", "black mold in a corner"])[1:2], alone)


def test_a_prompt_that_is_too_long_says_where_it_would_be_cut(tokenizer):
    prompt = "a crack in a wet wall " + "and more of it " * 6 + "to the very END"
    with pytest.raises(WetgenError) as caught:
        tokenizer.encode([prompt])
    assert caught.value.what.startswith("A prompt is too long: 'a crack in a wet wall and")
    kept, lost = caught.value.why.split("; ")[1].split("' would be kept and '")
    assert kept.startswith("'a crack in a wet wall") and lost.endswith("END' lost.")
    assert "--truncate" in caught.value.fix
    joined = kept[1:] + lost.removesuffix("' lost.")
    assert joined.replace(" ", "") == prompt.replace(" ", "")  # nothing between kept and lost is missing
    # what is said to be kept is what truncation keeps
    np.testing.assert_array_equal(tokenizer.encode([kept[1:]]), tokenizer.encode([prompt], truncate=True))


def test_truncation_keeps_begin_and_end_and_lasts_for_one_call(tokenizer):
    cut = tokenizer.encode([LONG], truncate=True)
    assert cut.shape == (1, 24) and cut[0, -1] == tokenizer.encode([""])[0, 1]
    with pytest.raises(WetgenError, match="too long"):
        tokenizer.encode([LONG])


def test_a_prompt_that_just_fits_is_not_cut(tokenizer):
    fits = 24 - 2  # begin and end
    text = "q" * fits  # a letter in none of the captions stays one token
    assert (tokenizer.encode([text])[0, 1:-1] == tokenizer.encode(["q"])[0, 1]).all()
    with pytest.raises(WetgenError, match="it has 25 tokens and the text encoder reads 24"):
        tokenizer.encode([text + "q"])


def test_settings_of_the_file_do_not_leak_in(file, tmp_path):
    data = json.loads(file.read_text())
    data["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    data["padding"] = {**data["padding"], "strategy": {"Fixed": 9}, "pad_to_multiple_of": 8}
    changed = tmp_path / "tokenizer.json"
    changed.write_text(json.dumps(data))
    texts = ["a crack in a wet wall"]
    np.testing.assert_array_equal(PromptTokenizer(changed, 24).encode(texts), PromptTokenizer(file, 24).encode(texts))


def test_a_file_without_padding_is_refused(file, tmp_path):
    changed = tmp_path / "tokenizer.json"
    changed.write_text(json.dumps({**json.loads(file.read_text()), "padding": None}))
    with pytest.raises(WetgenError, match="does not say how to pad prompts"):
        PromptTokenizer(changed, 24)


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(WetgenError, match="is not a tokenizer"):
        PromptTokenizer(tmp_path / "tokenizer.json", 24)
