"""What of the standard library and of NumPy goes into the page, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: What of the standard library cannot work in a page, imports such, or is never used there.
_NO_USE: Final = (
    "_pydatetime.py",
    "_pyio.py",
    "_pyrepl/windows_",
    "antigravity.py",
    "asyncio/windows_",
    "bdb.py",
    "cProfile.py",
    "concurrent/futures/process.py",
    "concurrent/interpreters/",
    "concurrent/futures/interpreter.py",
    "ctypes/macholib/",
    "ctypes/wintypes.py",
    "doctest.py",
    "encodings/mbcs.py",
    "encodings/oem.py",
    "ftplib.py",
    "getpass.py",
    "http/",
    "imaplib.py",
    "mailbox.py",
    "modulefinder.py",
    "multiprocessing/",
    "netrc.py",
    "nturl2path.py",
    "pdb.py",
    "pickletools.py",
    "plistlib.py",
    "poplib.py",
    "profile.py",
    "pstats.py",
    "pty.py",
    "smtplib.py",
    "sqlite3/",
    "ssl.py",
    "_ssl.py",
    "trace.py",
    "unittest/__main__.py",
    "unittest/mock.py",
    "urllib/request.py",
    "urllib/robotparser.py",
    "wave.py",
    "wsgiref/",
    "xml/",
    "xmlrpc/",
    "zipapp.py",
)

#: Encodings of old systems, most of them tables of 256 characters. What stays: zip's own.
_OLD_ENCODINGS: Final = (
    *("big5", "cp", "euc_", "gb", "hp_", "hz", "iso2022_", "iso8859_", "johab", "koi8_", "kz10"),
    *("mac_", "palmos", "ptcp", "shift_", "tis_"),
)
_KEPT_ENCODINGS: Final = ("cp437", "cp1252", "iso8859_1", "iso8859_15")

#: Parts of NumPy that only a compiler, a packager or a test runner reads.
_NOT_FOR_A_PAGE: Final = (
    "numpy/_configtool.py",
    "numpy/_core/cversions.py",
    "numpy/_core/include/",
    "numpy/_core/lib/",
    "numpy/_pyinstaller/",
    "numpy/conftest.py",
    "numpy/f2py/",
    "numpy/random/_examples/",
    "numpy/random/lib/",
    "numpy/typing/mypy_plugin.py",
)
_KEPT_ENDINGS: Final = (".py", ".so")

#: ``from numpy import *`` imports f2py, which could do nothing here: there is no compiler.
_F2PY: Final = b'''\
"""f2py compiles Fortran, which a page cannot do."""

from numpy.version import version as __version__

__all__ = ["get_include", "run_main"]


def run_main(comline_list):
    """Refuse: there is no compiler in a page."""
    raise NotImplementedError("numpy.f2py needs a compiler, and a page has none")


def get_include():
    """Refuse: there is no compiler in a page."""
    raise NotImplementedError("numpy.f2py needs a compiler, and a page has none")
'''


def standard_library(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of the standard library that the page gets."""
    return {
        name: content
        for name, content in files.items()
        if name.endswith(".py") and not name.startswith(_NO_USE) and not _is_old_encoding(name)
    }


def numpy(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of NumPy's wheel that the page gets, with a stub for f2py."""
    kept = {
        name: content
        for name, content in files.items()
        if name.partition("/")[0].endswith(".dist-info")
        or (name.endswith(_KEPT_ENDINGS) and not name.startswith(_NOT_FOR_A_PAGE))
    }
    return kept | {"numpy/f2py/__init__.py": _F2PY}


def _is_old_encoding(name: str) -> bool:
    folder, _, module = name.removesuffix(".py").partition("/")
    return (
        folder == "encodings"
        and module.startswith(_OLD_ENCODINGS)
        and module not in _KEPT_ENCODINGS
    )
