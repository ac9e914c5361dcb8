"""PyTorch's answers to the stored cases. Only this package needs torch, and only when called.

``make cases`` writes the files beside the drills; a test computes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dlbook.drills.record import Inputs


class Oracle(NamedTuple):
    """Edge cases of one drill, and who answers them.

    Attributes
    ----------
    source : str
        Whose answers they are.
    inputs : callable
        ``inputs() -> [(note, inputs), ...]``, at least ten.
    answer : callable
        ``answer(**inputs)``, computed by torch in float64.
    """

    source: str
    inputs: Callable[[], Sequence[tuple[str, Inputs]]]
    answer: Callable[..., Any]
