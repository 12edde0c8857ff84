"""What new users get wrong in their first week: study files, command lines, and the wrong kind of path.

Each has the words that its answer must have: where the mistake is, what was expected, what was found,
and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass

GOOD = "model: builtin:tiny-llama\nn: 2\npytorch: {device: cpu}\n"
USAGE, FAILED = 2, 1


@dataclass(frozen=True)
class Mistake:
    """A wrong file or command, and what its answer must say."""

    name: str
    arguments: tuple[str, ...]
    words: tuple[str, ...]
    text: str | bytes = GOOD
    """Of `study.yaml`."""
    code: int = USAGE


def in_file(name: str, text: str | bytes, *words: str, code: int = USAGE) -> Mistake:
    """Return a mistake in the study file, found before anything runs."""
    return Mistake(name, ("study", "run", "study.yaml"), words, text, code)


def on_line(name: str, line: str, *words: str, code: int = USAGE) -> Mistake:
    """Return a mistake in the arguments, written as in a shell without quotes."""
    return Mistake(name, tuple(line.split(" ")), words, code=code)


IN_FILES = (
    in_file(
        "a misspelt field", "model: builtin:tiny-llama\nn: 2\nprecison: bf16\n",
        "study.yaml:3:1: precison: unknown key", "did you mean 'precision'?",
    ),
    in_file(
        "a field of a section at the top", GOOD + "batch_size: 8\n",
        "study.yaml:4:1: batch_size: unknown key", "pytorch.batch_size",
    ),
    in_file(
        "a misspelt field in a section", "model: builtin:tiny-llama\npytorch:\n  batchsize: 8\n",
        "study.yaml:3:3: pytorch.batchsize: unknown key", "did you mean 'batch_size'?",
    ),
    in_file(
        "a number in quotes", 'model: builtin:tiny-llama\nn: "64"\n',
        "study.yaml:2:4: n: expected a whole number", "found '64'", "without the quotes",
    ),
    in_file(
        "a unit behind a number", GOOD + "execution: {config_gap_seconds: 30s}\n",
        "study.yaml:4:33: execution.config_gap_seconds: expected a number", "found '30s'",
        "write 30, in seconds without a unit",
    ),
    in_file(
        "a number below the limit", "model: builtin:tiny-llama\nn: 0\n",
        "study.yaml:2:4: n: expected a whole number >= 1, found 0",
    ),
    in_file(
        "a name of torch for a precision", "model: builtin:tiny-llama\nprecision: bfloat16\n",
        "study.yaml:2:12: precision: expected", "bf16", "found 'bfloat16'",
    ),
    in_file(
        "a precision that is a quantisation", "model: builtin:tiny-llama\nprecision: int8\n",
        "study.yaml:2:12: precision: expected", "found 'int8'", "load_in_8bit",
    ),
    in_file(
        "a name of transformers for a field", GOOD + "max_new_tokens: 32\n",
        "study.yaml:4:1: max_new_tokens: unknown key", "max_output_tokens",
    ),
    in_file(
        "an old name of the Python package", GOOD + "num_input_prompts: 4\n",
        "study.yaml:4:1: num_input_prompts: unknown key", "did you mean 'n'?",
    ),
    in_file(
        "cycles outside their section", GOOD + "n_cycles: 5\n",
        "study.yaml:4:1: n_cycles: unknown key", "execution.n_cycles",
    ),
    in_file(
        "no model", "n: 2\npytorch: {device: cpu}\n",
        "study.yaml:1:1: model: required, but missing", "write `model: ...`",
    ),
    in_file(
        "a folder without a model", "model: ./models/llama\nn: 2\n",
        "there is no model folder", "models/llama", "correct the path, or use a hub id", code=FAILED,
    ),
    in_file(
        "a GPU that is not there", "model: builtin:tiny-llama\nn: 2\npytorch: {device: 'cuda:7'}\n",
        "study.yaml:3:19: pytorch.device: expected one of auto, cuda, cpu, found 'cuda:7'",
        "CUDA_VISIBLE_DEVICES=7",
    ),
    in_file(
        "a device by another name", "model: builtin:tiny-llama\nn: 2\npytorch: {device: gpu}\n",
        "study.yaml:3:19: pytorch.device: expected one of auto, cuda, cpu, found 'gpu'", "did you mean 'cuda'?",
    ),
    in_file(
        "a base that is not there", GOOD + "base: common.yaml\n",
        "study.yaml:4:7: base: no such file: common.yaml", "correct the path",
    ),
    in_file(
        "a tab", "model: builtin:tiny-llama\npytorch:\n\tbatch_size: 8\n",
        "study.yaml:3:1: a tab cannot indent a line; use spaces",
    ),
    in_file(
        "a mistake behind Windows line ends", GOOD.replace("\n", "\r\n") + "random_seed: many\r\n",
        "study.yaml:4:14: random_seed: expected a whole number", "found 'many'",
    ),
    in_file(
        "the encoding of PowerShell", GOOD.encode("utf-16"),
        "study.yaml: expected YAML in UTF-8, found UTF-16 text; save it as UTF-8",
    ),
    in_file(
        "a key twice", "model: builtin:tiny-llama\nn: 2\nn: 4\n",
        "study.yaml:3:1: n: this key is already set above; remove one",
    ),
    in_file(
        "a list without brackets", GOOD + "sweep:\n  precision: fp32, bf16\n",
        "study.yaml:5:14: sweep.precision: expected one of", "found 'fp32, bf16'",
        "write `precision: [fp32, bf16]` in sweep",
    ),
    in_file(
        "a swept field without its section", GOOD + "sweep:\n  batch_size: [1, 8]\n",
        "study.yaml:5:3: sweep.batch_size: unknown key", "pytorch.batch_size",
    ),
    in_file(
        "a switch as text", "model: builtin:tiny-llama\npytorch: {torch_compile: 'yes'}\n",
        "study.yaml:2:26: pytorch.torch_compile: expected true or false, found 'yes'",
    ),
    in_file(
        "an order by another name", GOOD + "execution: {cycle_order: random}\n",
        "study.yaml:4:26: execution.cycle_order: expected", "shuffled", "found 'random'",
    ),
    in_file(
        "no space after a colon", "model: builtin:tiny-llama\nn:2\n",
        "study.yaml:2:1: expected a space after the colon of 'n'",
    ),
)  # fmt: skip

ON_COMMAND_LINES = (
    on_line("a command without its group", "run study.yaml", 'nown command "run"', "llem-cli study run"),
    on_line("the file first", "study study.yaml run", "study.yaml", "llem-cli study run study.yaml"),
    on_line("a file alone", "study.yaml", "study.yaml", "llem-cli study run study.yaml"),
    on_line(
        "an option of other tools", "study run study.yaml --batch-size 8",
        "--batch-size", "--set pytorch.batch_size=8",
    ),
    on_line(
        "a sweep without an equals sign", "study run --model gpt2 --sweep precision fp32,bf16",
        "--sweep", "expected", "precision=fp32,bf16",
    ),
    on_line(
        "a space in a sweep", "study run --model gpt2 --sweep precision=fp32, bf16",
        "--sweep", "bf16", "precision=fp32,bf16",
    ),
    Mistake(
        "a wrong value in a sweep with brackets",
        ("study", "run", "--model", "gpt2", "--sweep", "precision=[fp32,bf8]"),
        ("sweep.precision[1]: expected one of fp32, fp16, bf16, found 'bf8'",),
    ),
    on_line(
        "a sweep beside a file", "study run study.yaml --sweep precision=fp32,bf16",
        "--sweep: expected --model with --sweep, found the file study.yaml",
    ),
    on_line(
        "a field without its section", "study run study.yaml --set batch_size=8",
        "<command line>", "batch_size: unknown key", "pytorch.batch_size",
    ),
    on_line(
        "a field and its value apart", "study run study.yaml --set pytorch.batch_size 8",
        "--set", "pytorch.batch_size=8",
    ),
    on_line(
        "a value with a unit", "study run study.yaml --cycles 3x",
        "--cycles: expected a whole number, found '3x'",
    ),
    on_line(
        "half a cycle", "study run study.yaml --cycles=2.5",
        "--cycles: expected a whole number, found '2.5'",
    ),
    on_line(
        "another ending of the file", "study run study.yml",
        "study.yml: no such file", "study.yaml",
    ),
    on_line(
        "a folder for results that cannot be written", "study run study.yaml --output /proc/results",
        "/proc", code=FAILED,
    ),
    on_line("an unknown GPU", "study run study.yaml --gpus 9", "gpus: expected `all`, or numbers", "(there is none), found 9", code=FAILED),
    on_line(
        "an unknown setting", "config set results ./here",
        "results", "output.results_dir",
    ),
    on_line(
        "a model with a file", "study run study.yaml --model gpt2",
        "--model: expected a study file or --model, found both; write --set model=gpt2",
    ),
)  # fmt: skip

WITH_PATHS = (
    on_line("a study that is not there", "study show results/none", "no such folder", "study list"),
    on_line("the parent of studies", "study report results", "use one of them", "STUDY", code=FAILED),
    on_line("a file in place of a study", "study show study.yaml", "the archive of a study, found another file"),
    on_line("a study in place of a file", "study run STUDY", "expected a study file", "study resume STUDY"),
    on_line(
        "an archive in place of a file", "study run study.zip",
        "study.zip: expected a study file", "the archive of a study", "study show study.zip",
    ),
    on_line(
        "an archive to extend", "study extend study.zip --study study.yaml",
        "study.zip: expected the folder of a study, found an archive", "data/study",
    ),
    on_line(
        "an archive to continue", "study resume study.zip",
        "study.zip: expected the folder of a study, found an archive", "data/study",
    ),
    on_line(
        "a study file without its flag", "study extend STUDY study.yaml",
        "study.yaml", "--study study.yaml",
    ),
    on_line(
        "a level that is there", "study extend STUDY --study same.yaml",
        "has all 2 points of the study file already", "add a level", code=FAILED,
    ),
    on_line("a spreadsheet", "study export STUDY table.xlsx", "table.xlsx", ".csv"),
    on_line("one study to compare", "study compare STUDY", "expected at least one later study, found none"),
    Mistake(
        "a sweep as an experiment", ("experiment", "run", "study.yaml"),
        ("study.yaml:4:1: sweep: this key belongs to a study", "run the file with `study run`"),
        GOOD + "sweep: {precision: [fp32, bf16]}\n",
    ),
)  # fmt: skip

MISTAKES = (*IN_FILES, *ON_COMMAND_LINES, *WITH_PATHS)
