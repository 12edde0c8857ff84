"""Settings of this machine and person: never part of a study, never of a hash.

Read from `llem/config.yaml` in the user's config folder, or the file that `LLEM_CONFIG` names;
every setting can be overridden by an environment variable, e.g.
`LLEM_EXECUTION__CONFIG_GAP_SECONDS=30`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    ValidationError,
)

from llem_config._errors import ConfigError, Fault
from llem_config._loading.fault_messages import sentence
from llem_config._loading.yaml_document import Document, read_document

ENV_PREFIX = "LLEM_"
ENV_FILE = "LLEM_CONFIG"
ENV_CACHE = "LLEM_CACHE"
_SECTION = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OutputSettings(BaseModel):
    """Where results go."""

    model_config = _SECTION

    results_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Path("results")


class ExecutionSettings(BaseModel):
    """How long this machine needs between runs, where the study file does not say."""

    model_config = _SECTION

    config_gap_seconds: NonNegativeFloat = 60.0
    cycle_gap_seconds: NonNegativeFloat = 300.0
    gap_until_temperature_c: PositiveFloat | None = None
    """After its seconds, a gap goes on until every GPU is this cool."""
    gap_within_c: PositiveFloat | None = None
    """Or until every GPU is at most so much warmer than before the study's first run."""
    gap_at_most_seconds: NonNegativeFloat = 600.0
    """For both, and counted after the gap's own seconds."""


class MeasurementSettings(BaseModel):
    """What a joule means here."""

    model_config = _SECTION

    carbon_intensity_gco2_kwh: NonNegativeFloat | None = None
    datacenter_pue: Annotated[float, Field(ge=1)] = 1.0
    electricity_price_kwh: NonNegativeFloat | None = None


class DeviceSettings(BaseModel):
    """Which GPUs to read where the backend itself names none."""

    model_config = _SECTION

    gpus: tuple[int | str, ...] = ()
    """NVML indices or UUIDs."""


class Settings(BaseModel):
    """Every machine-local setting; each has a default."""

    model_config = _SECTION

    output: OutputSettings = OutputSettings()
    execution: ExecutionSettings = ExecutionSettings()
    measurement: MeasurementSettings = MeasurementSettings()
    devices: DeviceSettings = DeviceSettings()


def settings_path() -> Path:
    """Return the file that `load_settings` reads, whether it exists or not."""
    named = os.environ.get(ENV_FILE)
    if named:
        return Path(named).expanduser()
    import platformdirs  # only `load_settings` needs it; validating a study file does not

    return platformdirs.user_config_path("llem") / "config.yaml"


def cache_path() -> Path:
    """Return the file of what was found out about this machine; anyone may delete it any time.

    It is `llem/calibrations.json` in the user's cache folder, or the file that `LLEM_CACHE` names.
    """
    named = os.environ.get(ENV_CACHE)
    if named:
        return Path(named).expanduser()
    import platformdirs  # as above

    return platformdirs.user_cache_path("llem") / "calibrations.json"


def load_settings() -> Settings:
    """Return this machine's settings: defaults < file < environment.

    Raises:
        ConfigError: a file that `LLEM_CONFIG` names is missing, or a value is wrong.
    """
    path = settings_path()
    document = read_document(path) if path.exists() or os.environ.get(ENV_FILE) else None
    try:
        return _resolve(document)
    except ValidationError as error:
        raise ConfigError([_fault(found, document) for found in error.errors()]) from error


def _resolve(document: Document | None) -> Settings:
    # Imported here: it costs more than all the rest of this package.
    from pydantic_settings import (
        BaseSettings,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
        SettingsError,
    )

    class _Sources(BaseSettings, Settings):
        model_config = SettingsConfigDict(
            env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
        )

        @classmethod
        def settings_customise_sources(  # the environment over the file, nothing else
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del settings_cls, dotenv_settings, file_secret_settings
            return env_settings, init_settings

    data = dict(document.data) if document else {}
    try:
        return Settings.model_validate(_Sources(**data).model_dump())
    except SettingsError as error:
        raise ConfigError(_broken_variables()) from error


def _broken_variables() -> list[Fault]:
    """Return a fault for each variable that has to be JSON, a list or a whole section, but is not."""
    names = [f"{ENV_PREFIX}{section}".upper() for section in Settings.model_fields]
    faults = []
    for name in (*names, f"{ENV_PREFIX}DEVICES__GPUS"):
        try:
            json.loads(os.environ.get(name, "null"))
        except ValueError:
            problem = f"expected JSON, such as [0, 1], found {os.environ[name]!r}"
            faults.append(Fault("<environment>", 0, 0, name, problem))
    return faults


def _fault(error: Any, document: Document | None) -> Fault:
    route = tuple(part for part in error["loc"] if isinstance(part, str | int))
    problem = sentence(error, Settings.model_json_schema(), route)
    variable = ENV_PREFIX + "__".join(str(part) for part in route[:2]).upper()
    if document is None or variable in os.environ:
        return Fault("<environment>", 0, 0, variable, problem)
    return document.fault(route, problem)
