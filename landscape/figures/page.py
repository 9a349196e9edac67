"""Pages: one HTML file of several figures, readable without a network."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from landscape._version import __version__
from landscape.atomic import replacing
from landscape.errors import UsageError
from landscape.figures.data import Facts, Table
from landscape.figures.gallery import gallery_html
from landscape.figures.sections import Control, Section

PLOTLY = "plotly.min.js"
_DIGITS = 5  # significant; a screen shows three
_SHARED = 60  # shorter pieces cost less than a reference to them


def write_page(
    path: str | os.PathLike[str],
    figures: Section | go.Figure | Sequence[Section | go.Figure],
    *,
    title: str,
    intro: str = "",
    standalone: bool = False,
) -> Path:
    """Write one page of several figures.

    Pages in one folder share one ``plotly.min.js`` beside them; nothing is loaded from elsewhere.

    Args:
        path: The file to write, replaced whole.
        figures: Sections, as ``surface_section`` and ``band_section`` make them, or plotly figures.
        title: Title of the page.
        intro: A paragraph below the title.
        standalone: Put plotly's script into the page, which adds 5 MB, instead of beside it.

    Returns:
        The path.

    Raises:
        UsageError: There is no figure, or one is of another kind.
        StorageError: The page cannot be written.
    """
    target = Path(path)
    many = [figures] if isinstance(figures, Section | go.Figure) else list(figures)
    if not many:
        raise UsageError(f"a page needs at least one figure; got none for {target}")
    if not standalone:
        _share_plotly(target.parent)
    text = page_html(many, title=title, intro=intro, standalone=standalone)
    with replacing(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return target


def _share_plotly(folder: Path) -> None:
    script = folder / PLOTLY
    mark = f"plotly.js v{get_plotlyjs_version()}".encode()
    try:
        with script.open("rb") as file:
            if mark in file.read(400):
                return
    except OSError:
        pass  # not there, or not readable: written anew, and writing says what is wrong
    with replacing(script) as partial:
        partial.write_text(get_plotlyjs(), encoding="utf-8")


def page_html(figures: Sequence[Section | go.Figure], *, title: str, intro: str = "", standalone: bool = False) -> str:
    """Make the text of a page.

    Args:
        figures: Sections or plotly figures.
        title: Title of the page.
        intro: A paragraph below the title.
        standalone: Put plotly's script into the page.

    Returns:
        HTML.
    """
    store = Store()
    parts = [_part(figure, i, store, title, alone=len(figures) == 1) for i, figure in enumerate(figures, 1)]
    content = {"table": store.texts, "figures": [data for _, data in parts]}
    slots = {
        "title": escape(title),
        "intro": f'<p class="intro">{escape(intro)}</p>' if intro else "",
        "style": _asset("page.css"),
        "plotly": f"<script>{get_plotlyjs()}</script>" if standalone else f'<script src="{PLOTLY}"></script>',
        "sections": "\n".join(html for html, _ in parts),
        "content": script_json(content),
        "script": _asset("page.js"),
        "version": escape(__version__),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: slots[match[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return resources.files("landscape.figures").joinpath("assets", name).read_text(encoding="utf-8")


class Store:
    """Pieces of JSON that several drawings have in common, each kept once.

    Args:
        texts: The pieces.
    """

    def __init__(self) -> None:
        self.texts: list[Any] = []
        self._known: dict[str, int] = {}

    def put(self, node: Any) -> Any:
        """Replace the larger parts of a drawing by references to the store.

        Args:
            node: Lists, dictionaries, text and numbers.

        Returns:
            The same with numbers rounded, and ``{"$": i}`` for a part that is kept in the store.
        """
        if isinstance(node, dict):
            plain: Any = {key: self.put(value) for key, value in node.items()}
        elif isinstance(node, list | tuple):
            numbers = all(not isinstance(item, dict) for item in node)
            plain = rounded(node) if numbers else [self.put(item) for item in node]
        else:
            return rounded(node)
        text = json.dumps(plain, separators=(",", ":"), allow_nan=False)
        if len(text) < _SHARED:
            return plain
        if text not in self._known:
            self._known[text] = len(self.texts)
            self.texts.append(plain)
        return {"$": self._known[text]}


def rounded(value: Any) -> Any:
    """Round the numbers of a drawing; what is not finite becomes null.

    Args:
        value: A number, a text, or lists of them.

    Returns:
        The same with at most five significant digits.
    """
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        whole = value == int(value) and abs(value) < 1e15  # a step or a count is not rounded
        short = value if whole else float(f"{value:.{_DIGITS}g}")
        return int(short) if short == int(short) and abs(short) < 1e15 else short
    return value


def script_json(value: Any) -> str:
    """Write JSON that may stand inside a script element.

    Args:
        value: Lists, dictionaries, text and numbers.

    Returns:
        JSON in which no text can close the element.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _part(figure: Section | go.Figure, index: int, store: Store, title: str, *, alone: bool) -> tuple[str, Any]:
    if isinstance(figure, go.Figure):
        drawing = json.loads(figure.to_json())
        heading = re.sub(r"<[^>]*>", " ", figure.layout.title.text or f"Figure {index}")
        view = {"data": drawing["data"], "layout": drawing["layout"], "narrow": None, "flat": False}
        return _figure_html(index, heading, (), ""), {"name": heading, "controls": [], "views": {"": view}}
    if not isinstance(figure, Section):
        raise UsageError(f"a page is made of sections and plotly figures; got {type(figure).__name__}")
    views = {
        "|".join(key): {
            "data": store.put(drawing.data),
            "layout": store.put(drawing.layout),
            "narrow": None if drawing.narrow is None else store.put(drawing.narrow),
            "flat": drawing.flat,
        }
        for key, drawing in figure.views.items()
    }
    controls = [{"name": c.name, "values": [value for value, _ in c.options]} for c in figure.controls]
    heading = "" if alone and figure.title == title else f"<h2>{escape(figure.title)}</h2>"
    return _section_html(figure, index, heading), {"name": figure.title, "controls": controls, "views": views}


def _section_html(section: Section, index: int, heading: str) -> str:
    finding = "".join(f'<p class="finding">{escape(line)}</p>' for line in section.finding.splitlines())
    remarks = f'<p class="small">{escape(" ".join(section.remarks))}</p>' if section.remarks else ""
    conditions = "".join(f"<li>{escape(text)}</li>" for text in section.conditions)
    notes = "".join(
        f'<p class="note{" warn" if text.startswith(("Assumed", "Warning")) else ""}">{escape(text)}</p>'
        for text in section.notes
    )
    head = f'{heading}{finding}<ul class="conditions">{conditions}</ul>{notes}'
    gallery = gallery_html(section.gallery) if section.gallery else ""
    tables = "".join(_table_html(table) for table in section.tables)
    folded = "".join(_facts_html(group) for group in section.facts)
    fold = f'<details><summary>How this was made</summary><div class="groups">{folded}</div></details>'
    controls = "".join(_control_html(control, index) for control in section.controls)
    return _figure_html(index, section.title, controls, head, remarks + gallery + tables + (fold if folded else ""))


def _figure_html(index: int, name: str, controls: Any, head: str, tail: str = "") -> str:
    bar = f'<form class="controls" aria-label="Switches of the figure">{controls}</form>' if controls else ""
    plot = f'<div class="plot" role="group" aria-label="{escape(name)}"></div>'
    return f'<section id="figure-{index}">{head}<figure>{plot}{bar}</figure>{tail}</section>'


def _control_html(control: Control, index: int) -> str:
    name = f"f{index}-{escape(control.name)}"
    if len(control.options) > 5:
        options = "".join(f'<option value="{escape(v)}">{escape(text)}</option>' for v, text in control.options)
        return f'<label class="select">{escape(control.label)} <select name="{name}">{options}</select></label>'
    inputs = "".join(
        f'<label><input type="radio" name="{name}" value="{escape(value)}"{" checked" if i == 0 else ""}>'
        f"<span>{escape(text)}</span></label>"
        for i, (value, text) in enumerate(control.options)
    )
    return f"<fieldset><legend>{escape(control.label)}</legend><div>{inputs}</div></fieldset>"


def _table_html(table: Table) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{'' if i < table.words else ' class=n'}>{escape(text)}</{tag}>" for i, text in enumerate(row)
        )

    head = cells(table.header, "th")
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in table.rows)
    note = f'<p class="small">{escape(table.note)}</p>' if table.note else ""
    names = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in table.definitions)
    meaning = f'<details class="meaning"><summary>What the rows mean</summary><dl>{names}</dl></details>'
    return (
        f'<div class="table"><table><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}{meaning if names else ''}"
    )


def _facts_html(group: Facts) -> str:
    button = '<button type="button" class="copy">copy</button>'
    if group.code:
        inner = "".join(f"<pre>{escape(value)}</pre>" for _, value in group.items)
    else:
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in group.items)
        inner = f"<dl>{rows}</dl>"
    return f'<div class="facts{" code" if group.code else ""}"><h3>{escape(group.title)} {button}</h3>{inner}</div>'
