"""Pre-flight reports why an experiment cannot start, without its inference library (CM-10, CFG-08)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from energy.parts import checked, experiment, run_python

from llem_config import ExperimentConfig
from llem_energy import BackendError, measure
from llem_energy.preflight import missing_libraries


def problems(config: ExperimentConfig) -> list[str]:
    """Return why an experiment cannot start."""
    return [finding.message for finding in checked(config).problems]


def of_folder(folder: str, **changes: Any) -> ExperimentConfig:
    return experiment(model=folder, weights="pretrained", **changes)


def test_a_builtin_model_can_start() -> None:
    assert problems(experiment()) == []
    assert missing_libraries("pytorch") == []


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    config = of_folder(str(tmp_path / "absent"), dataset=str(tmp_path / "absent.jsonl"))
    model, dataset = problems(config)
    assert "there is no model folder" in model
    assert "absent.jsonl: cannot be read" in dataset


def test_a_folder_without_a_model_is_reported(tmp_path: Path) -> None:
    (problem,) = problems(of_folder(str(tmp_path)))
    assert "has no config.json" in problem


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "expected JSON: "),
        (b"", "expected JSON: "),
        (b"\xff\xfe{}", "expected JSON: "),
        (b"[1]", "expected an object, found a list"),
        (b"null", "expected an object, found null"),
    ],
)
def test_a_damaged_configuration_is_reported_with_its_file(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "config.json").write_bytes(content)
    (problem,) = problems(experiment(model=str(tmp_path), weights="random"))
    assert problem.startswith(f"{tmp_path / 'config.json'}: {expected}")


def test_an_unknown_backend_is_reported() -> None:
    other = {"model": "builtin:tiny-llama", "backend": "vllm"}
    (problem,) = problems(ExperimentConfig.model_validate(other))
    assert "vllm; installed: pytorch" in problem


def test_text_for_a_builtin_model_is_reported(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "one"}\n' * 3)
    (problem,) = problems(experiment(dataset=str(prompts)))
    assert "no tokenizer" in problem


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        ({"HF_HUB_OFFLINE": "on"}, "HF_HUB_OFFLINE"),
        ({"TRANSFORMERS_OFFLINE": "1"}, "TRANSFORMERS_OFFLINE"),
        ({"TRANSFORMERS_OFFLINE": "True", "HF_HUB_OFFLINE": ""}, "TRANSFORMERS_OFFLINE"),
    ],
    ids=str,
)
def test_a_model_that_is_not_cached_is_reported_when_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    for name, value in ({"HF_HOME": str(tmp_path)} | variables).items():
        monkeypatch.setenv(name, value)
    (problem,) = problems(of_folder("someone/model"))
    assert f"not in the local cache, and {named} is set" in problem
    own = tmp_path / "hub" / "models--someone--model"
    (own / "snapshots" / "0123").mkdir(parents=True)
    (own / "refs").mkdir()
    (own / "refs" / "main").write_text("0123")
    assert problems(of_folder("someone/model")) == []
    assert problems(of_folder("someone/model", pytorch={"revision": "0123"})) == []
    assert len(problems(of_folder("someone/model", pytorch={"revision": "4567"}))) == 1


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"])
def test_a_model_is_found_in_the_cache_that_any_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv(variable, str(tmp_path))
    cache = tmp_path / "hub" if variable == "HF_HOME" else tmp_path
    (cache / "models--someone--model" / "refs").mkdir(parents=True)
    (cache / "models--someone--model" / "refs" / "main").write_text("0123")
    (cache / "models--someone--model" / "snapshots" / "0123").mkdir(parents=True)
    assert problems(of_folder("someone/model")) == []


def free_port() -> int:
    """Return a port at which no server listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache, allow access to the hub, and set no proxy."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_cache")
def test_a_model_that_is_not_cached_is_reported_where_the_hub_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    (problem,) = problems(of_folder("someone/model"))
    assert problem == (
        "the model someone/model is not in the local cache, and the hub cannot be reached "
        f"(127.0.0.1:{port}: Connection refused); download the model where the hub can be reached"
    )
    monkeypatch.setenv("HF_ENDPOINT", "http://no-such-host.invalid")
    (problem,) = problems(of_folder("someone/model"))
    assert "the hub cannot be reached (no-such-host.invalid:80: " in problem
    # A run that starts anyway does not wait for the library's retries either.
    with pytest.raises(BackendError, match="the hub cannot be reached"):
        measure(of_folder("someone/model"))


@pytest.mark.usefixtures("no_cache")
def test_a_hub_that_answers_directly_or_by_a_proxy_is_no_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", f"http://{address}")
        assert problems(of_folder("someone/model")) == []
        monkeypatch.setenv("HF_ENDPOINT", "https://no-such-host.invalid")
        for proxy in (f"http://{address}", address):
            monkeypatch.setenv("https_proxy", proxy)
            assert problems(of_folder("someone/model")) == []
        monkeypatch.setenv("no_proxy", "no-such-host.invalid")
        assert len(problems(of_folder("someone/model"))) == 1


def test_a_user_without_a_home_folder_gets_the_defaults(tmp_path: Path) -> None:
    program = (
        "import os, pwd\n"
        "def getpwuid(user):\n"
        "    raise KeyError(user)\n"
        "pwd.getpwuid = getpwuid\n"
        "os.environ.pop('HOME', None)\n"
        "from llem_config import ExperimentConfig\n"
        "from llem_config.settings import cache_path, load_settings\n"
        "from llem_energy.preflight import check, find_machine\n"
        "load_settings()\n"
        "names = 'builtin:tiny-llama', 'org/model', '~/model'\n"
        "configs = [ExperimentConfig(model=name) for name in names]\n"
        "findings = check(configs, find_machine()).problems\n"
        "print(cache_path().is_absolute(), [finding.points for finding in findings])\n"
    )
    unset = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "LLEM_CACHE")
    env = {"HF_HUB_OFFLINE": "1"} | dict.fromkeys(unset, "")
    assert run_python(
        f"import os\nfor name in {unset}: os.environ.pop(name)\n{program}", env=env
    ) == ("True [(1,), (2,)]\n")


def test_checks_and_loading_expand_the_home_folder(
    text_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(text_model.folder.parent))
    folder = f"~/{text_model.folder.name}"
    config = of_folder(folder, dataset=f"{folder}/prompts.jsonl", max_input_tokens=64)
    assert problems(config) == []
    assert measure(config).output_tokens == 3 * 4


def test_the_checks_load_no_inference_library() -> None:
    program = (
        "import sys\n"
        "from llem_config import ExperimentConfig\n"
        "from llem_energy.preflight import check, find_machine\n"
        "check([ExperimentConfig(model='builtin:tiny-llama')], find_machine())\n"
        "print('torch' in sys.modules)"
    )
    assert run_python(program).strip() == "False"
