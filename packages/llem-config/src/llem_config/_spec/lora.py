"""An adapter on top of a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from llem_config._spec.path_field import PathField
from llem_config._spec.strict import STRICT


class LoRAConfig(BaseModel):
    """A LoRA adapter on top of the model."""

    model_config = STRICT

    adapter: Annotated[str, Field(min_length=1), PathField()]
    """The adapter: a hub id or a local folder.

    Energy: an adapter that is not merged adds operations to each of its layers.
    """
    merge_weights: bool = False
    """Whether the adapter is merged into the weights before the measurement.

    Energy: a merged adapter costs as much as the model alone.
    """
