"""Tables on a terminal: those of the page, drawn by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from landscape.figures.data import Table


def show(table: Table) -> None:
    """Print a table on standard output.

    Args:
        table: The table; its leading columns of words are aligned left, figures right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=SIMPLE_HEAD, title=Text(table.caption), title_justify="left", pad_edge=False)
    for i, name in enumerate(table.header):
        words = i < table.words
        drawn.add_column(Text(name), justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:  # a file has no edge
        console.width = max(console.width, console.measure(drawn, options=console.options.update(width=1000)).maximum)
    console.print(drawn)
