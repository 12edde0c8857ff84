"""A checkpoint that is quantised, on a device that runs it in another type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment, loaded

from llem_config import ExperimentConfig
from llem_energy import BackendError, measure
from llem_energy.models import estimate_memory

FP8 = {
    "quant_method": "fp8", "weight_block_size": [32, 32], "activation_scheme": "dynamic",
    "fmt": "e4m3",
}  # fmt: skip


def of(folder: Path, **changes: Any) -> ExperimentConfig:
    return experiment(**{"model": str(folder), "weights": "pretrained"} | changes)


@pytest.fixture
def fp8_model(tmp_path: Path) -> Path:
    """Return a model whose matrices are stored as FP8 in blocks, as published models are."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    shape = transformers.LlamaConfig(
        vocab_size=256, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for name in [name for name in weights if name.endswith("proj.weight")]:
        n_rows, n_columns = weights[name].shape
        weights[name] = (weights[name].float() * 100).to(torch.float8_e4m3fn)
        weights[f"{name}_scale_inv"] = torch.full((n_rows // 32, n_columns // 32), 0.01)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    data = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(data | {"quantization_config": FP8}))
    return tmp_path


def test_fp8_files_that_run_as_bfloat16_are_a_warning_and_in_the_effective_options(
    fp8_model: Path,
) -> None:
    result = measure(of(fp8_model, precision="bf16"))
    (warning,) = (w for w in result.measurement_warnings if "quantised" in w)
    assert warning == (
        f"model {str(fp8_model)!r} is quantised (fp8), but here it runs as bfloat16: these are not "
        "the figures of the quantised model"
    )
    checkpoint = result.effective_config["checkpoint"]
    assert checkpoint["quantization_config"] == FP8
    assert checkpoint["dtypes"]["float8_e4m3fn"] == 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    assert result.effective_config["dtype"] == "bfloat16"


def test_a_precision_that_unpacked_matrices_do_not_have_is_refused(fp8_model: Path) -> None:
    with pytest.raises(BackendError) as error:
        loaded(of(fp8_model, precision="fp32"))
    assert str(error.value) == (
        f"model {str(fp8_model)!r} is quantised, and here a part of its weights runs as bfloat16, "
        "which cannot be combined with precision fp32; set `precision: bf16`"
    )


def test_no_memory_is_estimated_for_files_that_some_devices_unpack(fp8_model: Path) -> None:
    assert estimate_memory(of(fp8_model, precision="bf16")) is None


def test_random_weights_for_a_quantised_configuration_are_a_warning(fp8_model: Path) -> None:
    data = json.loads((fp8_model / "config.json").read_text())
    data.pop("quantization_config")
    plain = fp8_model / "plain"
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps(data))
    config = of(fp8_model, weights="random", precision="bf16")
    (warning,) = loaded(config).warnings()
    assert "is quantised (fp8), but here it runs as bfloat16" in warning
    # They are not packed, so that their size is that of the plain model.
    expected = estimate_memory(of(plain, weights="random", precision="bf16"))
    assert expected is not None
    assert estimate_memory(config) == expected


def test_a_type_that_differs_from_the_files_is_a_warning(text_model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(text_model.folder, tmp_path / "model"))
    weights = {name: w.half() for name, w in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert loaded(of(folder, precision="fp16")).warnings() == ()
    for precision, name in (("bf16", "bfloat16"), ("fp32", "float32")):
        (warning,) = loaded(of(folder, precision=precision)).warnings()
        assert f"are stored as float16 and run as {name}" in warning
