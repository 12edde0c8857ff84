"""How a study was measured, as `study_result.json` has it."""

from __future__ import annotations

import msgspec


class MeasurementProtocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the study was run: the values in effect, from file, options and settings."""

    n_cycles: int
    cycle_order: str
    shuffle_seed: int
    shards_per_cycle: int | None = None
    """Into how many shards each cycle of a divided study was cut; None in any other study."""
    config_gap_seconds: float
    cycle_gap_seconds: float
    gap_until_temperature_c: float | None
    gap_within_c: float | None = None
    gap_at_most_seconds: float | None = None
    """Maximum length of a gap under both conditions above. `gap_within_c`, this field and
    `stall_seconds` are None in a file of format 1 or 2."""
    stall_seconds: float | None = None
    timeout_seconds: float | None
    """None if runs were measured in the calling process, where no timeout can be enforced."""
    energy_sources: tuple[str, ...]
    """Sources that the completed runs used; empty if nothing was metered."""
    counter_exactness: dict[str, int] = {}
    """Number of completed runs by the `counter_exactness` of their GPUs, such as `unverified`; empty if no
    GPU was metered, and in a file without this field, like the next two."""
    gain_errors: dict[str, int] = {}
    """Number of completed runs by the gain error of their sensors, with its origin."""
    host_sources: tuple[str, ...] = ()
    """Sources that metered the processor beside GPUs."""
    executors: tuple[str, ...] = ()
    """What measured the completed runs; empty in a file of format 1, 2 or 3."""
    carbon_intensity_gco2_kwh: float | None = None
    """Grams of CO2 equivalent per kilowatt-hour, from the settings of the machine or of its country;
    None if neither is set. This field and the next three are None in a file without them."""
    carbon_intensity_source: str | None = None
    """Where that figure comes from, with its country and year if it is from a table."""
    datacenter_pue: float | None = None
    """Energy of the whole site per energy of its computers."""
    electricity_price_kwh: float | None = None
    """Price per kilowatt-hour, in any currency; None if it is not set."""
