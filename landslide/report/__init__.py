"""Compare runs by what tracking stored of them; nothing here trains.

runs.py        what MLflow holds of a run
labels.py      what a run is called beside others
table.py       the table and its forms
summary.py     the result in words, and what makes it unfair
figures.py     figures of one run and of several, from arrays
pictures.py    the figures of a comparison, with their words
page.py        the HTML page, from page.html.j2
comparison.py  all of it for a list of runs
sweep.py       the same for a sweep, from its Optuna studies; sweep_*.py are its parts
folds.py       of a sweep that holds one group after the other out
pairs_figure.py  the sheet of an audit
"""

from landslide.report.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
