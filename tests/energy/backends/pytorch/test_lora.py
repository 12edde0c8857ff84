"""An adapter runs as requested: merged or separate, compiled or not, and in phases."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.backends.pytorch.phases import N_OUT, CallRecorder, phase_experiment, prepared
from energy.parts import checked, loaded

from llem_energy import BackendError
from llem_energy.preflight import Finding

peft = pytest.importorskip("peft", reason="adapters need `pip install peft`")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # from peft, about transformers


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(1)
    shape = peft.LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    peft.get_peft_model(loaded(phase_experiment())._model, shape).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("n_kept", [0, 4])
def test_an_adapter_that_lacks_weights_of_the_model_is_refused(
    adapter: Path, tmp_path: Path, n_kept: int
) -> None:
    """The library would draw the missing weights at random and measure another adapter."""
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    assert len(weights) > 4
    shutil.copytree(adapter, tmp_path / "part")
    kept = dict(list(weights.items())[:n_kept])
    save_file(kept, tmp_path / "part" / "adapter_model.safetensors")
    with pytest.raises(BackendError, match="part lack weights for this model"):
        loaded(phase_experiment(lora={"adapter": str(tmp_path / "part")}))


def test_a_missing_adapter_is_an_expected_failure(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "hub" / "models--some--adapter" / "snapshots" / "1").mkdir(parents=True)
    (tmp_path / "hub" / "models--some--adapter" / "refs").mkdir()
    (tmp_path / "hub" / "models--some--adapter" / "refs" / "main").write_text("1")
    (tmp_path / "empty").mkdir()
    names = (adapter, "some/adapter", tmp_path / "empty", tmp_path / "nowhere", "some/other")
    configs = [phase_experiment(lora={"adapter": str(name)}) for name in names]
    sentences = (
        f"the adapter folder {tmp_path / 'empty'} has no adapter_config.json; correct the path",
        f"there is no adapter folder {tmp_path / 'nowhere'}; correct the path, or use a hub id",
        "the adapter some/other is not in the local cache, and HF_HUB_OFFLINE is set; "
        "download the adapter, or unset HF_HUB_OFFLINE",
    )
    assert checked(*configs).expected_failures == tuple(
        Finding(sentence, (point,)) for point, sentence in enumerate(sentences, 2)
    )


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_an_adapter_works_compiled_and_in_phases(
    adapter: Path, merged: bool, compiled: bool
) -> None:
    import torch

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    options: dict[str, Any] = {"torch_compile": True, "torch_compile_backend": "eager"}
    lora = {"adapter": str(adapter), "merge_weights": merged}
    backend, batch = prepared(phase_experiment(lora=lora, pytorch=options if compiled else {}))
    plain, _ = prepared(phase_experiment())
    expected = backend.generate(batch)._ids.tolist()
    assert expected != plain.generate(batch)._ids.tolist()
    assert backend.effective_config()["compiled"] is compiled
    assert (torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0) is compiled
    decode = backend.phase("decode", batch)
    with CallRecorder(backend) as calls:
        decode.run()
    assert calls.answers() == expected
    with CallRecorder(backend) as calls:
        backend.phase("prefill", batch).run()
    assert calls.chosen == [[answer[0] for answer in expected]]


@pytest.mark.parametrize("merged", [False, True])
def test_the_operations_of_an_adapter_are_counted(adapter: Path, merged: bool) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    lora = {"adapter": str(adapter), "merge_weights": merged}
    options = {"attn_implementation": "eager"}
    backend, batch = prepared(phase_experiment(lora=lora, pytorch=options), [tuple(range(10, 18))])
    with FlopCounterMode(display=False) as counter:
        backend.generate(batch)
    assert backend.flops(8, N_OUT).total == pytest.approx(counter.get_total_flops(), rel=1e-6)
