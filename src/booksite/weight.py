"""Cut a written site to what its pages use: style rules, icons, files.

A theme brings the styles of everything that it could show. Which rules a page needs is known
once all pages are written: those whose every class and id occurs in a page or a script. Sphinx
copies the theme's files anew at each build, so nothing that is cut here is lost to a later page.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any, Final

import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

from booksite.pages import base_path, html_files

#: Nothing on a page loads these: sources of scripts, fonts for old browsers, the theme's own
#: translations and macros, and icons as a script, which the web font gives too.
UNUSED: Final = (
    "**/*.map",
    "**/*.ttf",
    "**/fa-brands-400.woff2",
    "**/fa-regular-400.woff2",
    "**/fontawesome.js",
    "locales/**/*",
    "*webpack-macros.html",
)
#: Rules within these are rules of the page; within others, such as keyframes, they are not.
_GROUPS: Final = {"media", "supports", "container", "layer"}
_NAMES: Final = re.compile(r"""\b(?:class|id)=["']([^"']*)["']""")
_WORD: Final = re.compile(r"-{0,2}[A-Za-z_][\w-]*")
#: By convention a comment that has to stay, such as who wrote it and under which license.
_NOTICE: Final = re.compile(r"/\*!.*?\*/", re.DOTALL)
_VARIABLE: Final = re.compile(r"var\(\s*(--[\w-]+)")
_LINK: Final = re.compile(r"""((?<![\w-])(?:href|src)=")([^"?#]+\.(?:css|js))(?:\?[^"]*)?\"""")
_FIGURE: Final = re.compile(
    r'<figure class="livefigure".*?</figure>|<div class="livefigure-still".*?</div>', re.DOTALL
)
#: Icons lie in Unicode's private use area; a style sheet has them as codes or as they are.
#: More than a megabyte of Python's own, which shows nothing on a page.
_PYTHON: Final = "python.js"
_ICON: Final = re.compile(r"\\([ef][0-9a-f]{3})\b|([\ue000-\uf8ff])")
_CODE: Final = re.compile(r'<div class="highlight">.*?</pre>', re.DOTALL)


@dataclass(frozen=True)
class Used:
    """The names that pages and scripts use.

    Attributes
    ----------
    names : set of str
        Classes and ids of the pages.
    words : set of str
        Every word of the scripts, custom properties among them.
    """

    names: set[str]
    words: set[str]

    def __contains__(self, name: str) -> bool:
        """Tell whether a class or id can occur; a script may append to a name that it has."""
        if name in self.names or name in self.words:
            return True
        parts = name.split("-")
        return any("-".join(parts[:k]) in self.words for k in range(2, len(parts)))


def used_names(pages: Iterable[str], scripts: Iterable[str]) -> Used:
    """Collect the names in the text of pages and scripts."""
    names = {
        name for page in pages for value in _NAMES.findall(page) for name in str(value).split()
    }
    return Used(names, {word for script in scripts for word in _WORD.findall(script)})


def trim_styles(sheets: dict[str, str], used: Used) -> dict[str, str]:
    """Drop what cannot apply from style sheets that are used together.

    Parameters
    ----------
    sheets : dict of str to str
        Text of each sheet by its name.
    used : Used
        What can occur.

    Returns
    -------
    dict of str to str
        The same sheets without rules whose selectors cannot match, without custom properties that
        nothing reads, and without animations that nothing plays. Notices of a license stay.
    """
    notices = {
        name: "".join(f"{note}\n" for note in _NOTICE.findall(text))
        for name, text in sheets.items()
    }
    rules = {name: _parse(text, used) for name, text in sheets.items()}
    texts = {name: _serialize(parsed) for name, parsed in rules.items()}
    while True:
        everything = "\n".join(texts.values())
        read = set(_VARIABLE.findall(everything)) | used.words
        played = set(_WORD.findall(" ".join(re.findall(r"animation[^;}]*", everything))))
        keep = _Keep(read, played)
        trimmed = {name: _serialize(keep.rules(parsed)) for name, parsed in rules.items()}
        if trimmed == texts:
            return {name: notices[name] + text for name, text in texts.items()}
        texts = trimmed


def _parse(text: str, used: Used) -> list[Any]:
    parsed = tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)
    return _matching(parsed, used)


def _matching(rules: list[Any], used: Used) -> list[Any]:
    """Return the rules that can match, with the selectors that can."""
    kept: list[Any] = []
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [part for part in _split(rule.prelude) if _can_match(part, used)]
            if selectors:
                kept.append((",".join(selectors), tinycss2.serialize(rule.content), None))
        elif rule.type == "at-rule":
            head = f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}".rstrip()
            if rule.content is None:
                kept.append((head, None, None))
            elif rule.lower_at_keyword in _GROUPS:
                inner = tinycss2.parse_rule_list(
                    rule.content, skip_comments=True, skip_whitespace=True
                )
                kept.append((head, None, _matching(inner, used)))
            else:
                kept.append((head, tinycss2.serialize(rule.content), None))
    return kept


def _split(prelude: list[Any]) -> list[str]:
    parts: list[list[Any]] = [[]]
    for token in prelude:
        if token == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tinycss2.serialize(part).strip() for part in parts]


def _can_match(selector: str, used: Used) -> bool:
    """Tell whether every class and id outside of ``:not()``, ``:is()`` and the like can occur."""
    tokens = tinycss2.parse_component_value_list(selector)
    for before, token in zip([None, *tokens], tokens, strict=False):
        is_class = before is not None and before == "." and token.type == "ident"
        if (is_class or token.type == "hash") and token.value not in used:
            return False
    return True


@dataclass(frozen=True)
class _Keep:
    """What of the rules is read by others."""

    variables: set[str]
    animations: set[str]

    def rules(self, rules: list[Any]) -> list[Any]:
        kept = []
        for head, text, inner in rules:
            if inner is not None:
                inner = self.rules(inner)
                if not inner:
                    continue
            elif text is not None and head.startswith("@"):
                animation = re.fullmatch(r"@(?:-\w+-)?keyframes\s+(.+)", head)
                if animation and animation[1] not in self.animations:
                    continue
                if head == "@font-face" and not (text := _modern_sources(text)):
                    continue
            elif text is not None:
                text = self._declarations(text)
                if not text.strip():
                    continue
            kept.append((head, text, inner))
        return kept

    def _declarations(self, text: str) -> str:
        if "--" not in text:
            return text
        parsed = tinycss2.parse_blocks_contents(text, skip_comments=True, skip_whitespace=True)
        kept = [
            node
            for node in parsed
            if not (
                node.type == "declaration"
                and node.name.startswith("--")
                and node.name not in self.variables
            )
        ]
        return tinycss2.serialize(kept) if len(kept) < len(parsed) else text


def _modern_sources(face: str) -> str:
    """Return a font face without old formats; nothing if its file is one that no page loads."""
    if re.search(r"fa-(?:brands|regular)-400", face):
        return ""
    return re.sub(r",url\([^)]*\.(?:ttf|woff)\)\s*format\([^)]*\)", "", face)


def _serialize(rules: list[Any]) -> str:
    pieces = []
    for head, text, inner in rules:
        if inner is not None:
            pieces.append(f"{head}{{{_serialize(inner)}}}")
        else:
            pieces.append(f"{head};" if text is None else f"{head}{{{text.strip()}}}")
    return "\n".join(pieces)


def icon_codes(styles: Iterable[str]) -> set[int]:
    """Return the codes of the icons that style sheets name."""
    found = [match for style in styles for match in _ICON.findall(style)]
    return {int(code, 16) if code else ord(sign) for code, sign in found}


def trim_font(font: bytes, codes: set[int]) -> bytes:
    """Return a font in WOFF2 with only some of its characters.

    Parameters
    ----------
    font : bytes
        A font, in WOFF2 or another format.
    codes : set of int
        The code points to keep; those that the font lacks do no harm.
    """
    loaded = TTFont(io.BytesIO(font), recalcTimestamp=False)
    options = subset.Options(flavor="woff2", notdef_outline=True, glyph_names=False)
    options.name_IDs = ["*"]  # author and license among them
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=codes)
    subsetter.subset(loaded)
    loaded.flavor = "woff2"
    out = io.BytesIO()
    loaded.save(out)
    return out.getvalue()


def kept_font(font: bytes, codes: set[int], folder: Path) -> bytes:
    """Return what :func:`trim_font` does, from a folder if it was there before.

    Sphinx copies the whole fonts at every build, and to cut all of them takes seconds.
    """
    digest = hashlib.sha256(font + json.dumps(sorted(codes)).encode())
    known = folder / f"{digest.hexdigest()[:16]}.woff2"
    if not known.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        known.write_bytes(trim_font(font, codes))
    return known.read_bytes()


def plain_classes(style: str) -> set[str]:
    """Return the classes of highlighted code that look as code does anyway, in every theme.

    Parameters
    ----------
    style : str
        The style sheet of Pygments, a rule a line, one set of rules for each theme.
    """
    base = dict(re.findall(r"(\S*) ?\.highlight *\{[^}]*?(?<![-\w])color: *(#\w+)", style))
    found: dict[str, list[bool]] = {}
    for theme, name, body in re.findall(r"(\S*) ?\.highlight \.([\w-]+) *\{([^}]*)\}", style):
        same = re.fullmatch(r"\s*color: *(#\w+);?\s*", body)
        found.setdefault(name, []).append(same is not None and same[1] == base.get(theme))
    return {name for name, plain in found.items() if all(plain) and len(plain) == len(base)}


def plain_code(page: str, plain: set[str]) -> str:
    """Take away the spans of highlighted code whose class changes nothing."""
    if not plain:
        return page
    span = re.compile(rf'<span class="(?:{"|".join(sorted(plain))})">([^<]*)</span>')
    return _CODE.sub(lambda match: span.sub(r"\1", match[0]), page)


def stamp_links(page: str, digest: Callable[[str], str | None]) -> str:
    """Name in every link to a style sheet or script the content that the file now has.

    Parameters
    ----------
    page : str
        HTML.
    digest : callable
        Returns the digest of the file that a link leads to, or ``None`` for files of others.
    """

    def stamped(match: re.Match[str]) -> str:
        known = digest(match[2])
        return match[0] if known is None else f'{match[1]}{match[2]}?v={known}"'

    return _LINK.sub(stamped, page)


def trim_site(root: Path, fonts: Path) -> None:
    """Cut the site below *root* to what its pages use; *fonts* remembers fonts that were cut."""
    static = root / "_static"
    for pattern in UNUSED:
        for waste in static.glob(pattern):
            if waste.is_file():
                waste.unlink()
    pages = {path: path.read_text(encoding="utf-8") for path in html_files(root)}
    scripts = {
        path: path.read_text(encoding="utf-8")
        for path in sorted(static.rglob("*.js"))
        if path.name != _PYTHON
    }
    code = [text for path, text in scripts.items() if "livefigures" not in path.parts]
    styles = _trim_styles(static, used_names(pages.values(), code))
    # What cells print is in a font of the reader's own.
    written = [text for path, text in scripts.items() if "pagepython" not in path.parts]
    shown = _signs((*pages.values(), *written))
    drawn = _signs(text for page in pages.values() for text in _FIGURE.findall(page))
    drawn |= _signs(text for path, text in scripts.items() if "livefigures" in path.parts)
    for font in sorted(static.rglob("*.woff2")):
        codes = drawn if "dejavu" in font.parts else shown  # the first writes in figures only
        codes = icon_codes(styles.values()) if "fontawesome" in font.parts else codes
        font.write_bytes(kept_font(font.read_bytes(), codes, fonts))
    plain = plain_classes(styles.get("pygments.css", ""))
    _finish_pages(root, {path: plain_code(text, plain) for path, text in pages.items()})


def _signs(texts: Iterable[str]) -> set[int]:
    return {ord(sign) for text in texts for sign in set(unescape(text))}


def _trim_styles(static: Path, used: Used) -> dict[str, str]:
    paths = {path.relative_to(static).as_posix(): path for path in sorted(static.rglob("*.css"))}
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    trimmed = trim_styles(texts, used)
    for name, text in trimmed.items():
        paths[name].write_text(text, encoding="utf-8")
    return trimmed


def _finish_pages(root: Path, pages: dict[Path, str]) -> None:
    known: dict[Path, str] = {}

    def digest(page: Path, link: str) -> str | None:
        # The page of a missing address links from the root of the site.
        is_absolute = link.startswith("/")
        target = root / link.removeprefix(base_path()) if is_absolute else page.parent / link
        target = target.resolve()
        if not target.is_file():
            return None
        if target not in known:
            known[target] = hashlib.sha256(target.read_bytes()).hexdigest()[:8]
        return known[target]

    for path, text in pages.items():
        stamped = stamp_links(text, partial(digest, path))
        if stamped != path.read_text(encoding="utf-8"):
            path.write_text(stamped, encoding="utf-8")


def _trim(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        trim_site(Path(app.outdir), Path(app.doctreedir) / "fonts")


def setup(app: Sphinx) -> None:
    """Trim once all pages are finished."""
    app.connect("build-finished", _trim, priority=950)
