"""Math becomes HTML while the site is built, and a typo fails the build."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup

from booksite.katex import STATIC, render


def test_a_formula_has_both_forms() -> None:
    html = render(r"\frac{a}{b}")
    assert html.startswith('<span class="katex"><span class="katex-mathml"><math')
    assert '<annotation encoding="application/x-tex">\\frac{a}{b}</annotation>' in html
    assert 'class="katex-html" aria-hidden="true"' in html
    assert 'class="katex-display"' not in html
    assert 'class="katex-display"' in render("x", display=True)


@pytest.mark.parametrize(
    "latex",
    [
        r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}",
        r"\operatorname*{arg\,max}_\theta \sqrt{\hat v_t} + \epsilon",
    ],
)
def test_the_forms_that_notebooks_use(latex: str) -> None:
    assert "katex-error" not in render(latex, display=True)


_PARTS = {"msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "munderover": 3, "mfrac": 2}


@pytest.mark.parametrize(
    "latex",
    [
        r"\eta_{\max}",
        r"x^{\log}_{\operatorname{lr}}",
        r"\frac{\max}{\min}",
        r"\max_{\log} x + \operatorname*{arg\,max}_\theta y",
    ],
)
def test_no_part_of_the_spoken_form_is_lost(latex: str) -> None:
    """A browser shows, and reads aloud, an error for MathML with a wrong number of parts."""
    spoken = BeautifulSoup(render(latex), "html.parser").find_all(list(_PARTS))
    assert spoken
    assert [len(node.find_all(recursive=False)) for node in spoken] == [
        _PARTS[node.name] for node in spoken
    ]


@pytest.mark.parametrize(
    ("latex", "named"), [(r"\frac{a", r"\frac{a"), (r"\nosuch{x}", r"\nosuch"), ("a & b", "&")]
)
def test_a_typo_is_named(latex: str, named: str) -> None:
    with pytest.raises(ValueError, match="KaTeX parse error") as caught:
        render(latex)
    assert named in str(caught.value)
    assert f"${latex}$" in str(caught.value)


def test_style_and_script_are_of_one_version() -> None:
    from sphinxcontrib.katex import katex_version

    assert (STATIC / "VERSION").read_text().strip() == katex_version
    style = (STATIC / "katex.min.css").read_text()
    fonts = {path.name for path in (STATIC / "fonts").iterdir()}
    assert fonts, "no fonts"
    assert all(f"fonts/{name}" in style for name in fonts)
    assert "http" not in style.replace("http://www.w3.org", "")
    assert "MIT" in (STATIC / "LICENSE").read_text()


def test_outlined_letters_are_letters_not_an_attribute() -> None:
    html = render(r"\mathbb E x \in \mathbb R")
    assert "<mi>𝔼</mi>" in html
    assert "<mi>ℝ</mi>" in html
    assert "double-struck" not in html


@pytest.mark.parametrize(
    ("latex", "letters"),
    [
        (r"\mathcal L + \mathcal B", ["𝓛𝓑", "ℒℬ"]),
        (r"\mathbf x", ["𝐱"]),
        (r"\mathbf{1}", ["𝟏"]),
        (r"\boldsymbol\theta", ["𝜽"]),
        (r"\mathfrak C", ["ℭ"]),
        (r"\mathsf T", ["𝖳"]),
    ],
)
def test_letters_of_other_alphabets_are_letters(latex: str, letters: list[str]) -> None:
    """Firefox warns of the attribute, which is deprecated but for ``normal``."""
    mathml = render(latex).partition("</math>")[0].partition("<annotation")[0]
    assert "mathvariant" not in mathml.replace('mathvariant="normal"', "")
    found = "".join(sign for sign in mathml if ord(sign) > 0x2100)
    assert found in letters


def test_a_letter_that_its_alphabet_lacks_keeps_the_attribute() -> None:
    assert '<mi mathvariant="sans-serif">Γ</mi>' in render(r"\mathsf{\Gamma}")
