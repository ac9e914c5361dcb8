"""Run the cells of a page one after another, as a notebook does, and say what came of each.

Only the standard library is imported at the top: the module runs in the page's own Python, where
it has to be there before any package is.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import linecache
import re
import sys
import time
import tokenize
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

#: The most characters of a value's text, and of all that a cell prints.
VALUE_LIMIT: Final = 20_000
OUTPUT_LIMIT: Final = 200_000

#: Output goes out when so many characters have come together, or so many seconds have passed.
BATCH: Final = 8_000
PAUSE: Final = 0.05

#: A traceback of more parts than twice this is shortened in the middle.
FRAMES: Final = 8

#: Takes a stream, "stdout" or "stderr", and text.
Emit = Callable[[str, str], None]

_NO_WORDS = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
_OWN = re.compile(r"<(?:cell|drill) [^<>]*>")
_NO_INPUT = (
    "Nobody can be asked for input here. Assign the value in the code instead, "
    "such as x = 3 in place of x = input()."
)
_ABSENT = {
    "torch": "PyTorch does not run in a web page. Cells that need it run in JupyterLab or Binder.",
    "matplotlib": "matplotlib is not in this page. Cells that draw run in JupyterLab or Binder.",
}
#: What a cell needs that imports one of these.
_NEEDS = {
    "torch": "which needs PyTorch",
    "matplotlib": "which draws a figure",
}
_NOT_HERE = "which does not run in the page"


class InputRefused(EOFError):  # noqa: N818 - no reader's "except EOFError" should miss it
    """Raised in place of waiting for somebody to type."""


class Output:
    """Collects what a cell prints, sends it in batches, and stops after a limit.

    Parameters
    ----------
    emit : callable
        Takes a stream's name and text.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._stream = "stdout"
        self._waiting: list[str] = []
        self._size = 0
        self._left = OUTPUT_LIMIT
        self._sent = 0.0

    def write(self, stream: str, text: str) -> bool:
        """Add text to a stream; tell whether any more is of use."""
        if self._left < 0:
            return False
        if stream != self._stream:
            self.flush()
            self._stream = stream
        if len(text) > self._left:
            text = f"{text[: self._left]}\n… Output is cut after {OUTPUT_LIMIT:,d} characters.\n"
            self._left = 0
        self._left -= len(text)
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= BATCH or time.monotonic() - self._sent >= PAUSE:
            self.flush()
        return self._left >= 0

    def flush(self) -> None:
        """Send what is waiting."""
        if self._waiting:
            self._emit(self._stream, "".join(self._waiting))
            self._waiting.clear()
            self._size = 0
            self._sent = time.monotonic()


class _Stream(io.TextIOBase):
    """What ``print`` writes to."""

    encoding = "utf-8"

    def __init__(self, name: str, output: Output) -> None:
        self._name = name
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() takes text, got {type(text).__name__}")
        if not self._output.write(self._name, text):
            self.write = len  # type: ignore[assignment]  # a million prints should take no time
        return len(text)

    def flush(self) -> None:
        self._output.flush()


class _NoInput(io.TextIOBase):
    """What ``input`` reads from, in vain."""

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        raise InputRefused(_NO_INPUT)

    def read(self, size: int | None = -1) -> str:
        raise InputRefused(_NO_INPUT)

    def close(self) -> None:
        """Stay open: exit() closes the input before it raises."""


class Session:
    """The variables of a page, and what runs its cells and grades its drills.

    Parameters
    ----------
    emit : callable
        Takes ``"stdout"`` or ``"stderr"`` and text, whenever there is output.
    elsewhere : mapping of int to str, optional
        Number and source of the page's code cells that do not run in the page, in order: an
        error then tells where a name would have come from.
    """

    def __init__(self, emit: Emit, elsewhere: Mapping[int, str] | None = None) -> None:
        self._emit = emit
        self._module = types.ModuleType("__main__")
        self._origins = _origins(elsewhere or {})

    def run(self, number: int, code: str) -> str:
        """Run a cell after those that ran before.

        Parameters
        ----------
        number : int
            Its number on the page.
        code : str
            Its source. A semicolon at the end hides the value, as in a notebook.

        Returns
        -------
        str
            JSON: ``{"value": text or null, "error": null or {"text", "line"}}``; ``line`` is a
            number, or null where no line of the cell is to blame.
        """
        value, error = None, None
        file = f"<cell {number}>"
        with self._redirected():
            try:
                result = _run(file, code, self._module)
                value = None if result is None else _cut(repr(result))
            except BaseException as raised:  # even SystemExit: the session goes on
                error = self._described(raised, file, number)
        return json.dumps({"value": value, "error": error})

    def grade(self, name: str, code: str, grader: str) -> str:
        """Grade the function that a drill asks for.

        Parameters
        ----------
        name : str
            The name of the drill and of its function.
        code : str
            The reader's code. It sees no variable of the page, but NumPy as ``np``.
        grader : str
            The module whose ``grade(name, function)`` returns a report.

        Returns
        -------
        str
            JSON: ``{"report": report.as_dict() or null, "error": null or {"text", "line"}}``.
        """
        report, error = None, None
        file = f"<drill {name}>"
        with self._redirected():
            try:
                module = types.ModuleType("__main__")
                module.__dict__["np"] = importlib.import_module("numpy")
                _run(file, code, module)
                function = module.__dict__.get(name)
                if callable(function):
                    report = importlib.import_module(grader).grade(name, function).as_dict()
                else:
                    error = {"text": f"The code defines no function `{name}`.", "line": None}
            except BaseException as raised:
                error = self._described(raised, file, None)
        return json.dumps({"report": report, "error": error})

    @contextlib.contextmanager
    def _redirected(self) -> Iterator[None]:
        """Take over what goes out, and refuse what should come in."""
        output = Output(self._emit)
        before = sys.stdin, sys.stdout, sys.stderr, sys.modules["__main__"]
        sys.stdin = _NoInput()  # type: ignore[assignment]
        sys.stdout, sys.stderr = _Stream("stdout", output), _Stream("stderr", output)
        sys.modules["__main__"] = self._module  # pickle looks for classes there
        try:
            yield
        finally:
            sys.stdin, sys.stdout, sys.stderr, sys.modules["__main__"] = before
            output.flush()

    def _described(self, error: BaseException, file: str, number: int | None) -> dict[str, Any]:
        """Return an error's text and the line to mark."""
        return {
            "text": self._explained(error, number) or _traceback(error),
            "line": _line(error, file),
        }

    def _explained(self, error: BaseException, number: int | None) -> str | None:
        """Return the sentence that says more than a traceback does, if there is one."""
        if isinstance(error, InputRefused):
            return _NO_INPUT
        if isinstance(error, SystemExit):
            return "The code asked to exit. It ended here; all variables are still there."
        # Where addresses have 32 bits, NumPy may refuse before it asks for memory.
        too_big = isinstance(error, ValueError) and str(error).startswith("array is too big")
        if isinstance(error, MemoryError) or too_big:
            detail = f" ({str(error).rstrip('.')})" if str(error) else ""
            return f"There is not enough memory for this{detail}. Make the arrays smaller."
        if isinstance(error, ModuleNotFoundError) and error.name:
            top = error.name.partition(".")[0]
            return _ABSENT.get(top) or (
                f"There is no module `{error.name}` in this page. It has NumPy and most of "
                "Python's standard library."
            )
        if isinstance(error, NameError) and not isinstance(error, UnboundLocalError) and number:
            return self._whereabouts(str(error.name), number)
        return None

    def _whereabouts(self, name: str, number: int) -> str | None:
        """Say which cell that does not run here makes a name: the last one before this cell."""
        made = self._origins.get(name)
        if not made:
            return None
        cell = max((cell for cell in made if cell < number), default=min(made))
        return f"`{name}` is made in cell {cell}, {made[cell]}."


def _run(file: str, code: str, module: types.ModuleType) -> Any:
    """Run code in a module, and return the value of its last expression."""
    names = module.__dict__
    names.pop("__warningregistry__", None)  # else a warning is shown for one run only
    # For tracebacks and inspect.getsource; without a time, linecache never looks for the file.
    linecache.cache[file] = (len(code), None, f"{code}\n".splitlines(keepends=True), file)
    tree = ast.parse(code, file)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or _is_silent(code):
        exec(compile(tree, file, "exec", dont_inherit=True), names)
        return None
    tree.body.pop()
    exec(compile(tree, file, "exec", dont_inherit=True), names)
    return eval(compile(ast.Expression(last.value), file, "eval", dont_inherit=True), names)


def _is_silent(code: str) -> bool:
    """Tell whether code ends in a semicolon."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    words = [token.string for token in tokens if token.type not in _NO_WORDS]
    return words[-1:] == [";"]


def _cut(text: str) -> str:
    if len(text) <= VALUE_LIMIT:
        return text
    return f"{text[:VALUE_LIMIT]}\n… The first {VALUE_LIMIT:,d} of {len(text):,d} characters."


def _traceback(error: BaseException) -> str:
    """Return the traceback of the reader's own frames, shortened in the middle."""
    described = traceback.TracebackException.from_exception(error)
    _trim(described)
    parts = list(described.format())
    if len(parts) > 2 * FRAMES:
        left_out = len(parts) - 2 * FRAMES
        parts[FRAMES:-FRAMES] = [f"  … {left_out} more …\n"]
    return "".join(parts).rstrip("\n")


def _trim(described: traceback.TracebackException | None) -> None:
    """Take frames of others out of a traceback, and of those that led to it."""
    if described is None:
        return
    own = [frame for frame in described.stack if _OWN.fullmatch(frame.filename)]
    described.stack = traceback.StackSummary.from_list(own)
    if not own:
        described.stack = None  # type: ignore[assignment]  # prints no heading then
    _trim(described.__cause__)
    _trim(described.__context__)
    for inner in getattr(described, "exceptions", None) or ():
        _trim(inner)


def _line(error: BaseException, file: str) -> int | None:
    """Return the line of a file that is to blame."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == file]
    return lines[-1] if lines else None


def _origins(elsewhere: Mapping[int, str]) -> dict[str, dict[int, str]]:
    """Return, for each name that cells elsewhere make, these cells and what they need."""
    origins: dict[str, dict[int, str]] = {}
    needs: dict[str, str] = {}  # what the last cell that made a name needs
    for number, source in elsewhere.items():
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a magic command, say
            continue
        imported, made, used = _names(tree)
        found = {_NEEDS[top] for top in imported if top in _NEEDS}
        found |= {needs[name] for name in used if name in needs}
        need = max(found, default=_NOT_HERE, key=lambda one: one == _NEEDS["torch"])
        for name in made:
            origins.setdefault(name, {})[number] = need
            if need == _NOT_HERE:
                needs.pop(name, None)
            else:
                needs[name] = need
    return origins


def _names(tree: ast.Module) -> tuple[set[str], set[str], set[str]]:
    """Return the packages that a cell imports, the names that it makes, and those that it uses.

    What is bound within a function is made by nobody.
    """
    imported: set[str] = set()
    made: set[str] = set()
    used: set[str] = set()
    waiting: list[tuple[ast.AST, bool]] = [(tree, True)]
    while waiting:
        node, outside = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules = modules or [alias.name for alias in node.names]
            imported |= {module.partition(".")[0] for module in modules}
            if outside:
                made |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            used.add(node.id)
        elif isinstance(node, ast.Name) and outside:
            made.add(node.id)
        scoped = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        if isinstance(node, scoped) and outside:
            made.add(node.name)
        inside = isinstance(node, scoped | ast.Lambda | ast.comprehension)
        waiting += [(child, outside and not inside) for child in ast.iter_child_nodes(node)]
    return imported, made, used
