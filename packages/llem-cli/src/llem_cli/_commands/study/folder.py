"""The folder of a study, as an argument of `resume` and `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

StudyFolder = Annotated[Path, Parameter(help="Folder of the study, as printed when it ran.")]
