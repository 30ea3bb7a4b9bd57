"""The table: what was logged, in every form it takes."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from landslide.report import Comparison, compare
from landslide.report.labels import label_runs
from landslide.report.runs import AT
from landslide.report.table import MISSING
from tests.report.conftest import FINISHED, Store
from tests.report.reproductions import EPOCHS, four, reproduction

ORDER = ["U-Net", "FPN", "LinkNet", "PSPNet", "MA-Net"]


def test_the_best_objective_comes_first_and_the_failed_run_last(comparison: Comparison) -> None:
    assert [row.label.text for row in comparison.rows] == ORDER


def test_where_the_objective_is_a_loss_the_lowest_comes_first(store: Store) -> None:
    # Given
    params = {"objective.metric": "val/loss", "objective.direction": "minimize"}
    runs = [store.log(params=params | {"optimizer.lr": lr}, metrics={"best/epoch": 4}) for lr in ("0.1", "0.01")]
    for run_id, loss in zip(runs, (0.3, 0.2), strict=True):
        store.client.log_metric(run_id, "val/loss", loss, step=4)
    # When
    compared = compare(store.client, runs)
    # Then
    assert [row.run.id for row in compared.rows] == runs[::-1]
    assert compared.sentence.startswith(f"{AT['best']}, U-Net, lr 0.01 has the lowest validation loss, 0.2000")
    assert "| **0.2000** |" in compared.markdown()


def test_csv_holds_the_logged_numbers_in_full(store: Store, comparison: Comparison) -> None:
    rows = {row["run_id"]: row for row in csv.DictReader(io.StringIO(comparison.csv()))}
    for arch in FINISHED:
        logged = store.client.get_run(store.children[arch]).data.metrics
        row = rows[store.children[arch]]
        for name in ("accuracy", "precision", "recall", "f1", "iou"):
            assert float(row[name]) == logged[f"best/{name}"]
        assert float(row["objective"]) == logged["best/f1"]
        assert float(row["f1_last"]) == logged["last/f1"]
        assert [float(row[name]) for name in ("best_epoch", "epochs", "images_per_s")] == [2, 3, 20.0]
        assert [float(row[name]) for name in ("time_s", "parameters", "gflops")] == [612.3, 6_251_469, 13.75]


def test_a_failed_run_has_its_reason_and_no_number(comparison: Comparison) -> None:
    # Given
    row = list(csv.DictReader(io.StringIO(comparison.csv())))[-1]
    reason = "TrainingDiverged: loss is NaN in epoch 1"
    # Then
    assert (row["status"], row["reason"]) == ("FAILED", reason)
    assert not any(row[name] for name in ("objective", "f1", "epochs", "time_s", "parameters"))
    assert f"- MA-Net failed: {reason}." in comparison.markdown()
    assert re.search(rf"\| MA-Net (\| {MISSING} ){{12}}\| failed \|", comparison.markdown())


def test_an_undefined_number_stays_missing(store: Store) -> None:
    # Given: no landslide was found or missed, so F1 was never logged
    run_id = store.log(metrics={"best/epoch": 1, "best/accuracy": 1.0})
    # When
    (row,) = compare(store.client, [run_id]).rows
    # Then
    assert row.score is None
    assert "f1" not in row.numbers


def test_the_best_of_each_column_is_bold(comparison: Comparison) -> None:
    best = next(line for line in comparison.markdown().splitlines() if line.startswith("| U-Net"))
    assert best.startswith("| U-Net | **")
    assert best.count("**") == 2 * 8  # five ratios, the last F1, and time and speed, which are equal in all runs


def test_on_paper_a_second_table_has_calibration_and_memory(comparison: Comparison) -> None:
    for text in (comparison.markdown(), comparison.latex()):
        first, _, second = text.partition("PR area")
        for heading in ("ECE", "Threshold", "Temperature", "To best epoch (min:s)", "Memory (MB)"):
            assert heading not in first
            assert heading in second
        assert all(arch in second for arch in ORDER)
        assert "expected calibration error over 16 groups" in second
    row = comparison.rows[0]
    line = next(line for line in comparison.markdown().split("PR area")[1].splitlines() if line.startswith("| U-Net"))
    assert f"{row.numbers['ece']:.4f}" in line
    assert f"{row.numbers['average_precision']:.4f}" in line


def test_where_nothing_of_the_second_table_is_known_there_is_none(store: Store) -> None:
    compared = compare(store.client, [store.score(0.8)])
    assert compared.latex().count("table*") == 2  # begin and end
    assert "PR area" not in compared.markdown()


def test_a_single_run_has_nothing_bold(store: Store) -> None:
    assert "**" not in compare(store.client, [store.score(0.8)]).markdown()


def test_markdown_keeps_its_columns_whatever_a_run_is_called(store: Store) -> None:
    # Given
    names = ["a | b", "two\nlines", "`code` | <b>"]
    runs = [store.score(0.8, name=name, params={"arch.name": name}) for name in names]
    # When
    lines = [line for line in compare(store.client, runs).markdown().splitlines() if line.startswith("|")]
    # Then
    assert len(lines) == 2 + len(names)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "<b>" not in "".join(lines)


def test_latex_escapes_what_it_would_execute(store: Store) -> None:
    runs = [store.score(0.8, params={"encoder.name": name}) for name in ("tu-test_resnet", r"50%\input{x}&$")]
    text = compare(store.client, runs).latex()
    assert r"U-Net, tu-test\_resnet & " in text
    assert r"50\%\textbackslash{}input\{x\}\&\$" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdfLaTeX is not installed, so nobody has set the tables")
def test_latex_is_set_without_an_error_and_no_table_is_wider_than_the_paper(store: Store, tmp_path: Path) -> None:
    # Given
    names = [
        "tu-test_resnet",
        r"50%\input{x}&$#~^<>|",
        "größe µm² \N{EN DASH} \N{LEFT DOUBLE QUOTATION MARK}\N{SNOWMAN}",
    ]
    runs = [
        store.tested(0.7 + 0.05 * at, seed, params={"encoder.name": name}, name=name)
        for at, name in enumerate(names)
        for seed in range(2)
    ]
    runs.append(store.log(status="FAILED", tags={"landslide.failure": "of_\x1b[1m 50 % & # \\x {"}))
    found = {
        "comparison": compare(store.client, runs).latex(),
        "reproduction": reproduction(*four(), changes=(EPOCHS,)).latex(),
    }
    for name, tables in found.items():
        head = "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs}\n\\begin{document}"
        (tmp_path / f"{name}.tex").write_text(f"{head}\n{tables}\\end{{document}}\n", encoding="utf-8")
        # When
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", f"{name}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
        # Then
        assert done.returncode == 0, done.stdout
        assert "Overfull" not in done.stdout


def test_what_is_too_wide_for_paper_goes_on_below_beside_the_same_names(store: Store) -> None:
    # Given
    runs = [store.tested(0.8, seed, params={"arch.name": arch}) for arch in ("unet", "fpn") for seed in range(2)]
    # When
    parts = compare(store.client, runs).latex().split(r"\end{table*}")[0].split(r"\begin{tabular}")[1:]
    # Then
    assert len(parts) > 1
    heads = [re.findall(r"\\toprule\n +(.*) \\\\", part)[0].split(" & ") for part in parts]
    assert {head[0] for head in heads} == {"Model"}
    columns = [column for head in heads for column in head[1:]]
    assert len(set(columns)) == len(columns) == 14
    assert all(part.count("U-Net & ") == part.count("FPN & ") == 1 for part in parts)


def test_each_latex_line_has_as_many_cells_as_the_head(comparison: Comparison) -> None:
    tables = comparison.latex().split(r"\end{tabular}")[:-1]
    lines = [[line for line in text.splitlines() if line.endswith(r"\\")] for text in tables]
    assert {len(each) - 1 for each in lines} == {len(ORDER), 6}  # six pairs of the finished
    assert all(len({line.count(" & ") for line in each}) == 1 for each in lines)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_terminal_shows_every_run_in_one_line(comparison: Comparison, width: int) -> None:
    # Given
    console = Console(width=width, file=io.StringIO())
    # When
    comparison.terminal(console)
    # Then
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines[lines.index("") + 2 :]]
    assert [row[0] for row in rows[: len(ORDER)]] == ORDER
    assert all({"finished", "failed"} & set(row) for row in rows[: len(ORDER)])


def test_a_label_has_the_architecture_and_what_differs(store: Store) -> None:
    runs = [
        store.score(0.9, params={"optimizer.lr": "0.00123456"}),
        store.score(0.8, params={"arch.name": "fpn", "encoder.name": "resnet50"}),
        store.score(0.7, params={"encoder.name": "resnet50"}),
    ]
    labels = [row.label.text for row in compare(store.client, runs).rows]
    assert labels == [
        "U-Net, tu-tf_efficientnet_lite0, lr 0.00123",
        "FPN, resnet50, lr 0.001",
        "U-Net, resnet50, lr 0.001",
    ]


def test_the_seed_of_the_split_is_not_called_the_seed_nor_a_share_of_negatives_the_part(store: Store) -> None:
    runs = [
        store.score(0.9, params={"data.split.seed": "3", "data.negatives.val": "all"}),
        store.score(0.8, params={"data.split.seed": "4", "data.negatives.val": "none"}),
    ]
    labels = {row.label.text for row in compare(store.client, runs).rows}
    assert labels == {
        f"U-Net, data.negatives.val {part}, data.split.seed {seed}" for part, seed in (("all", 3), ("none", 4))
    }


def test_a_setting_that_is_filled_in_from_another_is_not_named_beside_it(store: Store) -> None:
    runs = [
        store.score(0.9, params={"optimizer.lr": "0.002", "scheduler.max_lr": "0.002"}),
        store.score(0.8, params={"optimizer.lr": "0.005", "scheduler.max_lr": "0.005"}),
    ]
    labels = [row.label.text for row in compare(store.client, runs).rows]
    assert labels == ["U-Net, lr 0.002", "U-Net, lr 0.005"]


def test_what_the_architecture_settles_and_where_a_run_was_stored_is_no_setting(comparison: Comparison) -> None:
    labels = label_runs([row.run for row in comparison.rows])
    assert [dict(label.settings) for label in labels] == [{}] * len(ORDER)


def test_repeats_of_one_run_are_told_apart(store: Store) -> None:
    runs = [store.score(0.8, tags={"landslide.trial": "7"}), store.score(0.7)]
    assert [row.label.text for row in compare(store.client, runs).rows] == ["U-Net #7", f"U-Net {runs[1][:8]}"]


def test_many_settings_have_a_column_of_their_own(store: Store) -> None:
    # Given
    params = {"optimizer.lr": "0.01", "loss.name": "bce", "data.batch_size": "4", "encoder.name": "resnet18"}
    runs = [
        store.score(0.8, tags={"landslide.trial": "0"}),
        store.score(0.9, params=params, tags={"landslide.trial": "1"}),
    ]
    # When
    compared = compare(store.client, runs)
    # Then
    assert [row.label.text for row in compared.rows] == ["U-Net #1", "U-Net #0"]
    assert "| Settings |" in compared.markdown()
    assert "| resnet18, lr 0.01, batch\\_size 4, bce |" in compared.markdown()
    assert next(csv.DictReader(io.StringIO(compared.csv())))["optimizer.lr"] == "0.01"
