"""The settings of this machine and its user; they are not part of a study or of a hash.

They are read from `llem/config.yaml` in the user's config folder, or from the file that
`LLEM_CONFIG` names. An environment variable overrides each of them, for example
`LLEM_EXECUTION__CONFIG_GAP_SECONDS=30`.

    from llem_config.settings import ExecutionSettings, Settings, load_settings
    settings = load_settings()                                  # of this machine
    settings = Settings(execution=ExecutionSettings(config_gap_seconds=5))
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from llem_config._errors import ConfigError, Fault
from llem_config._loading.fault_messages import describe_error
from llem_config._loading.yaml_document import Document, read_document
from llem_config._spec.limits import Factor, Seconds

__all__ = [
    "DeviceSettings",
    "ExecutionSettings",
    "MeasurementSettings",
    "OutputSettings",
    "Settings",
    "cache_path",
    "load_settings",
    "settings_path",
]

ENV_PREFIX = "LLEM_"
ENV_FILE = "LLEM_CONFIG"
ENV_CACHE = "LLEM_CACHE"
_SECTION = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _expanded(path: Path) -> Path:
    """Return a path with `~` replaced; unchanged if this user has no home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  # that of Path raises without a home folder


class OutputSettings(BaseModel):
    """Where results are written."""

    model_config = _SECTION

    results_dir: Annotated[Path, AfterValidator(_expanded)] = Path("results")
    """Folder in which every study gets a folder; a relative path counts from the current one."""


class ExecutionSettings(BaseModel):
    """How this machine executes runs, and the gaps between them for a study that does not set any."""

    model_config = _SECTION

    config_gap_seconds: Seconds = 60.0
    """Gap before a run, in seconds."""
    cycle_gap_seconds: Seconds = 300.0
    """Gap before the first run of a new cycle, in seconds."""
    executor: str = "auto"
    """Name of the executor that measures the runs, from the entry points `llem.executors`. `auto`:
    a child process per run, or the calling process for a single run without limits."""
    gap_until_temperature_c: Factor | None = None
    """A gap continues until every GPU has at most this temperature, in degrees Celsius."""
    gap_within_c: Factor | None = None
    """A gap continues until no GPU is warmer than before the first run of the study by more than
    this number of degrees."""
    gap_at_most_seconds: Seconds = 600.0
    """Max time in seconds that a gap continues for one of these temperatures."""


class MeasurementSettings(BaseModel):
    """Emissions and cost of energy at this site; None leaves them out of the results."""

    model_config = _SECTION

    carbon_intensity_gco2_kwh: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """Grams of CO2 equivalent per kilowatt-hour."""
    datacenter_pue: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """Power usage effectiveness: energy of the whole site per energy of its computers."""
    electricity_price_kwh: Annotated[float, Field(ge=0, le=1_000_000_000)] | None = None
    """Price per kilowatt-hour, in any currency."""


class DeviceSettings(BaseModel):
    """The GPUs to measure if the backend reports none."""

    model_config = _SECTION

    gpus: tuple[int | str, ...] = ()
    """NVML indices or UUIDs."""


class Settings(BaseModel):
    """All settings of a machine; each has a default."""

    model_config = _SECTION

    output: OutputSettings = OutputSettings()
    execution: ExecutionSettings = ExecutionSettings()
    measurement: MeasurementSettings = MeasurementSettings()
    devices: DeviceSettings = DeviceSettings()


def settings_path() -> Path:
    """Return the path of the file that `load_settings` reads; the file need not exist."""
    path = os.environ.get(ENV_FILE)
    if path:
        return _expanded(Path(path))
    import platformdirs  # not at the top, because validating a study file does not need it

    try:
        return platformdirs.user_config_path("llem") / "config.yaml"
    except RuntimeError:  # this user has no home folder, and so no such file
        return Path("~/.config/llem/config.yaml")


def cache_path() -> Path:
    """Return the path of the file with this machine's calibrations; it is safe to delete.

    It is `llem/calibrations.json` in the user's cache folder, or the file that `LLEM_CACHE` names.
    For a user without a home folder it is in the folder for temporary files.
    """
    path = os.environ.get(ENV_CACHE)
    if path:
        return _expanded(Path(path))
    import platformdirs  # as above

    try:
        return platformdirs.user_cache_path("llem") / "calibrations.json"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"llem-{os.getuid()}" / "calibrations.json"


def load_settings() -> Settings:
    """Return the settings of this machine; variables override the file, the file the defaults.

    Raises:
        ConfigError: the file that `LLEM_CONFIG` names is missing, or a value is wrong.
    """
    path = settings_path()
    document = (
        read_document(path, may_be_empty=True)
        if path.exists() or os.environ.get(ENV_FILE)
        else None
    )
    try:
        return _resolve(document)
    except ValidationError as error:
        raise ConfigError([_fault(item, document) for item in error.errors()]) from error


def _resolve(document: Document | None) -> Settings:
    # Imported here, because it takes longer to import than the rest of this package.
    from pydantic_settings import (
        BaseSettings,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
        SettingsError,
    )

    class _Sources(BaseSettings, Settings):
        model_config = SettingsConfigDict(
            env_prefix=ENV_PREFIX,
            env_nested_delimiter="__",
            env_ignore_empty=True,
            extra="forbid",
            frozen=True,
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

    # In a file with every line of a section commented out, the section has no value.
    data = {k: v for k, v in (document.data if document else {}).items() if v is not None}
    try:
        return Settings.model_validate(_Sources(**data).model_dump())
    except SettingsError as error:
        raise ConfigError(_broken_variables()) from error


def _broken_variables() -> list[Fault]:
    """Return a fault for each variable of a list or a section that is not valid JSON."""
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
    problem = describe_error(error, Settings.model_json_schema(), route)
    variable = ENV_PREFIX + "__".join(str(part) for part in route[:2]).upper()
    if document is None or os.environ.get(variable):
        return Fault("<environment>", 0, 0, variable, problem)
    return document.fault(route, problem)
