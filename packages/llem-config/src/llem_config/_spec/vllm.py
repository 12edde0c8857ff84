"""The section of vLLM, which is validated and not run yet."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from llem_config._spec.limits import Count
from llem_config._spec.strict import STRICT

Fraction = Annotated[float, Field(ge=0.1, le=1.0)]


class VLLMConfig(BaseModel):
    """vLLM: validated, not run yet."""

    model_config = STRICT

    max_num_seqs: Count | None = None
    tensor_parallel_size: Count | None = None
    gpu_memory_utilization: Fraction | None = None
    enable_prefix_caching: bool | None = None
    block_size: Count | None = None
    quantization: Literal["awq", "gptq", "fp8"] | None = None
