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
    """Maximum number of sequences in one step; the default of TensorRT-LLM if left out.

    Energy: more sequences share each read of the weights, so joules per token usually fall.
    """
    tp_size: Count | None = None
    """Number of GPUs over which each layer is split; 1 by default.

    Energy: more GPUs draw idle power and exchange data in each layer.
    """
    quantization: Literal["int8_sq", "int4_awq", "fp8"] | None = None
    """Format of quantised weights; none by default.

    Energy: fewer bytes are read per step; `fp8` and `int8_sq` also compute in 8 bits where the GPU
    can.
    """
    engine_path: Annotated[str | None, PathField()] = None
    """Folder of an engine that is already built; by default it is built.

    Energy: the engine fixes kernels and precision.
    """
