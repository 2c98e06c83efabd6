"""`attnbench init`: a commented grid to start from, or a custom part with a grid that uses it."""

import keyword
import os
import re
import shlex
import sys
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from attnbench.cli.output import echo
from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.files import is_stdout, write_new, write_output
from attnbench.registry import REGISTRIES

GRID = Path("grid.yaml")
TEMPLATES = Path(__file__).parent / "templates"
# Python would import the new file instead of these where the working folder is on its path, as with `python -m`.
MODULES = sys.stdlib_module_names | {
    "PIL", "attnbench", "filelock", "matplotlib", "mlflow", "numpy", "pandas", "pillow", "pydantic", "pydantic_core",
    "ray", "rich", "sacrebleu", "scipy", "sklearn", "sqlalchemy", "torch", "typer", "yaml",
}  # fmt: skip
YAML_VALUES = re.compile(r"(?i:null|true|false|yes|no|on|off|y|n)")  # YAML reads these as something other than text
# The options of `attnbench compare` for the grid of each template.
COMPARISONS = {
    "score": "--against general",
    "scope": "--axis scope --against global",
    "normaliser": "--axis normaliser --against softmax",
    "task": "--against general",
    "model": "--axis model --against rnn",
    "image-model": "--axis model --against captioner",
}


def _part(kind: str, what: str) -> typer.models.OptionInfo:
    help_ = f"Write NAME.py, {what} to edit, and NAME.yaml, a grid that compares it."
    option: typer.models.OptionInfo = typer.Option(f"--{kind}", metavar="NAME", help=help_, show_default=False)
    return option


def init(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The grid file to write (default: grid.yaml); - prints it instead.",
            show_default=False,
        ),
    ] = None,
    score: Annotated[str | None, _part("score", "a score")] = None,
    scope: Annotated[str | None, _part("scope", "a scope")] = None,
    normaliser: Annotated[str | None, _part("normaliser", "a normaliser")] = None,
    task: Annotated[str | None, _part("task", "a task")] = None,
    model: Annotated[str | None, _part("model", "a model")] = None,
    image_model: Annotated[str | None, _part("image-model", "a model that reads images")] = None,
) -> None:
    """Write a commented starter grid, or a working custom part, such as a score. No file is overwritten.

    Then `attnbench run` trains the grid: `attnbench init --score mine` and `attnbench run mine.yaml`.
    """
    requested = {"score": score, "scope": scope, "normaliser": normaliser, "task": task, "model": model}
    requested["image-model"] = image_model
    parts = {kind: name for kind, name in requested.items() if name is not None}
    if len(parts) + (file is not None) > 1:
        options = [f"--{kind}" for kind in parts]
        given = ", ".join([*(["FILE"] if file is not None else []), *options])
        raise fail(f"init writes one thing at a time, found {given}", hint="call it once for each")
    for kind, name in parts.items():
        _write_part(kind, name)
        return
    _write_starter(GRID if file is None else file)


def _write_starter(file: Path) -> None:
    text = Path(__file__).with_name("starter.yaml").read_text(encoding="utf-8")
    if is_stdout(file):
        write_output(file, text)
        return
    # Another file is another grid: under the same name, its results would take the place of the first one's.
    text = text if file.name == GRID.name else _for_file(text, file)
    _write({file: text}, "give another name: attnbench init FILE")
    echo(f"Wrote {file}.", error=True)
    _echo_next(
        [
            (shlex.join(["attnbench", "expand", str(file)]), "list the cells"),
            (shlex.join(["attnbench", "run", str(file)]), "train them"),
        ]
    )


def _for_file(text: str, file: Path) -> str:
    """Returns the starter grid with the name of its file as the name of the run, in its commands as well."""
    from attnbench.grid.schema import run_name_problem

    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip(".-")
    if run_name_problem(name):
        return text
    # A name such as 2024 or null is text only in quotes.
    written = name if re.match("[A-Za-z_]", name) and not YAML_VALUES.fullmatch(name) else f'"{name}"'
    text = re.sub(r"^name: starter *(?= #)", lambda _: f"name: {written}".ljust(31), text, flags=re.MULTILINE)
    command = re.compile(r"^#   (attnbench \S+(?: \S+)?) {2,}(.*)$", re.MULTILINE)
    replaced = {"grid.yaml": shlex.quote(file.name), "starter": name}

    def commands(found: re.Match[str]) -> str:
        words = " ".join(replaced.get(word, word) for word in found[1].split())
        return f"#   {words:{29 + len(replaced['grid.yaml']) - len(GRID.name)}}  {found[2]}"

    return command.sub(commands, text)


def _write_part(kind: str, name: str) -> None:
    _check_name(kind, name)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    # A class cannot be called 1D, nor be a keyword such as None.
    class_name = class_name if class_name.isidentifier() and not keyword.iskeyword(class_name) else f"My{class_name}"
    files = {}
    for ending in ("py", "yaml"):
        text = (TEMPLATES / f"{kind.replace('-', '_')}.{ending}.txt").read_text(encoding="utf-8")
        files[Path(f"{name}.{ending}")] = Template(text).substitute(name=name, class_name=class_name)
    _write(files, f"give another name: attnbench init --{kind} NAME")
    code, grid = files
    commands = [
        (f"attnbench expand {grid}", "list the cells"),
        (f"attnbench run {grid}", "train them"),
        (f"attnbench compare {name} {COMPARISONS[kind]}", "which is better?"),
    ]
    what = f"an {kind.replace('-', ' ')}" if kind == "image-model" else f"a {kind}"
    echo(f"Wrote {code}, {what} to edit, and {grid}, a grid that compares it.", error=True)
    _echo_next(commands)


def _echo_next(commands: list[tuple[str, str]]) -> None:
    """Prints commands with their purposes, in words so few that a narrow terminal does not break the lines."""
    width = max(len(command) for command, _ in commands)
    lines = ["Next:", *(f"  {command:{width}}   # {purpose}" for command, purpose in commands)]
    echo("\n".join(lines), error=True)


def _check_name(kind: str, name: str) -> None:
    """Raises an error if a name cannot be used for a Python file, a class and a value in YAML."""
    problem = _name_problem(kind, name)
    if problem is None:
        return
    where = f"--{kind} {name}" if name.isprintable() else f"--{kind} {name!r}"
    proper = re.sub(r"\W+", "_", name.removesuffix(".py"), flags=re.ASCII).strip("_")
    # The first that would be accepted: a hint that is refused in turn helps nobody.
    usable = next((near for near in (proper, f"my_{proper.lower()}") if _name_problem(kind, near) is None), None)
    hint = "letters, digits and _, not beginning with a digit, up to 80 of them"
    raise fail(problem, where, f"did you mean {usable!r}?" if proper and usable else hint)


def _name_problem(kind: str, name: str) -> str | None:
    """Returns why a custom part cannot have a name; None if it can."""
    from attnbench.grid.schema import run_name_problem  # here, because it imports pydantic: `--help` stays fast

    of_kind = kind.removeprefix("image-")
    registry = REGISTRIES[of_kind]
    if name in registry and registry.is_builtin(name):
        return f"{name} is a built-in {of_kind}"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,79}", name):
        return f"{name!r} is not a name for a Python file"
    if keyword.iskeyword(name) or YAML_VALUES.fullmatch(name):
        return f"{name} has another meaning in Python or YAML"
    if run_name_problem(name):  # NAME.yaml is also the name of its run's folder
        return f"the results folder cannot have a run {name}"
    if name in MODULES:
        return f"{name}.py would take the place of the module {name}"
    return None


def _write(files: dict[Path, str], hint: str) -> None:
    """Writes new files; none of them if one exists."""
    existing = [file for file in files if os.path.lexists(file)]
    if existing:
        what = "the file already exists and was not changed"
        raise AttnbenchError(*(Problem(what, str(file), hint) for file in existing))
    write_new(files, "does its folder exist?")
