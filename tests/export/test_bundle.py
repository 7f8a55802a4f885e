"""The bundle as a whole: what it holds, and what a failure leaves."""

from wetgen.runtime.bundle import Bundle


def test_a_checkpoint_becomes_a_bundle_that_draws_the_same(pair_bundle: Bundle):
    assert list(pair_bundle.plans) == ["ddim:3", "ddim:2"]
    print(pair_bundle.info["measured"])
