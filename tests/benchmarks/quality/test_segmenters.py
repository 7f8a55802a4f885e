"""The ridge segmenter's closed form, and the networks' loop at tiny size."""

import math
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.quality.walls import CRACK, STAIN, walls
from wetgen.benchmarks.quality.controls import blurred, noisy, shifted
from wetgen.benchmarks.quality.scores import confusion_matrices, iou
from wetgen.benchmarks.quality.segmenters import Trainer, loop, mixing, predict
from wetgen.benchmarks.quality.segmenters.filters import FilterBank
from wetgen.benchmarks.quality.segmenters.loop import Recipe, SegmentationNetwork, class_weights, draw, fit
from wetgen.benchmarks.quality.segmenters.ridge import BALANCE, NEVER, RIDGE, RidgeSegmenter, RidgeTrainer, solve
from wetgen.benchmarks.quality.segmenters.segformer import SegformerTrainer
from wetgen.benchmarks.quality.segmenters.sums import BACKGROUND, Sums, SumsMemory, pair_moments
from wetgen.benchmarks.quality.segmenters.unet import UNetTrainer
from wetgen.export.onnx.files import export
from wetgen.runtime.bundle.graphs import Graph, Tensor
from wetgen.runtime.errors import WetgenError

torch.set_num_threads(1)
SOME, OTHERS, UNSEEN = walls(16, 1, 32), walls(6, 2, 32), walls(12, 3, 32)


@pytest.fixture(scope="module")
def segmenter() -> RidgeSegmenter:
    return RidgeTrainer().train(SOME, None, 0)


def test_the_readout_is_the_discriminant_of_the_textbook() -> None:
    """ESL eq. 4.10 written out with loops, on three clouds."""
    rng = np.random.default_rng(0)
    clouds = [rng.normal(mean, 1, (count, 2)) for mean, count in ((0, 400), (1, 60), (3, 20))]
    ones = [np.hstack([cloud, np.ones((len(cloud), 1))]) for cloud in clouds]
    weights = solve(Sums({id: x.T @ x for id, x in zip((0, 2, 3), ones, strict=True)}), 4)
    share = np.array([400, 60, 20]) / 480
    balance = share ** (1 - BALANCE) / (share ** (1 - BALANCE)).sum()
    within = sum(b * np.cov(cloud.T, bias=True) for b, cloud in zip(balance, clouds, strict=True))
    ridged = within + RIDGE * np.diag(np.diag(within))
    point = np.array([0.7, 1.9])
    for id, cloud, prior in zip((0, 2, 3), clouds, share, strict=True):
        mean = cloud.mean(0)
        expected = point @ np.linalg.solve(ridged, mean) - mean @ np.linalg.solve(ridged, mean) / 2
        first = clouds[0].mean(0)
        expected -= point @ np.linalg.solve(ridged, first) - first @ np.linalg.solve(ridged, first) / 2
        expected += (1 - BALANCE) * np.log(prior / share[0])
        found = weights[:, :-1] @ point + weights[:, -1]
        assert found[id] - found[0] == pytest.approx(expected, abs=1e-6)  # 1e-9 stands beside the variances
    np.testing.assert_array_equal(weights[1], [0, 0, NEVER])


def test_sums_are_those_of_every_damaged_pixel_and_of_a_lattice_of_the_others() -> None:
    bank, image, mask = FilterBank(0), SOME.images[0], SOME.masks[0]
    moments = pair_moments(bank, image, mask)
    with torch.inference_mode():
        pixels = bank(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0].double().numpy()
    pixels = np.concatenate([pixels, np.ones((1, 32, 32))])
    for id in np.unique(mask):
        assert moments[id][-1, -1] == pytest.approx((mask == id).sum(), rel=1e-12)
        if id:
            exact = pixels[:, mask == id] @ pixels[:, mask == id].T
            np.testing.assert_allclose(moments[id], exact, rtol=1e-4, atol=1e-3)  # float32 products
    shares = [moments[0][i, -1] / (pixels[i, mask == 0].sum()) for i in range(24)]
    assert 0.8 < np.median(shares) < 1.25 and BACKGROUND > 1  # an estimate


def test_sums_of_a_set_do_not_depend_on_what_was_summed_before() -> None:
    bank, fresh, resumed = FilterBank(0), SumsMemory(), SumsMemory()
    resumed.sums(SOME.take(range(5)), 0, bank)
    whole, continued = fresh.sums(SOME, 0, bank), resumed.sums(SOME, 0, bank)
    for id in whole.moments:
        np.testing.assert_array_equal(whole.moments[id], continued.moments[id])


def test_sums_add_up_over_sets_and_copies_count_as_often_as_they_come() -> None:
    bank, memory = FilterBank(0), SumsMemory()
    first, second = SOME.take([0, 1, 2]), SOME.take([3, 4])
    whole, parts = memory.sums(first + second, 0, bank), memory.sums(first, 0, bank) + memory.sums(second, 0, bank)
    copied = memory.sums(second.take([0, 1, 0, 1, 0]), 0, bank)
    counted = memory.sums(second.take([0]), 0, bank) * 3 + memory.sums(second.take([1]), 0, bank) * 2
    for left, right in ((whole, parts), (copied, counted)):
        assert left.moments.keys() == right.moments.keys()
        for id in left.moments:
            np.testing.assert_allclose(left.moments[id], right.moments[id], rtol=1e-12)


def test_training_repeats_to_the_last_digit_whatever_was_trained_before(segmenter: RidgeSegmenter) -> None:
    trainer = RidgeTrainer()
    trainer.train(SOME.take(range(7)), OTHERS, 0)
    again = trainer.train(SOME, None, 0)
    assert np.array_equal(again.probabilities(UNSEEN.images), segmenter.probabilities(UNSEEN.images))
    other = trainer.train(SOME, None, 1)
    assert not np.array_equal(other.probabilities(UNSEEN.images), again.probabilities(UNSEEN.images))
    alone = RidgeTrainer().train(SOME, None, 1)
    assert np.array_equal(other.probabilities(UNSEEN.images), alone.probabilities(UNSEEN.images))


def test_reading_is_a_weighted_sum_of_the_features_that_are_trained_on() -> None:
    bank, images = FilterBank(0), torch.rand(2, 3, 16, 16)
    weights, bias = torch.randn(3, bank.width, 1, 1), torch.randn(3)
    expected = torch.einsum("kd,ndhw->nkhw", weights[:, :, 0, 0], bank(images)) + bias[:, None, None]
    # float32 sums of about 500 terms of size 1
    np.testing.assert_allclose(bank.read(images, weights, bias), expected, atol=1e-3)


def test_a_picture_is_seen_the_same_in_any_company(segmenter: RidgeSegmenter) -> None:
    alone = np.concatenate([segmenter.probabilities(image[None]) for image in UNSEEN.images])
    np.testing.assert_allclose(segmenter.probabilities(UNSEEN.images), alone, atol=1e-5)  # float32


def test_the_ridge_segmenter_learns_damage_and_loses_by_shifted_masks() -> None:
    train, unseen = walls(30, 4), walls(12, 5)
    trainer = RidgeTrainer()
    right = iou(confusion_matrices(trainer.train(train, None, 0), unseen).sum(0))
    moved = train.with_pixels(train.images, shifted(train.masks, 6))
    wrong = iou(confusion_matrices(trainer.train(moved, None, 0), unseen).sum(0))
    assert right[CRACK] > 0.5 and right[STAIN] > 0.5
    assert (right - wrong)[[CRACK, STAIN]].min() > 0.1


def test_copies_change_nothing_and_a_real_pair_weighs_at_least_a_quarter(segmenter: RidgeSegmenter) -> None:
    copied = RidgeTrainer().train(SOME, SOME.take(list(range(16)) * 3), 0)
    np.testing.assert_allclose(copied.probabilities(UNSEEN.images), segmenter.probabilities(UNSEEN.images), atol=1e-4)
    # Six extra pairs beside one real pair weigh as six beside two of it: three each.
    one, two = (RidgeTrainer().train(SOME.take([0] * count), OTHERS, 0) for count in (1, 2))
    np.testing.assert_allclose(one.probabilities(UNSEEN.images), two.probabilities(UNSEEN.images), atol=1e-4)
    assert mixing.weight_of_extra(10, 5) == mixing.weight_of_extra(10, 30) == 1
    assert mixing.weight_of_extra(10, 300) == pytest.approx(0.1)
    assert mixing.extra_per_real(10, 300) == 3


def test_probabilities_are_those_of_the_classes_seen(segmenter: RidgeSegmenter) -> None:
    found = segmenter.probabilities(UNSEEN.images)
    assert found.dtype == np.float32 and found.shape == (12, 3, 32, 32)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    cracks = SOME.take([i for i, mask in enumerate(SOME.masks) if STAIN not in mask])
    assert RidgeTrainer().train(cracks, None, 0).probabilities(UNSEEN.images)[:, STAIN].max() == 0
    np.testing.assert_array_equal(predict([segmenter, segmenter], UNSEEN.images), found)


@pytest.mark.parametrize("spoiled", [blurred(UNSEEN.images, 1.0), noisy(UNSEEN.images, 0.1, 0)])
def test_features_see_blur_and_noise(segmenter: RidgeSegmenter, spoiled: np.ndarray) -> None:
    plain, found = segmenter.features(UNSEEN.images), segmenter.features(spoiled)
    assert plain.shape == (12, 2 * 4 + 4 * 12) and plain.dtype == np.float64 and np.isfinite(plain).all()
    deviations = np.abs(found.mean(0) - plain.mean(0)) / plain.std(0)
    assert (deviations > 1).mean() > 0.2  # a fifth of the features, by more than pictures differ among themselves


def test_the_module_exports_to_standard_operators_of_any_batch(segmenter: RidgeSegmenter, tmp_path: Path) -> None:
    graph = Graph("segmenter", (Tensor("images", ("B", 3, 32, 32)),), (Tensor("probabilities", ("B", 3, 32, 32)),))
    file = export(segmenter.module, graph, tmp_path / "segmenter.onnx").path  # refuses any but standard operators
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    feed = UNSEEN.images[:5].transpose(0, 3, 1, 2).astype(np.float32) / 255
    found = session.run(None, {"images": feed})[0]
    np.testing.assert_allclose(found, segmenter.probabilities(UNSEEN.images[:5]), atol=1e-4)


@pytest.mark.parametrize("trainer", [RidgeTrainer(), UNetTrainer(), SegformerTrainer()])
def test_what_cannot_be_trained_on_is_an_error(trainer: Trainer) -> None:
    with pytest.raises(WetgenError, match="nothing to train on"):
        trainer.train(None, None, 0)
    with pytest.raises(WetgenError, match="20 pixels"):
        trainer.train(walls(2, 0, 20), None, 0)


# The networks' loop.

SHORT = Recipe(steps=20, batch=4, learning_rate=3e-3)


def test_the_learning_rate_rises_then_falls_along_a_cosine() -> None:
    recipe = Recipe(steps=100, warmup=0.1, learning_rate=1.0)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5) and rates[99] < 0.001 and np.all(np.diff(rates[10:]) < 0)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_real_pairs_of_a_step_are_the_same_whatever_stands_beside_them(seed: int, step: int) -> None:
    alone, _ = draw(SOME, None, 4, seed, step)
    images, masks = draw(SOME, OTHERS, 4, seed, step)
    assert len(alone) == 4 and len(images) == 4 + round(4 * 6 / 16)
    np.testing.assert_array_equal(images[:4], alone)
    more, _ = draw(SOME.take([0, 1]), OTHERS, 4, seed, step)
    assert len(more) == 4 + 3 * 4
    for image, mask in zip(images, masks, strict=True):
        owner = [
            way
            for pairs in (SOME, OTHERS)
            for i in range(len(pairs))
            for way in (1, -1)
            if np.array_equal(pairs.images[i][:, ::way], image) and np.array_equal(pairs.masks[i][:, ::way], mask)
        ]
        assert owner


def test_steps_differ_and_synthetic_pairs_alone_fill_a_batch() -> None:
    assert not np.array_equal(draw(SOME, None, 4, 0, 0)[0], draw(SOME, None, 4, 0, 1)[0])
    twice, _ = draw(SOME, SOME, 4, 0, 0)
    assert not np.array_equal(twice[:4], twice[4:])
    assert len(draw(None, OTHERS, 4, 0, 0)[0]) == 4


def test_class_weights_are_one_on_average_and_balance_by_the_root_of_frequency() -> None:
    weights = class_weights(SOME, None, 0.5).numpy()
    share = np.bincount(SOME.masks.ravel(), minlength=3) / SOME.masks.size
    assert (weights * share).sum() == pytest.approx(1)
    assert weights[CRACK] / weights[0] == pytest.approx(math.sqrt(share[0] / share[CRACK]))
    np.testing.assert_allclose(class_weights(SOME, None, 0.0), 1)
    cracks = SOME.with_pixels(SOME.images, np.where(SOME.masks == STAIN, 0, SOME.masks).astype(np.uint8))
    assert class_weights(cracks, None, 0.5)[STAIN] == 0
    np.testing.assert_allclose(class_weights(SOME, SOME, 0.5), weights, rtol=1e-6)


def test_the_loss_is_small_for_the_truth_and_worked_by_hand_for_a_guess() -> None:
    masks = torch.tensor([[[0, 1], [0, 0]]])
    sure = 50 * torch.nn.functional.one_hot(masks, 3).movedim(-1, 1).float()
    assert loop._loss(sure, masks, torch.ones(3), 1.0) == pytest.approx(0, abs=1e-6)
    guess = loop._loss(torch.zeros(1, 3, 2, 2), masks, torch.tensor([1.0, 5.0, 1.0]), 1.0)
    overlap = (2 / 3 + 1) / (4 / 3 + 1 + 1)  # of class 1 alone: nothing true is of class 2
    assert guess == pytest.approx(math.log(3) + 1 - overlap, rel=1e-5)


@pytest.mark.parametrize("trainer", [UNetTrainer(SHORT, base=8), None])
def test_networks_learn_repeat_and_leave_chance_as_it_was(trainer: UNetTrainer | None) -> None:
    made = _tiny_segformer() if trainer is None else trainer
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = made.train(SOME, OTHERS, 0)
    assert torch.equal(torch.random.get_rng_state(), before) and not torch.are_deterministic_algorithms_enabled()
    found = first.probabilities(UNSEEN.images)
    assert found.shape == (12, 3, 32, 32)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert np.mean(first.losses["values"][-5:]) < 0.95 * np.mean(first.losses["values"][:5])
    assert first.losses["steps"] == list(range(1, 21))
    torch.manual_seed(6)  # another state before must not matter
    assert np.array_equal(made.train(SOME, OTHERS, 0).probabilities(UNSEEN.images), found)
    assert not np.array_equal(made.train(SOME, OTHERS, 1).probabilities(UNSEEN.images), found)
    features = first.features(UNSEEN.images)
    assert features.shape[0] == 12 and features.dtype == np.float64 and np.isfinite(features).all()
    with torch.no_grad():
        module = first.module(torch.from_numpy(UNSEEN.images).permute(0, 3, 1, 2).float() / 255).numpy()
    np.testing.assert_allclose(module, found, atol=1e-5)


def _tiny_segformer(recipe: Recipe = SHORT) -> SegformerTrainer:
    from transformers import SegformerConfig

    sizes = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 16, 16], "num_attention_heads": [1, 1, 2, 2]}
    return SegformerTrainer(recipe, SegformerConfig(**sizes, decoder_hidden_size=16))


def test_seeds_choose_the_first_weights() -> None:
    still = Recipe(steps=1, batch=1, learning_rate=0.0)
    for trainer in (UNetTrainer(still, base=8), _tiny_segformer(still)):
        first, again, other = (trainer.train(SOME, None, seed).module.state_dict() for seed in (0, 0, 1))
        kernels = [name for name, values in first.items() if values.ndim == 4]
        assert kernels and all(torch.equal(first[name], again[name]) for name in kernels)
        assert not any(torch.equal(first[name], other[name]) for name in kernels)


def test_a_loss_curve_is_short_whatever_the_steps() -> None:
    found = loop.NetworkSegmenter(_Constant(0.0), [float(step) for step in range(125)]).losses
    assert len(found["steps"]) <= loop.POINTS and found["steps"][-1] == 125 and found["values"][0] == 1.0


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    with pytest.raises(WetgenError, match=r"diverged at step 1 of 20"):
        fit(_Constant(float("nan")), SOME, None, SHORT, 0)


class _Constant(SegmentationNetwork):
    """Scores every class the same everywhere."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = torch.nn.Parameter(torch.tensor(score))

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return self.score.expand(len(images), 3, *images.shape[-2:])
