"""Renew the packed runtime and the editor, and verify them: ``python -m pagepython.renew``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from pagepython.renew import editor, fetch, pack, verify


def renew(runtime: Path, static: Path, rounds: int) -> list[str]:
    """Write runtime and editor anew; return what is wrong with them.

    Parameters
    ----------
    runtime
        The folder of the packed runtime.
    static
        The folder of the editor.
    rounds
        How often zopfli tries to make a file smaller.
    """
    with tempfile.TemporaryDirectory() as folder:
        modules = fetch.packages(Path(folder))
        pack.pack(modules, fetch.wheel(modules), runtime, rounds)
        editor.bundle(modules, static)
    return verify.problems(runtime)


def main() -> None:
    """Read the arguments and renew."""
    parser = argparse.ArgumentParser(prog="python -m pagepython.renew", description=__doc__)
    parser.add_argument("--runtime", type=Path, default=fetch.RUNTIME, help="where to write it")
    parser.add_argument("--editor", type=Path, default=editor.HOME, help="where to write it")
    parser.add_argument("--rounds", type=int, default=pack.ROUNDS, help="zopfli's effort")
    given = parser.parse_args()
    sys.exit("\n".join(renew(given.runtime, given.editor, given.rounds)) or None)


if __name__ == "__main__":
    main()
