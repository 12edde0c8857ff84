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
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from llem_config._carbon.table import AUTO, grid_intensity
from llem_config._faults import MAX_FAULTS, ConfigError, Fault
from llem_config._loading.fault_messages import describe_error, describe_value
from llem_config._loading.suggest import nearest
from llem_config._loading.yaml_document import Document, read_document
from llem_config._machine_paths import (
    ENV_CACHE,
    ENV_FILE,
    cache_folder,
    cache_path,
    expanded,
    gains_path,
    settings_path,
)
from llem_config._spec.limits import Factor, Seconds
from llem_config.foreign_files import MAX_DEPTH

__all__ = [
    "DeviceSettings",
    "ExecutionSettings",
    "MeasurementSettings",
    "OutputSettings",
    "Settings",
    "cache_folder",
    "cache_path",
    "gains_path",
    "load_settings",
    "settings_path",
    "variable_warnings",
]

ENV_PREFIX = "LLEM_"
ENV_RUN_TAG = "LLEM_RUN_TAG"
"""Set by an executor in the process of a run. Everything that this process starts inherits it."""
ENV_OTHER_JOBS = "LLEM_OTHER_JOBS"
"""In the processes of runs: `possible` if other jobs may be on the machine, `certain` if other runs of the
same study are."""
_SECTION = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _known_country(name: str) -> str:
    """Return the code of three letters of a country in the table, or `auto`."""
    if name.strip().lower() == AUTO:
        return AUTO
    try:
        return grid_intensity(name).code
    except ValueError as error:
        raise PydanticCustomError("llem_country", "{why}", {"why": str(error)}) from error


class OutputSettings(BaseModel):
    """Where results are written."""

    model_config = _SECTION

    results_dir: Annotated[Path, AfterValidator(expanded)] = Path("results")
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
    `local`, a child process per run."""
    gap_until_temperature_c: Factor | None = None
    """A gap continues until every GPU has at most this temperature, in degrees Celsius."""
    gap_within_c: Factor | None = None
    """A gap continues until no GPU is warmer than before the first run of the study by more than
    this number of degrees."""
    gap_at_most_seconds: Seconds = 600.0
    """Max time in seconds that a gap continues for one of these temperatures."""


class MeasurementSettings(BaseModel):
    """Emissions and cost of energy at this site, which None leaves out; quality of the answers."""

    model_config = _SECTION

    carbon_intensity_gco2_kwh: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """Grams of CO2 equivalent per kilowatt-hour."""
    country: Annotated[str, AfterValidator(_known_country)] | None = None
    """Country whose mean carbon intensity applies if none is set: a code of ISO 3166, or `auto` for
    that of the time zone."""
    datacenter_pue: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """Power usage effectiveness: energy of the whole site per energy of its computers."""
    electricity_price_kwh: Annotated[float, Field(ge=0, le=1_000_000_000)] | None = None
    """Price per kilowatt-hour, in any currency."""
    quality: bool = True
    """Whether runs of trained weights end with reading a fixed text, to notice worse answers."""


class DeviceSettings(BaseModel):
    """The devices of this machine."""

    model_config = _SECTION

    gpus: tuple[int | str, ...] = ()
    """The GPUs to measure if the backend reports none: NVML indices or UUIDs."""
    peaks: bool = True
    """Whether the first run after a boot measures, after its last window, the highest rates of the
    device; later runs reuse them. Without them the result has no `mfu` and no `mbu`."""


class Settings(BaseModel):
    """All settings of a machine; each has a default."""

    model_config = _SECTION

    output: OutputSettings = OutputSettings()
    execution: ExecutionSettings = ExecutionSettings()
    measurement: MeasurementSettings = MeasurementSettings()
    devices: DeviceSettings = DeviceSettings()
    clusters: dict[str, dict[str, Any]] = {}
    """Of each cluster that studies are submitted to, by its name. The package of the cluster says
    which there are and checks them: `llem_config.cluster_settings`."""


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
        items, schema = error.errors(include_url=False), Settings.model_json_schema()
        # To describe a fault takes milliseconds, and a list may have thousands.
        faults = [_fault(item, document, schema) for item in items[:MAX_FAULTS]]
        raise ConfigError(faults, len(items) - len(faults)) from error


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
    except (SettingsError, RecursionError) as error:
        too_deep = isinstance(error, RecursionError)
        raise ConfigError(_broken_variables(too_deep=too_deep)) from error


def setting_names() -> tuple[tuple[str, str], ...]:
    """Return each setting as its section and its name, but those of clusters."""
    return tuple(
        (section, name)
        for section, model in Settings()
        if isinstance(model, BaseModel)
        for name in type(model).model_fields
    )


def variable_warnings() -> tuple[str, ...]:
    """Return a warning for each environment variable that is probably a misspelt setting.

    Other variables that begin with `LLEM_` may belong to other programs and cause no warning.
    """
    settings = {
        f"{ENV_PREFIX}{section}__{name}".upper(): name.upper() for section, name in setting_names()
    }
    sections = {f"{ENV_PREFIX}{section}".upper() for section in Settings.model_fields}
    used = {ENV_FILE, ENV_CACHE, *sections}
    by_name = {name: variable for variable, name in settings.items()}
    warnings = []
    for variable in os.environ:
        name = variable.upper().removeprefix(ENV_PREFIX)
        # One in a section is read by `load_settings`, which refuses a setting that does not exist.
        is_read = variable.upper() in used or variable.upper().split("__")[0] in sections
        if is_read or not variable.upper().startswith(ENV_PREFIX):
            continue
        match = nearest(variable.upper(), [*settings, ENV_FILE, ENV_CACHE])
        match = match or by_name.get(nearest(name, by_name) or "")
        if match is not None:
            warnings.append(
                f"the environment variable {variable} has no effect; did you mean {match}?"
            )
    return tuple(warnings)


def _broken_variables(*, too_deep: bool) -> list[Fault]:
    """Return a fault for each variable of a list or a section that is not valid JSON.

    Args:
        too_deep: what is wrong are objects and lists inside each other, more than can be parsed.
    """
    sections = tuple(f"{ENV_PREFIX}{section}".upper() for section in Settings.model_fields)
    json_names = {*sections, f"{ENV_PREFIX}DEVICES__GPUS"}
    faults = []
    for name, text in os.environ.items():
        # Names in small letters count too.
        if not name.upper().startswith(sections):
            continue
        if too_deep:
            if text.count("[") + text.count("{") > MAX_DEPTH:
                problem = (
                    f"expected at most {MAX_DEPTH} objects and lists inside each other, found more"
                )
                faults.append(Fault("<environment>", 0, 0, name, problem))
            continue
        try:
            json.loads(text if name.upper() in json_names else "null")
        except ValueError:
            problem = f"expected JSON, such as [0, 1], found {describe_value(text)}"
            faults.append(Fault("<environment>", 0, 0, name, problem))
    return faults


def _fault(error: Any, document: Document | None, schema: dict[str, Any]) -> Fault:
    route = tuple(part for part in error["loc"] if isinstance(part, str | int))
    problem = describe_error(error, schema, route)
    depth = 3 if route[:1] == ("clusters",) else 2
    variable = ENV_PREFIX + "__".join(str(part) for part in route[:depth]).upper()
    if document is None or os.environ.get(variable):
        return Fault("<environment>", 0, 0, variable, problem)
    return document.fault(route, problem, at_key=error["type"] == "extra_forbidden")
