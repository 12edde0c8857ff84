"""4-bit weights on a CPU: differences and limits of the CPU kernel are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from energy.models import text_experiment
from energy.parts import experiment, loaded

from llem_energy import BackendError

bitsandbytes = pytest.importorskip("bitsandbytes")
# Other processors compute with the layers as they were packed.
repacks = pytest.mark.skipif(
    not bitsandbytes.functional.has_avx512bf16() or torch.cuda.is_available(),
    reason="needs a processor with AVX512-BF16, and no GPU",
)


def answer(model: Any, **changes: Any) -> None:
    options = {"device": "cpu", "batch_size": 1, "load_in_4bit": True, **changes}
    backend = loaded(experiment(model=str(model), precision="bf16", pytorch=options))
    backend.generate(*backend.prepare([(10, 11, 12)]).batches)


@repacks
@pytest.mark.parametrize(
    ("option", "requested", "actual"),
    [
        ("bnb_4bit_use_double_quant", True, "false"),
        ("bnb_4bit_compute_dtype", "float32", "bfloat16"),
    ],
)
def test_repacking_of_weights_by_the_cpu_is_detected_in_the_first_generation(
    wide_model: Path, option: str, requested: Any, actual: str
) -> None:
    answer(wide_model)
    with pytest.raises(BackendError, match=f"requested {option} .*, found {actual}"):
        answer(wide_model, **{option: requested})


@repacks
def test_layers_that_the_kernel_cannot_run_are_named_in_the_error(text_model: Any) -> None:
    with pytest.raises(
        BackendError, match=r"multiples of 64 inputs and 32 outputs, but \S+ has 32 and"
    ):
        loaded(
            text_experiment(
                text_model, precision="bf16", pytorch={"device": "cpu", "load_in_4bit": True}
            )
        )


@pytest.mark.parametrize(
    "option",
    [
        {"torch_compile": True},
        {"attn_implementation": "flex_attention"},
        {"cache_implementation": "quantized"},
    ],
    ids=str,
)
def test_without_a_compiler_options_that_need_one_fail_before_loading(
    option: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        BackendError, match=f"{next(iter(option))}.* on a CPU needs a C\\+\\+ compiler"
    ):
        loaded(experiment(pytorch={"device": "cpu", **option}))


def test_a_kernel_from_the_hub_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kernels.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BackendError, match="downloads an unknown kernel from the hub"):
        loaded(experiment(pytorch={"device": "cpu", "load_in_4bit": True}))
