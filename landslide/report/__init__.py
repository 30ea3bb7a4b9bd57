"""Compare runs by what tracking stored of them; nothing here trains.

runs.py        what MLflow holds of a run
selection.py   which runs are meant
labels.py      what a run and its stratum are called beside others
strata.py      runs as rows, and strata of them
statistics.py  intervals and tests, by pooled_ratio.py, variance.py (seeds), resampling.py (tiles)
calibration.py what a probability is worth
pairs.py       the two questions, pair by pair
table.py       the tables and their forms
summary.py     the result in words, and what makes it unfair
figures.py     figures of one run and of several, from arrays
pictures.py    the figures of a comparison, with their words
landslides.py  landslide by landslide; section.py a table with its words
atlas.py       which tiles are hard; sheet.py those that are drawn
details.py     all of these, from what runs stored
page.py        the HTML page, from page.html.j2 and table.html.j2
comparison.py  all of it for a selection
beside.py      a second process that draws
paper.py       what Oak et al. 2024 print; reproduction.py sets it beside ours, from reproduction_*.py
sweep.py       the same for a sweep, from its Optuna studies; sweep_*.py are its parts
folds.py       of a sweep that holds one group after the other out
custody.py     of what was scored on the test part
pairs_figure.py  the sheet of an audit
"""

from landslide.report.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
