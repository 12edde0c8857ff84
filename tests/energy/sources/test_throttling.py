"""Throttle reasons have a name and a bit (RES-16)."""

from __future__ import annotations

import pytest

from llem_energy._sources.throttling import slowed_by, throttle_mask, throttle_names


@pytest.mark.parametrize("mask", [0, 0x1, 0x4, 0x61, 0x1FF, 0x200, 1 << 40])
def test_a_mask_converted_to_names_and_back_is_unchanged(mask: int) -> None:
    assert throttle_mask(throttle_names(mask)) == mask


def test_names_come_in_the_order_of_their_bits() -> None:
    assert throttle_names(0x224) == ("software power cap", "software thermal", "0x200")
    assert throttle_mask(["a reason without a bit", "sync boost"]) == 0x10


def test_low_clocks_of_an_idle_gpu_are_not_throttling() -> None:
    reasons = [None, ("idle",), ("power brake", "display clocks"), (), ("sync boost",)]
    assert slowed_by(reasons) == ("sync boost", "power brake")
