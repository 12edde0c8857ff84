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


@pytest.mark.parametrize(("n_values", "is_refused"), [(4, False), (100_000, True)])
def test_weights_of_an_adapter_that_are_not_used_are_never_silent(
    adapter: Path, tmp_path: Path, n_values: int, is_refused: bool
) -> None:
    """peft drops the weights of layers that the model does not have."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, tmp_path / "more")
    weights = load_file(adapter / "adapter_model.safetensors")
    name = "base_model.model.model.layers.99.self_attn.q_proj.lora_A.weight"
    weights[name] = torch.zeros(1, n_values)
    save_file(weights, tmp_path / "more" / "adapter_model.safetensors")
    config = phase_experiment(lora={"adapter": str(tmp_path / "more")})
    if is_refused:
        with pytest.raises(BackendError, match=r"100,000 of .*layers\.99\..*another model"):
            loaded(config)
    else:
        (warning,) = loaded(config).warnings()
        assert warning.startswith("4 of ")
        assert f"are not used, e.g. {name}" in warning
    assert loaded(phase_experiment(lora={"adapter": str(adapter)})).warnings() == ()


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("adapter_config.json", b"{", "expected JSON"),
        ("adapter_config.json", b"{}", "peft_type: expected the kind of the adapter"),
        ("adapter_config.json", b'{"peft_type": "LORA", "megatron_config": {}}', "megatron_config"),
        ("adapter_model.safetensors", b"\xff" * 20, "expected a safetensors file"),
        ("adapter_model.safetensors", None, "has no adapter_model.safetensors"),
    ],
    ids=str,
)
def test_a_damaged_adapter_is_reported_before_the_first_run(
    adapter: Path, tmp_path: Path, file: str, content: bytes | None, expected: str
) -> None:
    shutil.copytree(adapter, tmp_path / "bad")
    (tmp_path / "bad" / file).unlink()
    if content is not None:
        (tmp_path / "bad" / file).write_bytes(content)
    (finding,) = checked(phase_experiment(lora={"adapter": str(tmp_path / "bad")})).problems
    assert expected in finding.message


def test_a_missing_adapter_is_reported_before_the_first_run(
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
        f"there is no adapter folder {tmp_path / 'nowhere'}; {tmp_path} has 'empty', 'hub'; "
        "correct the path, or use a hub id",
        "the adapter some/other is not in the local cache, and HF_HUB_OFFLINE is set; "
        "download the adapter, or unset HF_HUB_OFFLINE",
    )
    report = checked(*configs)
    found = tuple(Finding(sentence, (point,)) for point, sentence in enumerate(sentences, 2))
    # A wrong folder is a mistake on every machine; what is cached concerns this one.
    assert (report.problems, report.expected_failures) == (found[:2], found[2:])


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
    from energy.backends.pytorch.counting import count_operations

    lora = {"adapter": str(adapter), "merge_weights": merged}
    options = {"attn_implementation": "eager"}
    backend, batch = prepared(phase_experiment(lora=lora, pytorch=options), [tuple(range(10, 18))])
    theirs = count_operations(backend, batch, 8 + N_OUT - 1)
    assert backend.flops(8, N_OUT).total == pytest.approx(theirs, rel=1e-6)
