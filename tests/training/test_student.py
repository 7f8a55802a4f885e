"""A student of guidance: where it starts, what its scale does, and how it is sampled."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from wetgen.runtime.errors import WetgenError
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.losses import truncated_snr_weight
from wetgen.training.sample import guided, sample
from wetgen.training.student import SINUSOIDS, distilled, guidance_embedding, student_of


@pytest.fixture(scope="module")
def teacher() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=7,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        block_out_channels=(16,),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
    ).eval()


def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"x": (2, 4, 8, 8), "extra": (2, 3, 8, 8), "cond": (2, 5, 8), "uncond": (2, 5, 8)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def shaken(student: UNet2DConditionModel) -> UNet2DConditionModel:
    torch.manual_seed(2)
    torch.nn.init.normal_(student.time_embedding.cond_proj.weight, std=0.5)
    return student


def test_the_scale_is_embedded_as_diffusers_pipelines_embed_it() -> None:
    scale = torch.tensor([1.0, 1.25, 2.0, 7.5])
    expected = StableDiffusionPipeline.get_guidance_scale_embedding(None, scale - 1, SINUSOIDS)
    # Up to 6500 radians in float32, whose spacing there is 5e-4: the last digits of an angle are lost in both.
    torch.testing.assert_close(guidance_embedding(scale, SINUSOIDS), expected, rtol=0, atol=2e-3)


def test_scale_one_has_no_sines_and_full_cosines() -> None:
    expected = torch.cat([torch.zeros(1, 4), torch.ones(1, 4)], dim=1)
    torch.testing.assert_close(guidance_embedding(torch.tensor([1.0]), 8), expected, rtol=0, atol=0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5, 8.0])
@torch.no_grad()
def test_an_untaught_student_says_what_its_teacher_says_with_the_prompt(
    teacher: UNet2DConditionModel, scale: float
) -> None:
    given = inputs()
    student = student_of(teacher).eval()
    said = distilled(student, given["x"], 500, given["cond"], scale, given["extra"])
    prompted = guided(teacher, given["x"], 500, given["uncond"], given["cond"], 1.0, given["extra"])
    # One batch of 2 rows or of 4: the sums of a convolution come in another order.
    torch.testing.assert_close(said, prompted, rtol=0, atol=1e-5)


def test_a_student_shares_nothing_with_its_teacher(teacher: UNet2DConditionModel) -> None:
    held = {parameter.data_ptr() for parameter in teacher.parameters()}
    student = student_of(teacher)
    assert not any(parameter.data_ptr() in held for parameter in student.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())


@torch.no_grad()
def test_the_scale_changes_what_a_taught_student_says(teacher: UNet2DConditionModel) -> None:
    given, student = inputs(), shaken(student_of(teacher).eval())
    low, high = (distilled(student, given["x"], 500, given["cond"], scale, given["extra"]) for scale in (1.0, 3.0))
    assert float((low - high).abs().max()) > 1e-2


def test_a_student_cannot_teach(teacher: UNet2DConditionModel) -> None:
    with pytest.raises(WetgenError, match="is a student already"):
        student_of(student_of(teacher))


class Counting:
    """A UNet that notes the batch of every call."""

    def __init__(self, unet: Any) -> None:
        self.unet, self.config, self.batches = unet, unet.config, list[int]()

    def __call__(self, x: Tensor, *more: Any, **named: Any) -> Any:
        self.batches.append(len(x))
        return self.unet(x, *more, **named)


@torch.no_grad()
def test_a_step_of_a_student_is_one_call_without_an_unprompted_half(teacher: UNet2DConditionModel) -> None:
    given, steps, student = inputs(), NoiseSchedule().steps(4), Counting(shaken(student_of(teacher).eval()))
    *_, latent = sample(student, given["x"], given["uncond"], given["cond"], steps, 2.0, given["extra"])
    assert student.batches == [2] * 4
    x = given["x"]
    for step in steps:
        said = distilled(student, x, step.timestep, given["cond"], 2.0, given["extra"])
        x = step.keep * x + step.push * said
    torch.testing.assert_close(latent, x, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("prediction", "expected"), [("x0", [1, 1, 1, 3]), ("v", [1, 0.8, 0.5, 0.75]), ("eps", [1e8, 4, 1, 1])]
)
def test_the_truncated_snr_weight_by_hand(prediction: str, expected: list[float]) -> None:
    a = torch.tensor([0.0, 0.2, 0.5, 0.75], dtype=torch.float64)  # SNR 0, 1/4, 1, 3
    np.testing.assert_allclose(truncated_snr_weight(a, prediction), expected, rtol=1e-12)
