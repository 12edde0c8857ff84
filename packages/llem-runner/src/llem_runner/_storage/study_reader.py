"""Read the study that a folder was created for."""

from __future__ import annotations

from llem_config import StudyConfig
from llem_runner._errors import StudyError
from llem_runner._storage.layout import Layout
from llem_runner._storage.study_folder import check_study_folder


def read_study(layout: Layout) -> StudyConfig:
    """Read the study that a folder was created for.

    Raises:
        StudyError: not a study folder, or the file is missing or damaged.
    """
    check_study_folder(layout.folder)
    try:
        return StudyConfig.model_validate_json(layout.resolved.read_bytes())
    except FileNotFoundError as error:
        raise StudyError(
            f"{layout.resolved} is missing; restore it from a copy, or run the study again in "
            "another folder"
        ) from error
    except OSError as error:
        raise StudyError(f"{layout.resolved} cannot be read: {error.strerror}") from error
    except ValueError as error:
        # pydantic's message has several lines and ends with a link.
        problem = " ".join(str(error).partition(" [type=")[0].split())
        raise StudyError(
            f"{layout.resolved} is damaged ({problem}); restore it from a copy, or run the study "
            "again in another folder"
        ) from error
