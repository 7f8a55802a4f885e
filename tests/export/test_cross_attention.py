"""What is computed once per prompt: keys and values of every attention to the text, against the network's own."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from wetgen.export.graphs.cross_attention import keys_and_values, take_keys_and_values
from wetgen.export.graphs.rewrites import lightened
from wetgen.export.reference import attended
from wetgen.runtime.errors import WetgenError
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.denoiser import cross_attentions


def network(**settings: Any) -> UNet2DConditionModel:
    torch.manual_seed(0)
    plain: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "transformer_layers_per_block": 2,
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**plain, **settings}).eval().requires_grad_(False)


@torch.no_grad()
def test_a_network_given_keys_and_values_predicts_what_it_predicts_from_the_text():
    unet = network()
    latent, text = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 12)
    twin: Any = lightened(unet)
    take_keys_and_values(twin)
    given = keys_and_values(unet)(text)  # (2, 5, E)
    expected, found = unet(latent, 7, text).sample, twin(latent, 7, given).sample
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    swapped = torch.cat([given[..., 8:16], given[..., :8], given[..., 16:]], dim=-1)
    assert (twin(latent, 7, swapped).sample - expected).abs().max() > 1e-3  # the first layer's values for its keys


def test_the_projection_is_one_attention_after_the_other_each_keys_before_values(networks: Checkpoint):
    text = torch.randn(2, 3, networks.unet.config.cross_attention_dim)
    found = keys_and_values(networks.unet)(text)
    np.testing.assert_allclose(found, attended(networks.unet, text.numpy()), rtol=0, atol=2e-6)


def test_the_graphs_text_width_is_that_of_the_projection(networks: Checkpoint):
    assert networks.sizes.text_width == keys_and_values(networks.unet).out_features


def test_the_network_keeps_its_own_projections(networks: Checkpoint):
    before = [layer.to_k for layer in cross_attentions(networks.unet)]
    take_keys_and_values(lightened(networks.unet))
    assert [layer.to_k for layer in cross_attentions(networks.unet)] == before


def test_a_denoiser_that_treats_the_text_otherwise_is_refused():
    unet = network()
    cross_attentions(unet)[0].norm_cross = torch.nn.LayerNorm(12)
    with pytest.raises(WetgenError, match="norms the text"):
        keys_and_values(unet)


def test_a_denoiser_that_sees_no_text_is_refused():
    blind = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "mid_block_type": None}
    with pytest.raises(WetgenError, match="sees no text"):
        keys_and_values(network(**blind, transformer_layers_per_block=1))
