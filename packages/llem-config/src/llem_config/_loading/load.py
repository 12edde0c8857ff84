"""Loads a study file: returns a validated study, or raises every fault of the file at once.

    text -> data with places (yaml_document) -> parts (reader) -> grid over layers (sweep, layers)
    -> each point validated and hashed (points) -> StudyConfig

Layers, low to high: model defaults < `defaults` < `base` < top-level fields < sweep value <
explicit entry < `overrides`. The settings of the machine are not read here: a gap that no layer
sets stays None, and the runner fills it from the settings. So `defaults` may set no gap, because
the settings, which always have one, are above `defaults`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from llem_config._faults import ConfigError, Fault
from llem_config._loading.fault_messages import describe_value
from llem_config._loading.field_names import STUDY_KEYS
from llem_config._loading.layers import Source, merge, merged
from llem_config._loading.points import Points
from llem_config._loading.reader import Reader
from llem_config._loading.validation_faults import faults_of
from llem_config._loading.yaml_document import Document, read_document
from llem_config._loading.yaml_writing import as_yaml
from llem_config._spec.experiment import ExperimentConfig
from llem_config._spec.hashing import measurement_config_hash
from llem_config._spec.study import (
    EXECUTION_ALIASES,
    ExecutionConfig,
    Name,
    StudyConfig,
    too_many_runs,
)

COMMAND_LINE = "<command line>"
_Model = TypeVar("_Model", bound=BaseModel)


def load_study(
    path: str | Path,
    *,
    defaults: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    min_cycles: int = 1,
) -> StudyConfig:
    """Read a study file and return the study with every point validated.

    Args:
        path: the YAML file. Relative paths in it (models, data sets, adapters, `base`) count from
            its folder, and those in `base` from the folder of that file.
        defaults: the lowest layer, in the shape of a study file; a command's own defaults. It may
            not set a gap, because the default of a gap is a setting of the machine.
        overrides: the highest layer, in the same shape; a command's flags. It may not set a
            swept key. Relative paths in it count from the working directory.
        min_cycles: a smaller `n_cycles` in the file is a mistake, because its points would not be compared.

    Raises:
        ConfigError: the file has mistakes, and this error has all of them with their lines; or
            no point can run.
    """
    path = Path(path)
    return _Loader(path, read_document(path), defaults or {}, overrides or {}).study(min_cycles)


def load_experiment(
    path: str | Path,
    *,
    defaults: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ExperimentConfig:
    """Read the file of one experiment; arguments and errors are those of `load_study`."""
    path = Path(path)
    return _Loader(path, read_document(path), defaults or {}, overrides or {}).experiment()


def study_from_fields(
    fields: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> StudyConfig:
    """Return the study that data in the shape of a study file describe; no file is needed.

    Its `source` is the text of a study file with these fields and the overrides, which gives the
    same study.

    Args:
        fields: as in a study file. Relative paths count from the working directory.
        defaults: as in `load_study`.
        overrides: as in `load_study`.

    Raises:
        ConfigError: as in `load_study`; the mistakes have no lines.
    """
    document = Document(COMMAND_LINE, fields)
    layers = (defaults or {}, overrides or {})
    study = _Loader(Path(), document, *layers).study()
    text = as_yaml(merge(fields, overrides or {}))
    return study.model_copy(update={"source": text, "overrides": None})


def experiment_from_fields(
    fields: Mapping[str, Any], *, overrides: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """Return the experiment that data in the shape of an experiment file describe.

    Arguments and errors are those of `study_from_fields`.
    """
    return _Loader(Path(), Document(COMMAND_LINE, fields), {}, overrides or {}).experiment()


class _Loader:
    """Loads one file: its documents, its layers and the faults so far."""

    def __init__(
        self,
        path: Path,
        document: Document,
        defaults: Mapping[str, Any],
        overrides: Mapping[str, Any],
    ) -> None:
        self.path = path
        self.document = document
        self.reader = Reader()
        self.overrides = Document(COMMAND_LINE, overrides)
        self.defaults = Document("<defaults>", defaults)
        fixed = [
            self._fields_of(document) for document in (self.defaults, *self._base(), self.document)
        ]
        self.files = tuple(source.document for source in fixed[1:])
        self.points = Points(self.document, fixed, self._fields_of(self.overrides), self.reader)

    def study(self, min_cycles: int = 1) -> StudyConfig:
        self._check_layer(self.defaults, ("execution",))
        self._check_layer(self.overrides, ("execution", "name", "max_experiments"))
        execution = self._execution()
        name = self._name()
        points = self.points
        points.expand()
        self._raise_faults()
        if not points.valid:
            reasons = sorted({point.reason for point in points.skipped})
            why = "; ".join(reasons) if reasons else "exclude drops every point"
            problem = f"no point of this study can run: {why}"
            raise ConfigError([Fault(self.document.file, 0, 0, "", problem)])
        self._check_paths()
        if execution.n_cycles < min_cycles:
            self._check_cycles(execution.n_cycles, min_cycles)
        if too_many := too_many_runs(len(points.valid), execution.n_cycles):
            raise ConfigError([self.document.fault(("execution", "n_cycles"), too_many)])
        return StudyConfig(
            name=name,
            experiments=tuple(points.valid),
            execution=execution,
            skipped=tuple(points.skipped),
            n_excluded=points.n_excluded,
            factors=points.factors,
            levels=tuple(points.levels) if points.factors else (),
            warnings=tuple(points.warnings),
            source=self.document.text,
            overrides=dict(self.overrides.data) or None,
        )

    def _check_cycles(self, n_cycles: int, least: int) -> None:
        """Return if no file has the number of cycles, which is too small.

        Raises:
            ConfigError: one has it.
        """
        for document in reversed(self.files):
            section = document.data.get("execution")
            if isinstance(section, Mapping) and "n_cycles" in section:
                problem = (
                    f"expected at least {least}, because points with fewer runs are not compared; found "
                    f"{n_cycles}; write {least} or more"
                )
                raise ConfigError([document.fault(("execution", "n_cycles"), problem)])

    def _check_paths(self) -> None:
        """Check that a relative path names the same file in every point that is otherwise equal.

        Raises:
            ConfigError: it does not; one of the points would be dropped as a duplicate.
        """
        if not any(point.paths for point in self.points.valid):
            return
        seen: dict[str, dict[str, str]] = {}
        for point in self.points.valid:
            paths = seen.setdefault(measurement_config_hash(point), point.paths or {})
            if paths != (point.paths or {}):
                files = sorted({*paths.values(), *(point.paths or {}).values()})
                problem = (
                    f"the same relative path names several files: {', '.join(files)}; "
                    "write the full path in one of the layers"
                )
                raise ConfigError([Fault(self.document.file, 0, 0, "", problem)])

    def experiment(self) -> ExperimentConfig:
        for key in self.document.data:
            if key in STUDY_KEYS and key not in ("base", "name"):
                problem = "this key belongs to a study; run the file with `study run`"
                self.reader.add(self.document, (key,), problem, at_key=True)
        for layer in (self.defaults, self.overrides):
            self._check_layer(layer, ())
        self.points.add_single()
        self._raise_faults()
        for point in self.points.skipped:
            raise ConfigError([Fault(self.document.file, 0, 0, "", point.reason)])
        return self.points.valid[0]

    def _fields_of(self, document: Document) -> Source:
        return Source(document, self.reader.fields(document, (), document.data, STUDY_KEYS))

    def _check_layer(self, layer: Document, allowed: tuple[str, ...]) -> None:
        for key in layer.data:
            if key in STUDY_KEYS and key not in allowed:
                problem = "this key can only be set in a study file"
                self.reader.add(layer, (key,), problem)

    def _base(self) -> list[Document]:
        if "base" not in self.document.data:
            return []
        name = self.document.data["base"]
        if not isinstance(name, str):
            problem = f"expected the path of an experiment file, found {describe_value(name)}"
            self.reader.add(self.document, ("base",), problem)
            return []
        try:
            path = self.path.parent / Path(name).expanduser()
            is_there = path.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, a null byte, `~nobody`
            path, is_there = Path(name), False
        if not is_there:
            problem = f"no such file: {path}; correct the path, which counts from this file"
            self.reader.add(self.document, ("base",), problem)
            return []
        base = read_document(path)
        for key in STUDY_KEYS:
            if key in base.data:
                problem = (
                    "a base file cannot have a base itself; remove this key"
                    if key == "base"
                    else "a base file may set only experiment fields; move this key to the study file"
                )
                self.reader.add(base, (key,), problem, at_key=True)
        return [base]

    def _execution(self) -> ExecutionConfig:
        documents = (self.overrides, self.document, self.defaults)
        sources = [self._execution_of(document) for document in documents]
        for field in ("config_gap_seconds", "cycle_gap_seconds"):
            if field in sources[-1].data:
                problem = "the settings of the machine give the default of a gap; set it there"
                self.reader.faults.add(sources[-1].fault((field,), problem, at_key=True))
        return self._validated(ExecutionConfig, sources) or ExecutionConfig()

    def _execution_of(self, document: Document) -> Source:
        data = document.data.get("execution", {})
        if not isinstance(data, Mapping):
            self.reader.add(
                document, ("execution",), f"expected a mapping, found {describe_value(data)}"
            )
            data = {}
        renamed: dict[str, Any] = {}
        written: dict[str | int, str] = {}
        for key, value in data.items():
            field = EXECUTION_ALIASES.get(key, key)
            if field in renamed:
                problem = f"{key} is another name of {field}; set only one of them"
                self.reader.add(document, ("execution", key), problem, at_key=True)
            renamed[field] = value
            written[field] = key
        return Source(document, renamed, ("execution",), written=written)

    def _name(self) -> str:
        for document in (self.overrides, self.document):
            if "name" in document.data:
                name = document.data["name"]
                try:
                    return TypeAdapter(Name).validate_python(name, strict=True)
                except ValidationError:
                    problem = (
                        "expected at most 100 letters, digits, dots, dashes and underscores, "
                        f"the first a letter or digit, found {describe_value(name)}"
                    )
                    self.reader.add(document, ("name",), problem)
                    return "study"
        # A letter with an accent becomes the letter; letters of other scripts have no replacement.
        letters = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", self.path.stem))
        return re.sub(r"[^A-Za-z0-9._-]+", "-", letters).lstrip("._-")[:100].rstrip("-") or "study"

    def _validated(self, model: type[_Model], sources: list[Source]) -> _Model | None:
        """Validate the merged sources (highest first); collect faults and return None if any."""
        data = merged(reversed(sources))
        try:
            return model.model_validate(data)
        except ValidationError as error:
            schema = model.model_json_schema(by_alias=False)
            faults_of(error, sources, schema, data, sources[-1], self.reader.faults)
            return None

    def _raise_faults(self) -> None:
        if self.reader.faults:
            raise self.reader.faults.error()
