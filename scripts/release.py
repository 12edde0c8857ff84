"""Check, build and tag one package: `uv run python scripts/release.py llem-config 0.1.0`.

The steps, in order; the first that fails ends the program with its reason and exit code 1:

1. the working tree is clean,
2. the version in the package's `pyproject.toml` is the one to release,
3. its `CHANGELOG.md` has a section of that version with a date and at least one entry,
4. the tag `PACKAGE-vVERSION` is free, or is on this commit already,
5. wheel and sdist are built,
6. the wheel, installed in a new environment, is imported and gives its version,
7. the tag is made (not with `--dry-run`).

Nothing is pushed and nothing is published: pushing the tag starts .github/workflows/release.yml.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATED = re.compile(r"## (?P<version>\S+) \((?P<date>\d{4}-\d\d-\d\d)\)")


class ReleaseError(Exception):
    """A step failed; its message says what was expected, what was found and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    options = parse(arguments)
    try:
        release(options.package, options.version, dry_run=options.dry_run, out_dir=options.out_dir)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="release.py", description="Check, build and tag one package."
    )
    parser.add_argument("package", choices=packages(), help="the package to release")
    parser.add_argument("version", help="its version, as in its pyproject.toml")
    parser.add_argument("--dry-run", action="store_true", help="do everything except the tag")
    parser.add_argument(
        "--out-dir", type=Path, metavar="DIR", help="keep the built files in this folder"
    )
    return parser.parse_args(arguments)


def release(package: str, version: str, *, dry_run: bool, out_dir: Path | None) -> None:
    """Check and build one package and tag the commit.

    Args:
        package: its name, such as `llem-config`.
        version: of its `pyproject.toml` and of the tag.
        dry_run: leave out the tag.
        out_dir: where the built files are kept; None for nowhere.

    Raises:
        ReleaseError: a step failed. No tag was made.
    """
    check_clean_tree()
    check_version(package, version)
    check_changelog(package, version)
    tag = f"{package}-v{version}"
    is_tagged = check_tag(tag)
    with tempfile.TemporaryDirectory(prefix="llem-release-") as folder:
        built = build(package, version, Path(folder))
        check_wheel(package, version, built, Path(folder))
        if out_dir is not None:
            out_dir.mkdir(parents=True, exist_ok=True)
            for file in built:
                shutil.copy2(file, out_dir)
        print(f"{package} {version}: built and checked {', '.join(file.name for file in built)}")
    if dry_run:
        print(f"dry run: the tag {tag} was not made")
    elif is_tagged:
        print(f"the tag {tag} is on this commit already")
    else:
        run("git", "tag", "--annotate", tag, "--message", f"Release {package} {version}")
        print(f"made the tag {tag}; publish it with: git push origin {tag}")


def packages() -> list[str]:
    """Return the names of the packages of the workspace."""
    return sorted(path.parent.name for path in (ROOT / "packages").glob("*/pyproject.toml"))


def check_clean_tree() -> None:
    """Refuse files that are changed or unknown to git: they would be in the built files."""
    changed = run("git", "status", "--porcelain").splitlines()
    if changed:
        raise ReleaseError(
            f"expected a clean working tree, found {len(changed)} changed or untracked files "
            f"({changed[0][3:]}, ...); commit or remove them"
        )


def check_version(package: str, version: str) -> None:
    """Compare the version to release with the package's metadata."""
    path = ROOT / "packages" / package / "pyproject.toml"
    declared = tomllib.loads(path.read_text("utf-8"))["project"]["version"]
    if declared != version:
        raise ReleaseError(
            f"packages/{package}/pyproject.toml: expected version {version}, found {declared}; "
            "change one of the two"
        )


def check_changelog(package: str, version: str) -> None:
    """Require a section of this version that has a date and an entry."""
    name = f"packages/{package}/CHANGELOG.md"
    text = (ROOT / name).read_text("utf-8")
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        if heading.split()[1] != version:
            continue
        if not DATED.fullmatch(heading):
            raise ReleaseError(
                f"{name}: expected the heading `## {version} (YYYY-MM-DD)`, found `{heading}`; "
                "write the date of the release"
            )
        if not re.search(r"^- ", body, re.MULTILINE):
            raise ReleaseError(
                f"{name}: expected an entry below `{heading}`, found none; describe what changed"
            )
        return
    raise ReleaseError(f"{name}: expected a section `## {version} (YYYY-MM-DD)`, found none")


def check_tag(tag: str) -> bool:
    """Return whether the tag is on this commit already; refuse a tag on another one."""
    if not run("git", "tag", "--list", tag):
        return False
    tagged, head = run("git", "rev-parse", f"{tag}^{{commit}}"), run("git", "rev-parse", "HEAD")
    if tagged != head:
        raise ReleaseError(
            f"expected the tag {tag} to be free, found it on commit {tagged[:12]}; "
            "a released version stays as it is: raise the version"
        )
    return True


def build(package: str, version: str, folder: Path) -> list[Path]:
    """Build wheel and sdist of one package and return them, the wheel first."""
    uv("build", "--quiet", "--package", package, "--out-dir", str(folder / "dist"))
    stem = f"{package.replace('-', '_')}-{version}"
    built = [folder / "dist" / f"{stem}-py3-none-any.whl", folder / "dist" / f"{stem}.tar.gz"]
    for file in built:
        if not file.is_file():
            raise ReleaseError(f"expected the build to make {file.name}, found no such file")
    return built


def check_wheel(package: str, version: str, built: list[Path], folder: Path) -> None:
    """Install the wheel in a new environment, import it, and compare its version.

    The environment has the versions of uv.lock and, of the other packages of the workspace, this
    commit: they may not be released yet.
    """
    environment = folder / "venv"
    without = ["--no-default-groups", "--no-editable", "--no-install-package", package]
    uv("sync", "--quiet", "--frozen", "--package", package, *without, environment=environment)
    python = environment / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", str(python), "--no-deps", str(built[0]))
    uv("pip", "check", "--python", str(python))
    module = package.replace("-", "_")
    program = (
        f"import {module}; from importlib.metadata import version; print(version('{package}'))"
    )
    # Isolated and from another folder, so that the sources of this tree are not found.
    installed = run(str(python), "-I", "-c", program, cwd=folder)
    if installed != version:
        raise ReleaseError(f"expected the wheel to give version {version}, found {installed}")


def uv(*arguments: str, environment: Path | None = None) -> str:
    """Run uv, the one that `uv run` names in the environment if there is one.

    Args:
        arguments: of the command.
        environment: folder of the virtual environment for `uv sync`, made if absent.
    """
    variables = {} if environment is None else {"UV_PROJECT_ENVIRONMENT": str(environment)}
    return run(os.environ.get("UV", "uv"), *arguments, variables=variables)


def run(*command: str, cwd: Path = ROOT, variables: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it prints, without the newline at the end.

    Raises:
        ReleaseError: it failed; the message holds what it wrote to stderr.
    """
    # uv would use the environment of this program instead of the new one.
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    env.update(variables or {})
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ReleaseError(f"`{command[0]}` was not found; install it") from error
    if done.returncode != 0:
        raise ReleaseError(f"`{' '.join(command)}` failed:\n{done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
