"""Passwords and tokens are refused in study files, and struck out of messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from llem_config import ConfigError, ExperimentConfig, LlemError, load_study
from llem_config.credentials import is_credential_name, kind_of_credential, struck_out

HF = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zA9cE1gI3k"
SECRETS = {
    "Hugging Face": HF,
    "OpenAI": "sk-" + "abcdefghijklmnopqrstuvwx12345678",
    "OpenAI project": "sk-proj-" + "abc_def-ghi" * 4,
    "Anthropic": "sk-ant-api03-" + "abc_def-ghi" * 4,
    "AWS": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub": "ghp_" + "a1B2c3D4e5" * 4,
    "GitHub fine": "github_pat_" + "a1B2c3D4e5" * 5,
    "GitLab": "glpat-" + "a1B2c3D4e5" * 2,
    "Slack": "xoxb-" + "1234567890-abcdef",
    "Google": "AIza" + "a1B2c3D4e5f6G7h8i9j0k1L2m3N4o5P6q7R",
    "NVIDIA": "nvapi-" + "a1B2c3D4e5" * 4,
    "web token": "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".abcdefghijklmnop",
    "key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA " + "PRIVATE KEY-----",
    "bearer": "Bearer " + "abcdefgh12345678",
    "URL": "https://me:pa55word@hub.example.org/x",
    "URL without a user": "https://:pa55word@hub.example.org",
    "proxy": "http://user:p%40ss@proxy:3128",
    "signed URL": "https://bucket.example.org/x?sig=abcdefgh12345678",
}
NAMES = [
    *("token", "hf_token", "HF_TOKEN", "use_auth_token", "api_key", "apiKey", "API-KEY", "apikey"),
    *("password", "db.password", "proxyPassword", "authorization", "Authorization", "auth"),
    *("access_token", "client_secret", "aws_secret_access_key", "private_key", "credentials"),
    *("HUGGING_FACE_HUB_TOKEN", "wandb_api_key", "session-token", "basic_auth", "cookie", "passwd"),
]
HARMLESS = [
    *("max_new_tokens", "eos_token", "pad_token_id", "tokenizer", "bos_token", "eos_token_id"),
    *("tokens_per_second", "energy_per_output_token_j", "key", "keys", "num_key_value_heads"),
    *("key_dim", "author", "unk_token", "image_token", "forced_bos_token_id", "token_type_ids"),
    *("prompt_lookup_num_tokens", "max_input_tokens", "attn_implementation", "passthrough_kwargs"),
    *("skip_special_tokens", "first_token", "cache_key", "primary_key", "passes", "secretary"),
]
HARMLESS_TEXTS = [
    "/etc/passwd: expected a folder, found a file",
    *("org/hf_model", "sk-learn-contrib-something-long", "task-abcdefghijklmnopqrstuvwx"),
    *("mask-rcnn-resnet50-fpn-v2-coco-large", "https://hub.example.org/a/b?revision=main"),
    *("meta-llama/Llama-3.1-8B", "http://[::1]:8080/x@y", "git@github.com:org/repo", "12:30:45@x"),
    *("pad_token: <pad>", "eos_token_id=50256", "expected max_new_tokens: 128000", "a" * 64),
    *("key: value_of_the_key", "s3://bucket/key", "hf_" + "short", "unexpected token: identifier"),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_credential_name(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_names_of_options_are_no_secrets(name: str) -> None:
    assert not is_credential_name(name)


@pytest.mark.parametrize("kind", SECRETS)
def test_values_of_secrets_are_known_and_struck_out(kind: str) -> None:
    secret = SECRETS[kind]
    assert kind_of_credential(f"x = {secret}, y") is not None
    struck = struck_out(f"x = {secret}, y")
    assert "***" in struck
    assert secret not in struck
    assert "pa55" not in struck
    assert "p%40ss" not in struck
    assert struck_out(struck) == struck


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_other_texts_stay(text: str) -> None:
    assert kind_of_credential(text) is None
    assert struck_out(text) == text


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        ("hf_token=abcdefgh", "hf_token=***"),
        ("{'api_key': 'abcdefgh', 'n': 3}", "{'api_key': ***, 'n': 3}"),
        ('"password": "a b c d"', '"password": ***'),
        ("https://me:pa55@hub.example.org/x", "https://***@hub.example.org/x"),
        ("/login/password=abcdefgh", "/login/password=***"),
        ("a/b, password: abcdefgh", "a/b, password: ***"),
    ],
)
def test_a_value_after_the_name_of_a_secret_is_struck_out(text: str, struck: str) -> None:
    assert struck_out(text) == struck


def test_the_secrets_of_the_environment_are_struck_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "unusual-form")
    monkeypatch.setenv("OTHER", "unusual-value")
    assert struck_out("got unusual-form, unusual-value") == "got ***, unusual-value"
    assert str(LlemError("got unusual-form")) == "got ***"


@pytest.mark.parametrize(
    ("kwargs", "names"),
    [
        ({"hf_token": "x"}, "hf_token"),
        ({"api_key": "x"}, "api_key"),
        ({"a": {"b": [{"authorization": "x"}]}}, "a.b[0].authorization"),
        ({"headers": {"X": SECRETS["bearer"]}}, "headers.X"),
        ({"proxies": {"https": SECRETS["proxy"]}}, "proxies.https"),
        ({"x": [HF]}, "x[0]"),
    ],
)
def test_options_with_a_secret_at_any_depth_are_refused(
    kwargs: dict[str, object], names: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ExperimentConfig(model="a/b", passthrough_kwargs=kwargs)
    (error,) = caught.value.errors()
    assert error["msg"].startswith(f"{names} may not be written in a file; set the environment")


def test_options_that_only_sound_alike_are_accepted() -> None:
    kwargs = {"max_new": 1, "eos_token": "</s>", "pad_token_id": 0, "key": "x"}
    assert ExperimentConfig(model="a/b", passthrough_kwargs=kwargs).passthrough_kwargs == kwargs


@pytest.mark.parametrize("kind", sorted(SECRETS))
@pytest.mark.parametrize(
    "line", ["n: 1  # {}", "dataset: '{}'", "unknown: '{}'", "'{}': 1", "lora: {{adapter: '{}'}}"]
)
def test_a_study_file_with_a_secret_is_refused_without_showing_it(
    tmp_path: Path, kind: str, line: str
) -> None:
    secret = SECRETS[kind].splitlines()[0]
    file = tmp_path / "study.yaml"
    file.write_text("model: a/b\n" + line.format(secret) + "\n")
    with pytest.raises(ConfigError) as caught:
        load_study(file)
    for text in (str(caught.value), caught.value.pretty()):
        assert "study.yaml:2:" in text
        assert secret not in text
        assert "pa55" not in text
    assert any("found a" in fault.problem for fault in caught.value.faults)


@pytest.mark.parametrize("name", ["hf_token", "password", "wandb_api_key"])
def test_a_key_that_is_the_name_of_a_secret_has_advice(tmp_path: Path, name: str) -> None:
    (tmp_path / "study.yaml").write_text(f"model: a/b\n{name}: x\n")
    with pytest.raises(ConfigError, match="set the environment variable HF_TOKEN instead"):
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "a" * 5000, SECRETS["URL"]])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    for fields in (
        {"model": name},
        {"model": "a/b", "dataset": name},
        {"model": "a/b", "lora": {"adapter": name}},
        {"model": "a/b", "pytorch": {"assistant_model": name}},
    ):
        with pytest.raises(ValidationError) as caught:
            ExperimentConfig.model_validate(fields)
        error, *_ = caught.value.errors()
        assert error["type"] in ("llem_path", "string_unicode")


@pytest.mark.parametrize(
    "part",
    [
        *("x", "x-", "eyJ", "eyJ-", "eyJaaaaaaaaaaa.", "sk-", "hf_", "://", "a:", "a=", "'a"),
        *("bearer ", " ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN A", "?token=", "key = ", "-"),
    ],
)
def test_a_long_text_takes_time_in_proportion_to_its_length(part: str) -> None:
    """In quadratic time, a million characters would take hours, longer than the limit of a test."""
    for text in (part * (1_000_000 // len(part)), "://" + part * (1_000_000 // len(part))):
        assert len(struck_out(text)) <= len(text) + 10
        kind_of_credential(text)
