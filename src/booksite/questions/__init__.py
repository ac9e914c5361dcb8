"""The question bank: interview questions in YAML, shown in notebooks and on the site.

``questions("01_optimizers")`` is all that a notebook needs. The schema is that of
:mod:`booksite.questions.bank`; the site's part is :mod:`booksite.questions.site`, and only it
needs Sphinx.
"""

from __future__ import annotations

from booksite.questions.notebook import MIME, QuestionSheet, questions

__all__ = ["MIME", "QuestionSheet", "questions"]
