"""Tables on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from landscape.figures.data import Table

_WIDE = 200  # columns, where no terminal says how many there are


def show_table(table: Table) -> None:
    """Print a table to standard output: words to the left, figures to the right.

    Args:
        table: The table.
    """
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(title=table.caption, title_justify="left", caption=table.note or None, caption_justify="left")
    for i, name in enumerate(table.header):
        grid.add_column(name, justify="left" if i < table.words else "right")
    for row in table.rows:
        grid.add_row(*row)
    Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False, markup=False).print(grid)
