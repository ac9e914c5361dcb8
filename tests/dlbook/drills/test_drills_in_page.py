"""Every drill in the page's Python, where integers have 32 bits and nothing warns of a division.

The reference passes, and each wrong solution fails with its own message, as everywhere else.
"""

from __future__ import annotations

import re

import pytest
from support.page import in_page

from dlbook.drills import all_drills

DRILLS = all_drills()
CHAPTERS = list(dict.fromkeys(entry.chapter for entry in DRILLS))

_GRADE = """\
from dlbook.drills import drill, grade

found = {}
for name in given:
    entry = drill(name)
    reports = [grade(name, function) for function in (entry.reference, *entry.wrong.values())]
    found[name] = [[report.passed, report.mistake, str(report)] for report in reports]
json.dumps(found)
"""


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_drills_are_graded_in_the_page_as_elsewhere(chapter: str) -> None:
    names = [entry.name for entry in DRILLS if entry.chapter == chapter]
    assert names
    found = in_page(_GRADE, names, timeout=300)
    faults = []
    for entry in DRILLS:
        if entry.chapter != chapter:
            continue
        (passed, _, text), *others = found[entry.name]
        if not passed:
            faults.append(f"the reference fails: {text}")
        for words, (passed, mistake, text) in zip(entry.wrong, others, strict=True):
            pattern = re.sub(r"\\{\w+\\}", "[^{}]+", re.escape(words))
            if passed or not re.fullmatch(pattern, mistake or ""):
                faults.append(f"not named {words!r}: {text}")
    assert faults == []
