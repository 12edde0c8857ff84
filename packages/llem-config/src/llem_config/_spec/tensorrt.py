"""The section of TensorRT-LLM, which is validated and not run yet."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel

from llem_config._spec.limits import Count
from llem_config._spec.path_field import PathField
from llem_config._spec.strict import STRICT


class TensorRTConfig(BaseModel):
    """TensorRT-LLM: validated, not run yet."""

    model_config = STRICT

    max_batch_size: Count | None = None
    tp_size: Count | None = None
    quantization: Literal["int8_sq", "int4_awq", "fp8"] | None = None
    engine_path: Annotated[str | None, PathField()] = None
