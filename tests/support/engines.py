"""Firefox and WebKit, Safari's engine: find them, start them, and ask both in the same way.

Firefox is spoken to over Marionette with Mozilla's own client, which needs no driver program
beside the browser. WebKit is WebKitGTK's MiniBrowser behind WebKitWebDriver; it has no headless
mode and gets a screen of its own from Xvfb.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.figures import Figure

if sys.platform == "linux":  # elsewhere neither engine can be had in this way
    from marionette_driver.marionette import ActionSequence, Marionette
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.webkitgtk.options import Options
    from selenium.webdriver.webkitgtk.service import Service

#: The longest that a page may take to load, in seconds.
_PATIENCE = 30

#: A page without a content policy, to hold a frame.
_HOLDER = Path(__file__).with_name("frame.html")

#: The window, in pixels of the page.
WIDTH, HEIGHT = 1280, 900

#: Asks a page to be dark, as a system in dark mode does; 0 stands for dark.
_FIREFOX_DARK = ("layout.css.prefers-color-scheme.content-override", 0)

#: The codes that WebDriver has for keys without a character (W3C WebDriver, Keyboard actions).
_KEYS = {
    "Tab": "\ue004",
    "End": "\ue010",
    "Home": "\ue011",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
}

#: The last argument of an asynchronous script is the function that ends it.
_CALL = """const done = arguments[arguments.length - 1];
Promise.resolve().then(() => ({script})(...arguments[0])).then(
  (value) => done([true, value]), (error) => done([false, String(error)]));"""

_LOADED = """(address) =>
  location.href === address && document.readyState === "complete"
"""

_ARRIVED = """(name) => new Promise((done) => {
  const root = document.getElementById(name);
  root.scrollIntoView({ block: "center" });
  const look = () => ["live", "failed"].includes(root.dataset.state)
    ? done(root.dataset.state) : setTimeout(look, 20);
  look();
})"""


#: How many children elements of MathML have (web-platform-tests, mathml/support/invalid-markup.js).
_CHILDREN = dict.fromkeys(("mfrac", "mroot", "msub", "msup", "munder", "mover"), 2)
_CHILDREN |= dict.fromkeys(("msubsup", "munderover"), 3)

#: What Firefox says when it lays one out that has too few or too many.
_MISCOUNT = re.compile(f"Invalid markup: Incorrect number .* <(?:{'|'.join(_CHILDREN)})/>")

#: Whether the page, as it is now, has such an element.
_MISCOUNTED = """(wanted) => [...document.querySelectorAll(Object.keys(wanted))]
  .some((node) => node.childElementCount !== wanted[node.localName])"""


class PageGoneError(RuntimeError):
    """The page was left before it answered."""


class Engine(ABC):
    """A running browser with one page open.

    Attributes
    ----------
    name : str
        ``firefox`` or ``webkit``.
    """

    name: str

    @abstractmethod
    def goto(self, address: str) -> None:
        """Open a page and wait until it has loaded."""

    @abstractmethod
    def enter_frame(self) -> None:
        """Speak to the page in the first frame of this one, until the next :meth:`goto`."""

    def goto_narrow(self, address: str, width: int, height: int) -> None:
        """Open a page in a frame of a size in pixels: windows do not get as narrow as a phone.

        Raises
        ------
        RuntimeError
            If it does not load in half a minute.
        """
        # WebKit's about:blank has the content policy of the page before it, which has no frames.
        self.goto(_HOLDER.as_uri())
        self.call(
            """(address, width, height) => {
              const frame = document.createElement("iframe");
              // Without scroll bars, which take no room on a phone; scripts scroll nevertheless.
              Object.assign(frame, { width, height, scrolling: "no", src: address });
              frame.style.border = 0;
              document.body.style.margin = 0;
              document.body.append(frame);
            }""",
            address,
            width,
            height,
        )
        self.enter_frame()
        # The event "load" may be that of the empty page which a frame begins with.
        end = time.monotonic() + _PATIENCE
        while not self._shows(address):
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name}: {address} does not load in a frame")
            time.sleep(0.05)

    def _shows(self, address: str) -> bool:
        try:
            return bool(self.call(_LOADED, address))
        except PageGoneError:  # the empty page, on which the question was put
            return False

    @abstractmethod
    def press(self, key: str) -> None:
        """Press a key, named as ``KeyboardEvent.key`` names it."""

    @abstractmethod
    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at a point of the window, move it to another one, and let go."""

    @abstractmethod
    def screenshot(self) -> bytes:
        """Return the window's content as a PNG."""

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Give the page a size in pixels, or the nearest one that the window can have."""

    @abstractmethod
    def complaints(self, origin: str) -> list[str] | None:
        """Return what the browser has complained of since the last call, in files of *origin*.

        ``None`` where the engine's driver does not tell.
        """

    @abstractmethod
    def _run(self, script: str, arguments: list[Any]) -> Any: ...

    def call(self, script: str, *arguments: Any) -> Any:
        """Call a function, given in JavaScript, and return what it returns or promises.

        Raises
        ------
        RuntimeError
            If it throws; with its words.
        PageGoneError
            If the page is left meanwhile.
        """
        answer = self._run(_CALL.replace("{script}", script), [list(arguments)])
        if answer is None:
            raise PageGoneError(f"{self.name}: the page was left before it answered")
        fine, value = answer
        if not fine:
            raise RuntimeError(f"{self.name}: {value}")
        return value

    def theme(self, mode: str) -> None:
        """Show the page in ``light`` or ``dark``, by the attribute that its switch sets."""
        self.call(
            """(mode) => {
              document.documentElement.dataset.theme = mode;
              const frame = () => new Promise(requestAnimationFrame);
              return frame().then(frame);
            }""",
            mode,
        )


class EngineFigure(Figure):
    """A live figure on the page that an engine has open."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        state = engine.call(_ARRIVED, name)
        assert state == "live", f"{engine.name}: {name} is {state}"

    def ask(self, part: str, script: str, argument: Any = None) -> Any:
        return self.engine.call(
            f"""(name, part, argument) => {{
              const root = document.getElementById(name);
              return ({script})(part === ":scope" ? root : root.querySelector(part), argument);
            }}""",
            self.name,
            part,
            argument,
        )

    def press(self, key: str) -> None:
        self.engine.press(key)


class Firefox(Engine):
    """Firefox, headless."""

    name = "firefox"

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def goto(self, address: str) -> None:
        self._browser.navigate(address)

    def enter_frame(self) -> None:
        self._browser.switch_to_frame(0)

    def press(self, key: str) -> None:
        code = _KEYS.get(key, key)
        ActionSequence(self._browser, "key", "keyboard").key_down(code).key_up(code).perform()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        mouse = ActionSequence(self._browser, "pointer", "mouse", {"pointerType": "mouse"})
        (a, b), (c, d) = start, end
        mouse.pointer_move(round(a), round(b)).pointer_down()
        mouse.pointer_move(round(c), round(d)).pointer_up().perform()

    def screenshot(self) -> bytes:
        picture: bytes = self._browser.screenshot(format="binary", full=False)
        return picture

    def resize(self, width: int, height: int) -> None:
        frame = self.call("() => [outerWidth - innerWidth, outerHeight - innerHeight]")
        self._browser.set_window_rect(width=width + frame[0], height=height + frame[1])

    def complaints(self, origin: str) -> list[str] | None:
        with self._browser.using_context("chrome"):
            messages: list[list[str]] = self._browser.execute_script(
                """const all = Services.console.getMessageArray()
                     .filter((message) => message instanceof Ci.nsIScriptError);
                   Services.console.reset();
                   return all.map(({ sourceName, errorMessage }) => [sourceName, errorMessage]);"""
            )
        # That layout was forced early depends on when the driver looks.
        found = [
            (where, what)
            for where, what in messages
            if where.startswith(origin) and not what.startswith("Layout was forced")
        ]
        # So does whether a formula is laid out when only half of it has arrived.
        half_read = [message for message in found if _MISCOUNT.match(message[1])]
        if half_read and not self.call(_MISCOUNTED, _CHILDREN):
            found = [message for message in found if message not in half_read]
        return [f"{where}: {what}" for where, what in found]

    def _run(self, script: str, arguments: list[Any]) -> Any:
        return self._browser.execute_async_script(script, arguments)


class WebKit(Engine):
    """WebKitGTK's MiniBrowser."""

    name = "webkit"

    def __init__(self, browser: webdriver.WebKitGTK) -> None:
        self._browser = browser

    def goto(self, address: str) -> None:
        self._browser.switch_to.default_content()
        self._browser.get(address)

    def enter_frame(self) -> None:
        self._browser.switch_to.frame(0)

    def press(self, key: str) -> None:
        ActionChains(self._browser).send_keys(_KEYS.get(key, key)).perform()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        chain = ActionChains(self._browser, duration=50)
        mouse = chain.w3c_actions.pointer_action
        mouse.move_to_location(round(start[0]), round(start[1])).pointer_down()
        mouse.move_to_location(round(end[0]), round(end[1])).pointer_up()
        chain.w3c_actions.perform()

    def screenshot(self) -> bytes:
        return self._browser.get_screenshot_as_png()

    def resize(self, width: int, height: int) -> None:
        self._browser.set_window_size(width, height)

    def complaints(self, origin: str) -> list[str] | None:
        return None

    def _run(self, script: str, arguments: list[Any]) -> Any:
        return self._browser.execute_async_script(script, *arguments)


def firefox_on_path() -> str | None:
    """Return the path of Firefox, or ``None``.

    One in a snap sees no temporary files of others, and does not count.
    """
    if sys.platform != "linux":
        return None
    for name in ("firefox-esr", "firefox"):
        found = shutil.which(name)
        if found and not os.path.realpath(found).startswith("/snap"):
            return found
    return None


def minibrowser() -> str | None:
    """Return the path of WebKitGTK's MiniBrowser, which no package puts on the PATH."""
    found = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    return str(found[-1]) if found else None


def missing() -> dict[str, list[str]]:
    """Return the Debian packages that each engine lacks here; one that lacks none is left out."""
    needs = {
        "firefox": {"firefox-esr": firefox_on_path()},
        "webkit": {
            "webkit2gtk-driver": shutil.which("WebKitWebDriver") and minibrowser(),
            "xvfb": shutil.which("Xvfb"),
        },
    }
    lacking = {name: [package for package, found in packages.items() if not found]
               for name, packages in needs.items()}  # fmt: skip
    return {name: packages for name, packages in lacking.items() if packages}


def why_missing(name: str) -> str:
    """Return a sentence about an engine that is not here."""
    title = {"firefox": "Firefox", "webkit": "WebKit"}[name]
    if sys.platform != "linux":
        return f"The figures are not tested in {title}: that is done on Linux only."
    return (
        f"The figures are not tested in {title}, which is not on this machine. `make test` "
        f"installs it on Debian as root; by hand: apt install {' '.join(missing()[name])}"
    )


@contextmanager
def launch(name: str, *, dark: bool = False) -> Iterator[Engine]:
    """Run an engine while the block runs.

    Parameters
    ----------
    name : str
        ``firefox`` or ``webkit``. It must be on this machine: :func:`missing` tells.
    dark : bool, default: False
        Whether the system is in dark mode; pages see it as ``prefers-color-scheme``.
    """
    with _firefox(dark) if name == "firefox" else _webkit(dark) as engine:
        yield engine


@contextmanager
def _firefox(dark: bool) -> Iterator[Engine]:
    logging.getLogger("mozversion").setLevel(logging.ERROR)
    browser = Marionette(
        bin=firefox_on_path(), headless=True, port=_free_port(), gecko_log=os.devnull
    )
    try:
        browser.start_session()
        if dark:
            browser.set_pref(*_FIREFOX_DARK)
        engine = Firefox(browser)
        engine.resize(WIDTH, HEIGHT)
        yield engine
    finally:
        browser.cleanup()
        browser.instance.profile.cleanup()  # the empty one that it made in place of the old


@contextmanager
def _webkit(dark: bool) -> Iterator[Engine]:
    options = Options()
    options.binary_location = minibrowser() or ""
    options.add_argument("--automation")
    with ExitStack() as stack:
        environment = {**os.environ, "DISPLAY": stack.enter_context(_screen())}
        environment["GTK_THEME"] = "Adwaita:dark" if dark else "Adwaita"
        if os.geteuid() == 0:  # as root WebKit has no sandbox
            environment["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"
        service = Service(shutil.which("WebKitWebDriver"), env=environment)
        browser = webdriver.WebKitGTK(options=options, service=service)
        stack.callback(browser.quit)
        engine = WebKit(browser)
        engine.resize(WIDTH, HEIGHT)
        yield engine


@contextmanager
def _screen() -> Iterator[str]:
    """Run a screen that nobody sees, and yield its name."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise RuntimeError("Xvfb did not start")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
