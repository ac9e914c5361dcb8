"""Renew the copy of KaTeX's style sheet and fonts: ``python -m booksite.vendor``.

The version is the one whose script ships inside ``sphinxcontrib-katex``, because
script and style sheet must agree. Needs ``npm``, only to fetch the archive.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from sphinxcontrib.katex import katex_version

HOME: Final = Path(__file__).parent / "static" / "katex"

# KaTeX lists woff and ttf after woff2 for browsers older than 2018.
_OLD_FORMATS: Final = re.compile(r',url\([^)]+\) format\("(?:woff|truetype)"\)')


def woff2_only(css: str) -> str:
    """Return the style sheet with the woff2 file as the only source of each font."""
    return _OLD_FORMATS.sub("", css)


def renew(home: Path = HOME, version: str = katex_version) -> None:
    """Replace the folder ``home`` by style sheet, fonts and license of that KaTeX version.

    Parameters
    ----------
    home
        Folder that is replaced.
    version
        KaTeX version, such as ``"0.16.22"``.

    Raises
    ------
    subprocess.CalledProcessError
        If npm cannot fetch the archive.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"katex@{version}"], cwd=folder, check=True)
        with tarfile.open(Path(folder) / f"katex-{version}.tgz") as archive:
            archive.extractall(folder, filter="data")
        package = Path(folder) / "package"
        shutil.rmtree(home, ignore_errors=True)
        (home / "fonts").mkdir(parents=True)
        for font in sorted((package / "dist" / "fonts").glob("*.woff2")):
            shutil.copyfile(font, home / "fonts" / font.name)
        css = (package / "dist" / "katex.min.css").read_text(encoding="utf-8")
        (home / "katex.min.css").write_text(woff2_only(css), encoding="utf-8")
        shutil.copyfile(package / "LICENSE", home / "LICENSE")
        (home / "VERSION").write_text(f"{version}\n", encoding="utf-8")


if __name__ == "__main__":
    renew()
