"""The two questions of a comparison, answered pair by pair and said in words; they are never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan

from landslide.report import statistics, table
from landslide.report.runs import AT, EPOCHS, Epoch, Run
from landslide.report.statistics import Difference
from landslide.report.strata import RATIOS, Stratum, same_tiles
from landslide.report.table import MARK, MISSING, Cell, Column, csv_number, interval_cell, listed, to_csv, words

NETWORKS = "These trained networks, on tiles like these"
RECIPES = "These architectures or settings"
_ASKED = {
    NETWORKS: (
        "Would the same trained networks differ on other tiles of this kind? Units are tiles, paired: p by swapping "
        "two strata tile by tile, intervals by bootstrap over tiles. It says nothing about training again. Effect: "
        "mean over standard deviation of the tiles' contributions to the difference."
    ),
    RECIPES: (
        "Would they differ if all were trained again, with other seeds? Units are seeds, tiles are shared: variance "
        "over seeds and paired over tiles, Student's t with Satterthwaite's degrees of freedom. Effect: "
        "Hedges' g over seeds."
    ),
}
_MOST_SAID = 10

BOLD = "Bold: p after Holm's correction over all pairs is 0.05 or less. Intervals are of each pair by itself."
"""What the marks and the intervals of a table of pairs are."""


@dataclass(frozen=True)
class Question:
    """One of the two questions, and what the stored counts answer."""

    title: str
    metric: str
    """One of :data:`~landslide.report.strata.RATIOS`."""
    found: dict[Epoch, tuple[Difference, ...]]
    """By epoch, the same pairs in the same order; without one that no stratum stored."""
    refused: str
    """Why it is not answered, or not for all; else empty."""
    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    """By stratum: those that stored counts, which its numbers are of."""

    @property
    def asked(self) -> str:
        """What is asked, and how it is answered."""
        return _ASKED[self.title]

    @property
    def pairs(self) -> tuple[Difference, ...]:
        """At the best epoch."""
        return self.found.get("best", ())

    @property
    def sentences(self) -> list[str]:
        """What the first pairs show at the last epoch, which was not selected; where it is missing, at the best one."""
        return self.said("last" if "last" in self.found else "best")

    def said(self, which: Epoch) -> list[str]:
        """What the first pairs show at an epoch."""
        pairs = self.found.get(which, ())[:_MOST_SAID]
        return [f"{AT[which]}: {statistics.sentence(pair, RATIOS[self.metric])}" for pair in pairs]

    @property
    def summary(self) -> str:
        """How many pairs are told apart, at both epochs."""
        told = [
            f"{sum(pair.told_apart for pair in self.found[which])} at the {which} epoch"
            + (" (selected on these tiles)" if which == "best" else "")
            for which in EPOCHS
            if which in self.found
        ]
        pairs = "1 pair" if len(self.pairs) == 1 else f"{len(self.pairs)} pairs"
        among = statistics.pairs_among({name for pair in self.pairs for name in (pair.first, pair.second)})
        if among > len(self.pairs):
            pairs += (
                f", each with the best one and corrected for all {among}, since which is best was seen on these tiles"
            )
        return f"Told apart after Holm's correction, of {pairs}: {', '.join(told)}."


def ask(strata: Sequence[Stratum], metric: str) -> list[Question]:
    """Ask both questions of all pairs: all of them up to 20 strata, beyond that the best against each other.

    Args:
        strata: best first.
        metric: one of :data:`~landslide.report.strata.RATIOS`.
    """
    known = [stratum for stratum in strata if stratum.counts("best") is not None]
    runs = {each.name: tuple(row.run for row in each.rows if "best" in row.tallies) for each in known}
    return [replace(question, runs=runs) for question in (_networks(known, metric), _recipes(known, metric))]


def columns(question: Question, *, short: bool = False, most: int | None = None) -> list[Column]:
    """The table of the pairs of a question.

    Args:
        question: with at least one pair.
        short: only what fits into a terminal.
        most: pairs to show, the first ones; None shows all.
    """
    name = RATIOS[question.metric]
    pairs = question.pairs[:most]
    found = [
        words("First", [pair.first for pair in pairs]),
        words("Second", [pair.second for pair in pairs]),
        *_test_columns(pairs, f"{name} difference", MARK),
        _numbers("effect", f"Effect{MARK}", [pair.effect for pair in pairs], "{:+.2f}"),
    ]
    if question.title == RECIPES:
        needed = [_needed(pair) for pair in pairs]
        found.append(words(f"Needed{MARK}", needed, key="needed"))
        if not short:
            found.insert(-1, _numbers("df", f"df{MARK}", [pair.df for pair in pairs], "{:.1f}"))
    if "last" in question.found and not short:
        found += _test_columns(question.found["last"][:most], "Last epoch")
    of = [(*question.runs.get(pair.first, ()), *question.runs.get(pair.second, ())) for pair in pairs]
    return [*found[:2], *(column.linked(of) for column in found[2:])]


def to_latex(question: Question, *, most: int) -> str:
    """The table of the pairs for a paper, with what the first ones show under it.

    Args:
        question: with at least one pair.
        most: pairs to show, the first ones.
    """
    return table.to_latex(
        columns(question, most=most),
        above=f"{question.title}: {question.asked} {MARK} {AT['best']}. {BOLD}",
        below=" ".join(text for text in (question.summary, question.refused, *question.sentences) if text),
        label=f"tab:landslide-{'recipes' if question.title == RECIPES else 'networks'}",
    )


def to_rows(questions: Sequence[Question]) -> str:
    """Every test as a line of a CSV file, in full."""
    lines = [["question", "epoch", "metric", "first", "second", *_FIELDS]]
    for question in questions:
        for which, pairs in question.found.items():
            for pair in pairs:
                values = [csv_number(getattr(pair, name)) for name in _FIELDS]
                lines.append([pair.question, which, question.metric, pair.first, pair.second, *values])
    return to_csv(lines)


_FIELDS = ("difference", "low", "high", "p", "p_holm", "effect", "df", "seeds_needed", "tiles_needed")


def _networks(strata: Sequence[Stratum], metric: str) -> Question:
    refused = _too_little(strata)
    if not refused and not same_tiles(strata):
        refused = (
            "Not all runs were validated on the same tiles, so these networks cannot be compared tile by tile."
            + _that_share_tiles(strata)
        )
    found: dict[Epoch, tuple[Difference, ...]] = {}
    for which in () if refused else EPOCHS:
        if (counts := _counts(strata, which)) and same_tiles(strata, which):
            pairs, among = statistics.pair_up(list(counts)), statistics.pairs_among(counts)
            found[which] = tuple(statistics.compare_networks(counts, pairs, metric, among=among))
    return Question(NETWORKS, metric, found, refused)


def _recipes(strata: Sequence[Stratum], metric: str) -> Question:
    repeated = [stratum for stratum in strata if len(stratum.tallies("best")) > 1]
    refused = _too_little(strata) or _one_seed(strata, repeated)
    found: dict[Epoch, tuple[Difference, ...]] = {}
    by_name = {stratum.name: stratum for stratum in repeated}
    pairs = statistics.pair_up(list(by_name))
    unpaired = {pair for pair in pairs if not same_tiles([by_name[name] for name in pair])}
    for which in EPOCHS if pairs else ():
        if counts := _counts(repeated, which, seeds=2):
            among = statistics.pairs_among(counts)
            found[which] = tuple(statistics.compare_recipes(counts, pairs, metric, unpaired=unpaired, among=among))
    if found and unpaired:
        refused += (
            f"{' ' if refused else ''}In {len(unpaired)} of {len(pairs)} pairs the tiles are not the same: there the "
            "variance of each side's own tiles counts in full."
        )
    return Question(RECIPES, metric, found, refused)


def _that_share_tiles(strata: Sequence[Stratum]) -> str:
    """Which could be compared by themselves, in a sentence; empty where there are none."""
    groups: list[list[Stratum]] = []
    for stratum in strata:
        group = next((group for group in groups if same_tiles([group[0], stratum])), None)
        if group is None:
            groups.append([stratum])
        else:
            group.append(stratum)
    shared = "; ".join(" and ".join(each.name for each in group) for group in groups if len(group) > 1)
    return f" Compare those by themselves that share theirs: {shared}." if shared else ""


def _too_little(strata: Sequence[Stratum]) -> str:
    if len(strata) < 2:
        one = "there is one stratum" if strata else "there is none"
        return f"A test needs two strata whose runs stored what they validated; {one}."
    if min(len(tally.tile_id) for stratum in strata for tally in stratum.tallies("best")) < 2:
        return "A test needs two validation tiles at least."
    return ""


def _one_seed(strata: Sequence[Stratum], repeated: Sequence[Stratum]) -> str:
    once = [stratum.name for stratum in strata if stratum not in repeated]
    if not once:
        return ""
    were, them = ("was", "it") if len(once) == 1 else ("were", "them")
    who = f"{listed(once)} {were}" if repeated else "Each stratum was"
    return (
        f"{who} trained with one seed, which says nothing about training again, so no answer is given"
        f"{f' for {them}' if len(repeated) > 1 else ''}. Train each with more seeds, as with seed=0,1,2,3,4."
    )


def _counts(strata: Sequence[Stratum], which: Epoch, seeds: int = 1) -> dict[str, statistics.Counts]:
    """By name; empty where one of the strata did not store this epoch with so many seeds."""
    found = {stratum.name: stratum.counts(which) for stratum in strata}
    there = {name: counts for name, counts in found.items() if counts is not None and len(counts) >= seeds}
    return there if len(there) == len(strata) else {}


def _test_columns(pairs: Sequence[Difference], heading: str, mark: str = "") -> list[Column]:
    key = heading.partition(" ")[0].lower()
    told = [
        Cell(MISSING) if isnan(p := pair.p_holm) else Cell(statistics.p_text(p), p, best=pair.told_apart)
        for pair in pairs
    ]
    return [
        _numbers(f"{key}_difference", f"{heading}{mark}", [pair.difference for pair in pairs], "{:+.4f}"),
        Column(f"{key}_interval", f"95 %{mark}", tuple(interval_cell(pair.low, pair.high) for pair in pairs)),
        Column(f"{key}_p", f"p (Holm){mark}", tuple(told)),
    ]


def _needed(pair: Difference) -> str:
    if pair.told_apart or isnan(pair.p):
        return MISSING
    either = [
        f"{count} {unit}" for count, unit in ((pair.seeds_needed, "seeds"), (pair.tiles_needed, "tiles")) if count
    ]
    return " or ".join(either) or f"> {statistics.MOST_NEEDED:,}"


def _numbers(key: str, heading: str, values: Sequence[float], form: str) -> Column:
    return Column(key, heading, tuple(Cell(MISSING) if isnan(v) else Cell(form.format(v), v) for v in values))
