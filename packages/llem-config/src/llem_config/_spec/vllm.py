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
    """Maximum number of sequences in one step; vLLM's default if left out.

    Energy: more sequences share each read of the weights, so joules per token usually fall.
    """
    tensor_parallel_size: Count | None = None
    """Number of GPUs over which each layer is split; 1 by default.

    Energy: more GPUs draw idle power and exchange data in each layer.
    """
    gpu_memory_utilization: Fraction | None = None
    """Share of the GPU's memory that vLLM may use, no unit; vLLM's default if left out.

    Energy: more memory for the cache lets more sequences run at once.
    """
    enable_prefix_caching: bool | None = None
    """Whether the cache of prompts that begin with the same tokens is used again; vLLM's default if
    left out.

    Energy: tokens that are found in the cache are not computed in prefill.
    """
    block_size: Count | None = None
    """Number of tokens in a block of the cache; vLLM's default if left out.

    Energy: little; it changes how much of the last block is unused.
    """
    quantization: Literal["awq", "gptq", "fp8"] | None = None
    """Format of quantised weights; by default that of the model's files.

    Energy: fewer bytes are read per step; `fp8` also computes in 8 bits where the GPU can.
    """
