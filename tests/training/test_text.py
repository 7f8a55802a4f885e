"""The taught text encoder: its tokenizer is part of the teacher's, it learns, and what it learns carries over."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from transformers import BertConfig, BertModel

from wetgen.runtime.errors import WetgenError
from wetgen.training import checkpoint, run
from wetgen.training.config import Budget, TextConfig, TrainConfig
from wetgen.training.data import load_photos
from wetgen.training.sentences import SentenceSource, SentenceTeacher, load_teacher, sentence_of, words_of
from wetgen.training.stages.text import TextStage, start_words
from wetgen.training.text_encoder import SentenceEncoder, build_taught, embed, shrunk_tokenizer, token_ids

CAPTIONS = ["efflorescence on a brick wall", "spalled plaster, no mildew"]
CONFIG = TextConfig(vocabulary=700, width=32, layers=1, heads=2, word_width=16, inner_width=48, batch=8, tokens=24)


@pytest.fixture(scope="module")
def teacher() -> SentenceTeacher:
    return load_teacher()


@pytest.fixture(scope="module")
def small(teacher: SentenceTeacher) -> SentenceTeacher:
    """A teacher of random weights with the real one's tokenizer: a second instead of a minute."""
    torch.manual_seed(0)
    shape = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return SentenceTeacher(BertModel(BertConfig(**shape), add_pooling_layer=False), teacher.tokenizer)


def test_the_teacher_places_words_by_what_they_mean(teacher: SentenceTeacher) -> None:
    texts = ["mold on the wall", "mildew along the wall", "a parquet floor"]
    encodings = teacher.tokenizer.encode_batch(texts)
    ids = torch.tensor([encoding.ids for encoding in encodings])
    _, sentences = teacher(ids, torch.tensor([encoding.attention_mask for encoding in encodings]).bool())
    mold, mildew, floor = sentences
    assert float(mold @ mildew) > float(mold @ floor) + 0.2


def test_the_tokenizer_keeps_the_captions_tokens_and_spells_all_other_words(teacher: SentenceTeacher) -> None:
    ours = shrunk_tokenizer(teacher.tokenizer, CAPTIONS, CONFIG)
    assert ours.get_vocab_size() == CONFIG.vocabulary
    teacher.tokenizer.no_padding()
    for caption in CAPTIONS:
        assert [t for t in ours.encode(caption).tokens if t != "[PAD]"] == teacher.tokenizer.encode(caption).tokens
    encoding = ours.encode("zymurgy & xylem?")
    assert "[UNK]" not in encoding.tokens and len(encoding.ids) == CONFIG.tokens
    assert ours.decode(encoding.ids, skip_special_tokens=True) == "zymurgy & xylem?"


def test_all_words_of_the_vocabulary_are_words(teacher: SentenceTeacher) -> None:
    words = words_of(teacher.tokenizer)
    assert words[0] == "the" and {"mold", "ceiling"} <= set(words) and len(words) > 15_000
    assert not any("##" in word or "[" in word for word in words)


def test_a_sentence_is_the_mean_of_its_real_tokens() -> None:
    states = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
    expected = torch.tensor([[0.6, 0.8]])  # of (1.5, 2), made 1 long
    torch.testing.assert_close(sentence_of(states, torch.tensor([[True, True, False]])), expected)


def test_sentences_are_a_function_of_the_generator() -> None:
    source = SentenceSource(CAPTIONS, ["water", "wood", "stone"])
    first, again, other = (source(40, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert any(s in CAPTIONS for s in first) and any("water" in s for s in first)


def test_padding_changes_no_token_of_a_sentence(small: SentenceTeacher) -> None:
    """Its attention never looks at padding, so the length that a batch is cut to does not matter."""
    tokenizer = shrunk_tokenizer(small.tokenizer, CAPTIONS, CONFIG)
    encoder = build_taught(CONFIG, tokenizer).eval()
    ids = token_ids(tokenizer, CAPTIONS[:1])
    length = int((ids != 0).sum())
    torch.testing.assert_close(embed(encoder, ids)[:, :length], embed(encoder, ids[:, :length]), atol=1e-5, rtol=1e-4)


def test_words_start_where_the_teacher_has_them(small: SentenceTeacher) -> None:
    tokenizer = shrunk_tokenizer(small.tokenizer, CAPTIONS, CONFIG)
    encoder = build_taught(CONFIG, tokenizer)
    spread = float(encoder.embeddings.word_embeddings.weight.detach().std())
    start_words(encoder, small, tokenizer)
    own = encoder.embeddings.word_embeddings.weight.detach()
    theirs = small.tokenizer.get_vocab()
    order = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    wide = small.bert.embeddings.word_embeddings.weight[[theirs[word] for word in order]].detach()
    wide, narrow = wide - wide.mean(0), own - own.mean(0)
    # Distances survive: 16 of 24 directions of random vectors carry more than half of their length.
    assert float(torch.corrcoef(torch.stack([(wide @ wide[5]), (narrow @ narrow[5])]))[0, 1]) > 0.7
    assert float(own.std()) == pytest.approx(spread, rel=0.01)


@pytest.fixture
def taught(tiny: TrainConfig) -> TrainConfig:
    return replace(tiny, text=replace(CONFIG, budget=Budget(steps=40), learning_rate=1e-2))


def test_the_stage_learns_to_read_as_the_teacher(
    taught: TrainConfig, small: SentenceTeacher, pairs_folder: Path
) -> None:
    photos = load_photos(pairs_folder, taught.data, taught.seed)
    tokenizer = shrunk_tokenizer(small.tokenizer, [photo.text for photo in photos.training], taught.text)
    stage = TextStage(build_taught(taught.text, tokenizer), tokenizer, small, photos, taught, Accelerator(cpu=True))
    before = stage.validate()
    for n in range(40):
        scalars = stage.step(torch.Generator().manual_seed(n), 0.0)
    after = stage.validate()
    assert after["tokens"] < 0.9 * before["tokens"] and after["sentence"] < before["sentence"]
    assert float(scalars["loss"]) == pytest.approx(float(scalars["tokens"] + scalars["sentence"]))


def test_a_run_reads_with_the_taught_encoder_and_leaves_it_as_it_is(
    taught: TrainConfig, small: SentenceTeacher, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "load_teacher", lambda: small)
    config = replace(taught, text=replace(taught.text, budget=Budget(steps=2)))
    started = run.start(config, pairs_folder, tmp_path / "run", resume=False)
    run.train_vae(started)
    with pytest.raises(WetgenError, match="no trained text encoder"):
        run.train_denoiser(started)
    run.train_text(started)
    found = checkpoint.Checkpoint.load(run.train_denoiser(started))
    started.journal.close()
    assert isinstance(found.text_encoder, SentenceEncoder)
    before = checkpoint.load_text(tmp_path / "run" / "text").state_dict()
    for name, value in found.text_encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert found.sizes.tokens == CONFIG.tokens and found.info["training_minutes"]["text"] >= 0
