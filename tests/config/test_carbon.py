from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import pytest

from llem_config import ConfigError, load_settings
from llem_config._carbon import time_zone
from llem_config.carbon import carbon_of, country_of_time_zone, grid_intensity
from llem_config.settings import MeasurementSettings

ROWS = list(
    csv.DictReader(
        (files("llem_config") / "_carbon" / "intensities.csv").read_text("utf-8").splitlines()
    )
)


def test_every_row_has_a_figure_of_a_recent_year_and_can_be_found_by_code_and_name() -> None:
    assert len(ROWS) == 208
    for row in ROWS:
        assert len(row["code3"]) == 3 and len(row["code2"]) == 2 and row["name"]
        assert 2022 <= int(row["year"]) <= 2024
        # No grid is free of emissions over its life cycle, and oil alone gives about 1000.
        assert 20 < float(row["gco2_per_kwh"]) < 1400
        found = {grid_intensity(row[key]).code for key in ("code3", "code2", "name")}
        assert found == {row["code3"]}
    for key in ("code3", "code2", "name"):
        assert len({row[key].lower() for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("name", ["DEU", "de", " Germany "])
def test_a_country_has_a_figure_with_its_year_and_publisher(name: str) -> None:
    grid = grid_intensity(name)
    assert (grid.code, grid.year, grid.gco2_per_kwh) == ("DEU", 2024, 344.14)
    assert grid.source.startswith("Germany, mean of 2024: Ember")


def test_a_country_that_does_not_exist_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLEM_MEASUREMENT__COUNTRY", "Germony")
    with pytest.raises(
        ConfigError, match=r"by ISO 3166 .* found 'Germony'; did you mean 'Germany'"
    ):
        load_settings()


def test_a_number_in_the_settings_wins_over_the_country() -> None:
    both = MeasurementSettings(carbon_intensity_gco2_kwh=12, country="DEU")
    assert carbon_of(both) == (12, "the settings of this machine")
    assert carbon_of(MeasurementSettings(country="DEU")).gco2_per_kwh == 344.14
    assert carbon_of(MeasurementSettings()) == (None, None)


@pytest.mark.parametrize(
    ("zone", "country"),
    [
        ("Europe/Berlin", "DE"),
        (":America/New_York", "US"),
        ("UTC", None),
        ("Etc/UTC", None),
        ("Nowhere/Town", None),
    ],
)
def test_the_time_zone_tells_the_country_and_utc_tells_none(
    zone: str, country: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = tmp_path / "zone.tab"
    table.write_text(
        "# comment\nDE\t+5230+01322\tEurope/Berlin\tmost of Germany\n"
        "US\t+404251-0740023\tAmerica/New_York\tEastern\n"
    )
    monkeypatch.setattr(time_zone, "_TABLE", table)
    monkeypatch.setenv("TZ", zone)
    assert country_of_time_zone() == country
    found = carbon_of(MeasurementSettings(country="auto"))
    assert (found.gco2_per_kwh is None) == (country is None)


def test_the_link_of_the_local_time_names_the_zone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    zones = tmp_path / "zoneinfo"
    (zones / "Europe").mkdir(parents=True)
    (zones / "Europe" / "Paris").touch()
    (tmp_path / "localtime").symlink_to(zones / "Europe" / "Paris")
    (zones / "zone.tab").write_text("FR\t+4852+00220\tEurope/Paris\n")
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(time_zone, "_ZONES", zones)
    monkeypatch.setattr(time_zone, "_TABLE", zones / "zone.tab")
    monkeypatch.setattr(time_zone, "_LOCAL_TIME", tmp_path / "localtime")
    assert country_of_time_zone() == "FR"
    monkeypatch.setattr(time_zone, "_LOCAL_TIME", tmp_path / "none")
    assert country_of_time_zone() is None
