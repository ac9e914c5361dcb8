"""Where the links of a page lead: to the repository that built it, or nowhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from booksite.launch import REPOSITORY, public_address, repository, theme_options


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/owner/name", "https://github.com/owner/name"),
        ("https://github.com/owner/name.git\n", "https://github.com/owner/name"),
        ("https://user:secret@github.com/owner/name.git", "https://github.com/owner/name"),
        ("git@github.com:owner/na.me.git", "https://github.com/owner/na.me"),
        ("ssh://git@gitlab.com/owner/name", "https://gitlab.com/owner/name"),
        ("/srv/git/name.git", None),
        ("file:///srv/git/name.git", None),
        ("../name", None),
        ("http://localhost/owner/name", None),
        ("https://localhost/owner/name", None),
        ("", None),
    ],
)
def test_public_address(remote: str, address: str | None) -> None:
    assert public_address(remote) == address


def test_origin_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPOSITORY, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert repository(tmp_path) is None, "no repository at all"
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert repository(tmp_path) is None, "no remote"
    git = ["git", "-C", str(tmp_path), "remote"]
    subprocess.run([*git, "add", "origin", "git@github.com:owner/name.git"], check=True)
    assert repository(tmp_path) == "https://github.com/owner/name"
    monkeypatch.setenv(REPOSITORY, "https://github.com/fork/name")
    assert repository(tmp_path) == "https://github.com/fork/name"
    monkeypatch.setenv(REPOSITORY, "")
    assert repository(tmp_path) is None, "an empty value says: none"


def test_options() -> None:
    known = theme_options("https://github.com/owner/name", "dev")
    assert known["repository_url"] == "https://github.com/owner/name"
    assert known["repository_branch"] == "dev"
    assert known["launch_buttons"]["notebook_interface"] == "jupyterlab"
    assert "launch_buttons" not in theme_options("https://gitlab.com/owner/name", "main")
    unknown = theme_options(None, "main")
    assert "repository_url" not in unknown
    assert "launch_buttons" not in unknown
    assert not unknown["use_repository_button"]
    assert not unknown["use_source_button"]
