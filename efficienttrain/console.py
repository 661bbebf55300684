"""A command line whose commands are modules of a package, each with `add_arguments(parser)` and `run(args) -> int`."""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import importlib.abc
import importlib.util
import io
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn


class Command(NamedTuple):
    """A module that holds a command, and the first line of its docstring."""

    module: str
    summary: str


def discover(package: str) -> dict[str, Command]:
    """The commands in a package, by name: its modules that define `add_arguments` and `run`. `plan_run` is `plan-run`.

    Modules are parsed, not imported, so that listing the commands does not need the libraries that they use.
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None, package
    found = {}
    for module in pkgutil.iter_modules(spec.submodule_search_locations):
        name = f"{package}.{module.name}"
        part = importlib.util.find_spec(name)
        source = part.loader.get_source(name) if part and isinstance(part.loader, importlib.abc.InspectLoader) else None
        tree = ast.parse(source or "")
        if {"add_arguments", "run"} <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            found[module.name.replace("_", "-")] = Command(
                name, (ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".")
            )
    return found


class Parser(argparse.ArgumentParser):
    """A parser whose errors do not list every option, and whose options cannot be abbreviated."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Exits with status 2; for an unknown option or command, the message suggests one of a similar name."""
        known = [name for action in self._actions for name in (*action.option_strings, *(action.choices or ()))]
        unknown = re.search(r"(?:unrecognized arguments: (?=--)|invalid choice: ')([\w-]+)", message)
        similar = difflib.get_close_matches(unknown[1], map(str, known), 1) if unknown else []
        hint = f"; did you mean `{similar[0]}`?" if similar else ""
        words = [str(action.metavar or action.dest.upper()) for action in self._actions if not action.option_strings]
        usage = " ".join([self.prog, "[options]", *words])
        self.exit(2, f"usage: {usage}\nerror: {message}{hint}\n`{self.prog} --help` explains the arguments.\n")


class _Print(argparse.Action):
    """Prints the text that `const` returns, and exits."""

    def __init__(self, option_strings: Sequence[str], dest: str, const: Callable[[], str], help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, const=const, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(self.const())
        parser.exit()


def execute(
    prog: str,
    commands: Mapping[str, Command],
    argv: Sequence[str] | None = None,
    version: Callable[[], str] | None = None,
) -> int:
    """Runs one command; returns its exit status.

    Args:
        prog: the program's name in help and messages.
        commands: by name. A module is imported when its command runs; its docstring is the command's description.
        argv: the words after `prog`; None: those of the process.
        version: the text of `--version`; None: no such option.

    Returns:
        The command's own, 2 (wrong argument or data, or a missing library), 130 (Ctrl-C), or 141 (the reader of its
        output ended before it, as in `COMMAND | head`).
    """
    try:
        try:
            return _execute(prog, commands, sys.argv[1:] if argv is None else argv, version)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
        return 141


def _give_up_output() -> None:
    """Redirects streams that nobody reads any more to nowhere, so that Python does not fail on them at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _execute(prog: str, commands: Mapping[str, Command], argv: Sequence[str], version: Callable[[], str] | None) -> int:
    """`execute`, which may raise BrokenPipeError."""
    raw = argparse.RawDescriptionHelpFormatter
    width = max(map(len, commands)) + 2
    listed = "\n".join(f"  {name:{width}}{command.summary}" for name, command in commands.items())
    parser = Parser(prog=prog, formatter_class=raw, epilog=f"commands:\n{listed}")
    parser.add_argument("command", choices=commands, metavar="COMMAND", help="`COMMAND --help` explains it")
    if version:
        parser.add_argument("--version", action=_Print, const=version, help="versions to quote in a bug report")
    if not argv:
        parser.exit(2, parser.format_help())
    name = parser.parse_args(argv[:1]).command
    from efficienttrain._loaders import LoaderError, absent

    for stream in (sys.stdout, sys.stderr):  # file names that are not valid text are printed with escapes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = parser_of(prog, name, commands[name]).parse_args(argv[1:])
        return int(importlib.import_module(commands[name].module).run(args))
    except ModuleNotFoundError as error:
        message = absent(error, f"`{prog} {name}`")
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except (LoaderError, ValueError, OSError) as error:
        print(f"error: {describe(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return 130


def parser_of(prog: str, name: str, command: Command) -> argparse.ArgumentParser:
    """The parser of one command's options; its help begins with the module's docstring."""
    module = importlib.import_module(command.module)
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog=f"{prog} {name}", description=module.__doc__, formatter_class=raw)
    module.add_arguments(parser)
    return parser


def describe(error: Exception) -> str:
    """The error in one line; for an error of the operating system its text and the file, without the error number."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(text.split())
