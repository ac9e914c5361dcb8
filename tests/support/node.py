"""Run the page's own Python, without a page: the packed runtime in Node.js.

``python("print(1)")`` returns what it prints. For more than one run in a process, write a driver:
a module in JavaScript with top-level ``await``, which finds these names::

    const pyodide = await boot();  // NumPy is loaded, the packages are in site-packages
    pyodide.runPython("import dlbook");
    say({ any: "JSON" });  // a line of the output; run() returns the last one, parsed
"""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pagepython.renew import node
from support.book import ROOT

RUNTIME = ROOT / "src" / "pagepython" / "runtime"

_BOOT = """\
import {{ readFileSync }} from "node:fs";
const given = {given};
// Node itself would print the line that failed, and the loader is one long line.
process.on("uncaughtException", (error) => {{
  console.error(error?.message ?? error);
  process.exit(1);
}});

async function boot(options = {{}}) {{
  const pyodide = await loadPyodide({{
    indexURL: given.runtime,
    lockFileContents: JSON.parse(readFileSync(`${{given.runtime}}/pyodide-lock.json`, "utf8")),
    packageBaseUrl: given.runtime,
    packages: ["numpy"],
    ...options,
  }});
  if (!("numpy" in pyodide.loadedPackages)) throw new Error("NumPy was not loaded");
  const place = pyodide.runPython("import site; site.getsitepackages()[0]");
  const packages = new Uint8Array(readFileSync(given.packages));
  pyodide.unpackArchive(packages, "zip", {{ extractDir: place }});
  return pyodide;
}}
const say = (value) => console.log(JSON.stringify(value));

"""


def python(
    code: str,
    *,
    packages: Iterable[str] = ("dlbook",),
    runtime: Path = RUNTIME,
    timeout: float = 120,
) -> str:
    """Run Python code in the packed runtime and return what it printed.

    Parameters
    ----------
    code
        The code.
    packages
        Packages of ``src`` that it can import.
    runtime
        The folder of the packed runtime.
    timeout
        Seconds after which it is given up.

    Raises
    ------
    AssertionError
        If the code raises; the message has Python's traceback.
    RuntimeError
        If there is no Node.js; the message says how to get it.
    """
    driver = f"(await boot()).runPython({json.dumps(code)});"
    return script(driver, packages=packages, runtime=runtime, timeout=timeout)


def run(driver: str, **options: Any) -> Any:
    """Run a driver and return the value of its last ``say``; options as of :func:`script`."""
    return json.loads(script(driver, **options).splitlines()[-1])


def script(
    driver: str,
    *,
    packages: Iterable[str] = ("dlbook",),
    runtime: Path = RUNTIME,
    timeout: float = 120,
) -> str:
    """Run a driver behind the packed ``pyodide.js``, as a page's worker is, and return its output.

    Parameters
    ----------
    driver
        JavaScript with top-level ``await``; see the module's docstring.
    packages
        Packages of ``src`` that the Python in it can import.
    runtime
        The folder of the packed runtime.
    timeout
        Seconds after which it is given up.

    Raises
    ------
    AssertionError
        If it fails; the message has its standard error.
    RuntimeError
        If there is no Node.js; the message says how to get it.
    """
    executable = node.executable()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "packages.zip"
        archive.write_bytes(zipped(packages))
        given = json.dumps({"runtime": str(runtime), "packages": str(archive)})
        module = Path(folder) / "driver.mjs"
        loader = (runtime / "pyodide.js").read_text(encoding="utf-8")
        module.write_text(loader + _BOOT.format(given=given) + driver, encoding="utf-8")
        done = subprocess.run(
            [executable, module], capture_output=True, text=True, timeout=timeout, check=False
        )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def zipped(packages: Iterable[str]) -> bytes:
    """Return a zip of packages of ``src``, whole."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for package in packages:
            for path in sorted((ROOT / "src" / package).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.write(path, path.relative_to(ROOT / "src").as_posix())
    return buffer.getvalue()
