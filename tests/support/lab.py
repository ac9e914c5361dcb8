"""A real JupyterLab, and notebooks in it as a reader sees them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from playwright.sync_api import Page

_RUN_ALL = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await window.jupyterapp.commands.execute("notebook:run-all-cells");
  return [...panel.content.model.cells].flatMap((cell) =>
    cell.type !== "code" ? [] : cell.toJSON().outputs.filter((output) =>
      output.output_type === "error").map((output) => `${output.ename}: ${output.evalue}`));
}"""


@contextmanager
def jupyterlab(folder: Path, private: Path) -> Iterator[str]:
    """Run JupyterLab on *folder* while the block runs.

    Parameters
    ----------
    folder : Path
        The notebooks.
    private : Path
        An empty folder for settings and logs, so that nobody's own are read or written.

    Yields
    ------
    str
        Its address, without a slash at its end. There is no token: it listens on loopback only.
    """
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        "--port=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "LIVEFIGURE_BAKE"}
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
                 "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"):  # fmt: skip
        environment[name] = str(private / name.lower())
    server = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log: deque[str] = deque(maxlen=50)
    try:
        address = _address(server, log)
        # A full pipe would stop the server.
        Thread(target=log.extend, args=(server.stderr,), daemon=True).start()
        yield address
    finally:
        server.terminate()
        server.wait()


def _address(server: subprocess.Popen[str], log: deque[str]) -> str:
    assert server.stderr is not None
    for line in server.stderr:
        log.append(line)
        match = re.search(r"(http://127\.0\.0\.1:\d+)/lab", line)
        if match:
            return match[1]
    raise RuntimeError("JupyterLab did not start:\n" + "".join(log))


def open_and_run(page: Page, address: str, notebook: str) -> list[str]:
    """Open a notebook, run all its cells, and return their errors."""
    page.goto(f"{address}/lab/tree/{notebook}?reset")
    page.wait_for_function(
        "(path) => window.jupyterapp?.shell?.currentWidget?.context?.path === path", arg=notebook
    )
    page.set_default_timeout(300_000)
    errors: list[str] = page.evaluate(_RUN_ALL)
    page.set_default_timeout(30_000)
    return errors
