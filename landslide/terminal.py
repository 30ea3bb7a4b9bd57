"""The console that commands print to."""

from __future__ import annotations

from rich.console import Console

LOG_WIDTH = 160
"""Of output that goes to a file, where a table need not be cut to a window."""


def tell(console: Console, sentence: str) -> None:
    """Print a sentence on one line, whatever brackets and paths are in it."""
    console.print(sentence, soft_wrap=True, markup=False)


def open_console() -> Console:
    """Standard output, as wide as the window, or as a whole table where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)
