"""Run a notebook and measure the memory of its kernel: ``python -m support.memory FILE``."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil

from support.kernel import kernel_of

#: Seconds between two looks; to fill a gigabyte takes a kernel longer.
INTERVAL = 0.02


def peak(notebook: Path) -> int:
    """Return the largest resident memory, in bytes, that a notebook's kernel had.

    Processes that the kernel starts count too.
    """
    largest = 0
    done = Event()

    def look(kernel: psutil.Process) -> None:
        nonlocal largest
        while not done.wait(INTERVAL):
            largest = max(largest, _resident(kernel))

    watcher: Thread | None = None

    def watch(pid: int) -> None:
        nonlocal watcher
        watcher = Thread(target=look, args=(psutil.Process(pid),))
        watcher.start()

    try:
        with kernel_of(notebook, started=watch):
            pass
    finally:
        done.set()
        if watcher:
            watcher.join()
    return largest


def _resident(kernel: psutil.Process) -> int:
    total = 0
    try:
        for process in (kernel, *kernel.children(recursive=True)):
            memory: Any = process.memory_info()
            total += int(memory.rss)
    except psutil.NoSuchProcess:  # it ended while we looked
        pass
    return total


if __name__ == "__main__":
    print(peak(Path(sys.argv[1])))
