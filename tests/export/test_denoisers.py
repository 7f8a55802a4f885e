"""Steps of every kind in torch, before any export, against the network they came from."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from wetgen.export import reference
from wetgen.export.graphs.denoisers import Denoise, denoise
from wetgen.export.reference import Case
from wetgen.export.search.plans import plans_of
from wetgen.runtime.bundle.graphs import DEEP, KINDS, Sizes, Step, StepKind, denoise_graph
from wetgen.runtime.sampling.sampler import starting_noise
from wetgen.training.checkpoint import Checkpoint, _prompt_width
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.sample import free_conditioning

EVERY = "8,guided=2-5,keep=0;2;4;5;6;7"  # keeps, reuses and does neither, guided and not


def steps(solver: str = "ddim") -> tuple[Step, ...]:
    return plans_of([f"{solver}:{EVERY}"], NoiseSchedule())[0].steps


def steps_with(kind: StepKind) -> tuple[Step, ...]:
    return steps("dpmpp" if kind.multistep else "ddim")


def cases(unet: Any, kind: StepKind, sizes: Sizes) -> list[Case]:
    width = unet.config.cross_attention_dim
    texts = np.random.default_rng(0).standard_normal((3, sizes.tokens, width)).astype(np.float32)
    return reference.denoise_cases(unet, kind, sizes, steps_with(kind), texts)


def outputs(wrapper: Denoise, feed: dict[str, Any]) -> tuple[Any, ...]:
    found = wrapper(*(feed[name] for name in wrapper.inputs))
    return found if isinstance(found, tuple) else (found,)


@torch.no_grad()
def errors(wrapper: Denoise, case: Case) -> dict[str, float]:
    """The largest error of each output, relative to its largest value."""
    found = wrapper(*(torch.from_numpy(case.feed[name]) for name in wrapper.inputs))
    made = dict(zip(case.expected, found if isinstance(found, tuple) else (found,), strict=True))
    return {name: float(np.abs(made[name].numpy() - e).max() / np.abs(e).max()) for name, e in case.expected.items()}


def other_network(**settings: Any) -> tuple[UNet2DConditionModel, Sizes]:
    """Blocks without attention at one end, two resnets each, as in Stable Diffusion; without conditioning."""
    torch.manual_seed(3)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32, 32),
        layers_per_block=2,
        attention_head_dim=2,
        cross_attention_dim=16,
        norm_num_groups=8,
        **settings,
    )
    return unet.eval().requires_grad_(False), Sizes(32, 32, 4, 8, 8, 5, _prompt_width(unet.config), 0, 0, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_every_kind_is_the_networks_own(kind: StepKind, networks: Checkpoint):
    assert networks.sizes.deep_channels == 32
    for unet, sizes in ((networks.unet, networks.sizes), other_network(center_input_sample=True)):
        wrapper = denoise(unet, steps_with(kind), sizes, kind)
        declared = denoise_graph(sizes, kind)
        assert wrapper.graph == declared and wrapper.inputs == [tensor.name for tensor in declared.inputs]
        for case in cases(unet, kind, sizes):
            assert list(case.expected) == [tensor.name for tensor in declared.outputs]
            for tensor in declared.outputs:
                assert case.expected[tensor.name].shape == tensor.sizes(case.batch)
            assert max(errors(wrapper, case).values()) < 2e-5  # float32 sums in another order


@pytest.mark.parametrize("kind", [StepKind(True, "reuse"), StepKind(False, "reuse")])
def test_features_and_latent_both_matter_to_a_step_that_reuses(kind: StepKind, networks: Checkpoint):
    wrapper = denoise(networks.unet, steps(), networks.sizes, kind)
    (case, *_) = cases(networks.unet, kind, networks.sizes)
    for name in (DEEP, "latent", "embedding"):
        changed = Case(case.graph, case.batch, {**case.feed, name: case.feed[name] + np.float32(1)}, case.expected)
        assert errors(wrapper, changed)["latent_after"] > 1e-3


def test_reusing_features_at_once_changes_nothing(networks: Checkpoint):
    """A step with its own deep features is the whole step; with those of its neighbour it is nearly that."""
    texts = torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(1))
    noise = torch.from_numpy(starting_noise(0, 0, networks.sizes.latent)[None])
    free = free_conditioning(networks.unet, noise)
    with torch.no_grad(), reference.deep_features(networks.unet, None) as entered:
        whole = reference.predicted(networks.unet, noise, steps()[2], texts[:1], texts[1:], 3.0, free)
    with torch.no_grad(), reference.deep_features(networks.unet, entered[0]):
        again = reference.predicted(networks.unet, noise, steps()[2], texts[:1], texts[1:], 3.0, free)
    torch.testing.assert_close(again, whole, rtol=0, atol=0)


@pytest.mark.parametrize("solver", ["ddim", "dpmpp"])
def test_one_wrapper_walks_every_kind_as_the_reference_does(networks: Checkpoint, solver: str):
    sizes, wrapper = networks.sizes, denoise(networks.unet, steps(solver), networks.sizes)
    texts = torch.randn(2, sizes.tokens, 32, generator=torch.Generator().manual_seed(1))
    given = torch.from_numpy(reference.attended(networks.unet, texts.numpy()))
    noise = torch.from_numpy(starting_noise(0, 0, sizes.latent)[None])
    free = free_conditioning(networks.unet, noise)
    *_, wanted = reference.trajectory(networks.unet, noise, texts[:1], texts[1:], steps(solver), 3.0, free)
    state = {"latent": noise, "clean": noise}
    with torch.no_grad():
        for row, step in enumerate(steps(solver)):
            wrapper.turn_to(step.kind)
            feed = {
                **state,
                "embedding": given if step.guided else given[1:],
                "conditioning": free,
                "step": torch.tensor([row]),
                "guidance": torch.tensor([3.0]),
            }
            made = dict(zip([t.name for t in wrapper.graph.outputs], outputs(wrapper, feed), strict=True))
            state |= {name.removesuffix("_after"): tensor for name, tensor in made.items()}
    torch.testing.assert_close(state["latent"], wanted, rtol=1e-4, atol=1e-4)
