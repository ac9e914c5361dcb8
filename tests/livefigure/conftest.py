"""Small figures to test with."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import pytest

from livefigure import style


@pytest.fixture(autouse=True)
def look() -> Iterator[None]:
    """Draw every figure of these tests in the style of live figures, without a window."""
    mpl.use("agg")
    with mpl.rc_context(style.rc()):
        yield
    import matplotlib.pyplot as plt

    plt.close("all")
