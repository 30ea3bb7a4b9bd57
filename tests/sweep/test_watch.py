"""What people see of a sweep that runs: on a terminal, and in a file."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.pruners import NopPruner
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from rich.console import Console

from landslide.sweep import watch
from landslide.sweep.branch import Branch
from landslide.sweep.study import Point, Record, StratumStudy
from landslide.sweep.watch import Watch

BANDS = "data.bands=[red,nir]"
"""A stratum whose name looks like markup."""

LONG = "unetplusplus-tu-tf_efficientnet_lite0-focal-adamw"

COLUMNS = ["finished", "running", "pruned", "failed", "best"]


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


def branch(name: str, target: int | None = 4) -> Branch:
    """A stratum of so many trials, none of which is asked for."""
    x = FloatDistribution(0, 1)
    study = StratumStudy(
        InMemoryStorage(),
        f"lr/{name}",
        directions=["maximize"],
        planned=[Point("grid", {"x": number / 10}, {"x": x}) for number in range(target or 9)],
        sampler=None,
        suggest=lambda _: {},
        pruner=NopPruner(),
        seed=0,
        facts={},
        patiently=lambda write: write(),
    )
    stratum = SimpleNamespace(name=name, overrides=[name])
    space = SimpleNamespace(parameters=[], strata=[stratum], label=lambda params: f"x={params['x']}")
    known: dict[str, Any] = {"sweep": "lr", "stratum": stratum, "space": space, "kind": "search", "pruner": "none"}
    return Branch(**known, study=study, folder=Path(), target=target, budget_s=None, against=[], keep_models="none")


def ask(branch: Branch) -> Record:
    return branch.study.ask()


def tell(branch: Branch, record: Record, value: float | None = None, **outcome: Any) -> Record:
    """The end of a trial; without a value it is pruned."""
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    branch.study.tell(record, state, None if value is None else [value], outcome, {})
    return branch.study.records[record.number]


def finish(branch: Branch, value: float | None = None, **outcome: Any) -> Record:
    return tell(branch, ask(branch), value, **outcome)


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None, highlight=False)


def plain() -> Console:
    return Console(file=io.StringIO(), width=160, force_terminal=False, highlight=False)


def screen(console: Console) -> list[str]:
    """The lines that a terminal shows of what was written to it, up to now."""
    lines, at = [""], 0
    for part in re.split(r"(\x1b\[[?\d]*[A-Za-z]|\r|\n)", console.file.getvalue()):  # type: ignore[attr-defined]
        if part == "\n":
            at += 1
            lines += [""] * (at == len(lines))
        elif part == "\x1b[1A":
            at -= 1
        elif part == "\x1b[2K":
            lines[at] = ""
        elif part and part != "\r" and not part.startswith("\x1b[?25"):  # the cursor, which is hidden meanwhile
            assert not part.startswith("\x1b"), part
            lines[at] += part
    return [line.rstrip() for line in lines]


def cells(lines: Sequence[str]) -> dict[str, list[str]]:
    """The last table on the screen, by what stands first in each line."""
    head = max(number for number, line in enumerate(lines) if line.split() == COLUMNS)
    return {line.split()[0]: line.split()[1:] for line in lines[head + 1 :] if line}


# ------------------------------------------------------------------------------------------------------- live, in slots
def test_a_terminal_shows_one_table_below_the_sentences_and_keeps_it_up_to_date() -> None:
    # Given
    unet, fpn, console = branch("unet"), branch("fpn"), terminal()
    seen = Watch(console, [unet, fpn], slots=2)
    with seen.shown():
        running = ask(unet)
        seen.begin(unet, running)
        assert seen._live is not None
        seen._live.refresh()
        assert cells(screen(console)) == {"unet": ["0/4", "1", "0", "0", "-"], "fpn": ["0/4", "0", "0", "0", "-"]}
        # When
        seen.end(unet, tell(unet, running, 0.81254))
        seen.end(fpn, finish(fpn, reason="epoch 2, median"))
        seen.end(fpn, finish(fpn, reason="out of memory: 2 GiB", failed=True))
        ask(fpn)
    # Then
    lines = screen(console)
    assert cells(lines) == {"unet": ["1/4", "0", "0", "0", "0.8125"], "fpn": ["2/4", "1", "1", "1", "-"]}
    assert [line.split() for line in lines].count(COLUMNS) == 1
    told = [line for line in lines if ": " in line]
    assert told[0].startswith("unet x=0.0: complete 0.8125  best 0.8125")
    assert told[1:] == [
        "fpn x=0.0: pruned (epoch 2, median)",
        "fpn x=0.1: failed (out of memory: 2 GiB)",
    ]
    assert lines.index(told[2]) < next(number for number, line in enumerate(lines) if line.split() == COLUMNS)


@pytest.mark.parametrize("width", [120, 80, 60, 48])
def test_neither_numbers_nor_names_are_cut_to_the_width_of_the_window(width: int) -> None:
    long, short = branch(LONG, 1000), branch(BANDS, None)
    finish(long, 0.123456)
    console = terminal(width)
    with Watch(console, [long, short], slots=2).shown():
        pass
    lines = screen(console)
    assert max(map(len, lines)) <= width
    numbers = [line.split()[-5:] for line in lines if re.search(r"\d+/", line)]
    assert numbers == [["1/1000", "0", "0", "0", "0.1235"], ["0/?", "0", "0", "0", "-"]]
    begun = "".join(line.split()[0] for line in lines if line and line.split() != COLUMNS)
    assert begun == LONG + BANDS


def test_the_time_that_is_left_is_told_from_what_this_start_has_finished(clock: Clock) -> None:
    # Given: a trial of another start
    unet, console = branch("unet", 5), terminal()
    finish(unet, 0.1)
    seen = Watch(console, [unet], slots=2)
    with seen.shown():
        assert seen.table().title == ""
        clock.now += 30
        finish(unet, 0.2)
        assert seen.table().title == "about 2 min left"  # three of 30 s each
        clock.now += 24
        finish(unet, 0.3)
        finish(unet, 0.4)
    assert screen(console)[0] == "about 18 s left"  # one of 18 s
    finish(unet, 0.5)
    assert seen.table().title == ""


def test_repeats_that_will_follow_the_search_are_part_of_the_time_that_is_left(clock: Clock) -> None:
    # Given: two strata of one trial each, whose best settings are trained twice more
    unet, fpn, console = branch("unet", 1), branch("fpn", 1), plain()
    seen = Watch(console, [unet, fpn], slots=2, repeats=2)
    for stratum in (unet, fpn):
        clock.now += 10
        seen.end(stratum, finish(stratum, 0.5))
    assert seen.table().title == "about 40 s left"
    # When: of one stratum both are trained, by another start
    again, trained = branch("unet, repeats", 2), branch("fpn, repeats", 2)
    finish(trained, 0.4)
    finish(trained, 0.6)
    seen.add_repeats([again, trained])
    # Then
    assert seen.table().title == "about 20 s left"
    clock.now += 10
    finish(again, 0.5)
    assert seen.table().title == "about 10 s left"
    finish(again, 0.5)
    assert seen.table().title == ""


def test_a_stratum_that_is_given_up_takes_no_more_time(clock: Clock) -> None:
    unet, fpn = branch("unet", 5), branch("fpn", 2)
    seen = Watch(plain(), [unet, fpn], slots=2)
    clock.now += 20
    finish(unet, 0.5)
    finish(fpn, 0.5)
    assert seen.table().title == "about 50 s left"
    # When
    unet.stopped = "its last trials failed"
    # Then
    assert seen.table().title == "about 10 s left"


def test_without_a_number_of_trials_no_end_is_foretold(clock: Clock) -> None:
    unet, console = branch("unet", None), plain()
    seen = Watch(console, [unet], slots=2)
    clock.now += 30
    record = ask(unet)
    seen.begin(unet, record)
    seen.end(unet, tell(unet, record, 0.5))
    assert seen.table().title == ""
    assert screen(console)[:2] == ["unet 0  unet x=0.0  begins", "unet x=0.0: complete 0.5000  best 0.5000"]


# --------------------------------------------------------------------------------------------------------- plain lines
def test_a_file_gets_a_line_for_each_begin_and_end_and_no_table() -> None:
    unet, console = branch(BANDS), plain()
    seen = Watch(console, [unet], slots=2)
    with seen.shown():
        for value in (0.5, 0.4):
            record = ask(unet)
            seen.begin(unet, record)
            seen.end(unet, tell(unet, record, value))
        seen.died(unet, ask(unet))
        seen.stopping(0)
        seen.stopping(2)
    lines = [re.sub("about .* left", "about T left", line) for line in screen(console)]
    assert lines == [
        f"1/4  {BANDS} x=0.0  begins",
        f"{BANDS} x=0.0: complete 0.5000  best 0.5000  about T left",
        f"2/4  {BANDS} x=0.1  begins",
        f"{BANDS} x=0.1: complete 0.4000  best 0.5000  about T left",
        f"{BANDS} x=0.2: its process is gone. It goes on from its last checkpoint.",
        "",
        "Asking 2 running trials to keep their checkpoints.",
        "",
    ]


def test_in_a_single_slot_each_trial_has_a_heading_above_its_own_progress() -> None:
    unet, console = branch("unet", 2), terminal(60)
    seen = Watch(console, [unet], slots=1)
    with seen.shown():
        record = ask(unet)
        seen.begin(unet, record)
        seen.end(unet, tell(unet, record, 0.5))
        again = ask(unet)
        seen.begin(unet, again, goes_on=True)
    first, end, second, _ = screen(console)
    assert re.fullmatch(r"1/2  unet x=0\.0 -+", first)
    assert len(first) == 60
    assert end.startswith("complete 0.5000  best 0.5000")
    assert re.fullmatch(r"unet 1  unet x=0\.1 -+", second)  # it goes on, and is not the latest
