"""Drills: small functions to write oneself, and a grader that says what is wrong with them.

In a notebook ``task("sgd")`` shows what to write, and ``grade("sgd", sgd)`` judges it. All of it
needs NumPy alone; only :mod:`dlbook.drills.oracles`, which renews the stored answers, needs torch.
"""

from dlbook.drills.grading import grade
from dlbook.drills.record import Case, Drill, FollowUp
from dlbook.drills.registry import all_drills, drill
from dlbook.drills.report import Counts, FailedCase, Report
from dlbook.drills.sheet import Sheet, task

__all__ = [
    "Case",
    "Counts",
    "Drill",
    "FailedCase",
    "FollowUp",
    "Report",
    "Sheet",
    "all_drills",
    "drill",
    "grade",
    "task",
]
