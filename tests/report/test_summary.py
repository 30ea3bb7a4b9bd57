"""The result in words: no more is said than the runs allow."""

from __future__ import annotations

from statistics import mean

import pytest

from landslide.report import Comparison, compare
from landslide.report.runs import AT
from tests.report.conftest import Store


def test_one_seed_each_is_called_chance(comparison: Comparison) -> None:
    f1 = {row.label.text: row.score for row in comparison.rows}
    first = f"{AT['best']}, U-Net has the highest F1, {f1['U-Net']:.4f}, after 10 min 12 s;"
    assert comparison.sentence.startswith(f"{first} FPN follows with {f1['FPN']:.4f}.")
    assert "may be chance" in comparison.sentence
    assert comparison.sentence.endswith("Not finished: 1 failed.")


def test_repeats_are_ranked_by_their_mean(store: Store) -> None:
    # Given
    scores = {"unet": (0.80, 0.84), "fpn": (0.81, 0.82)}
    runs = [
        store.score(score, params={"arch.name": arch, "seed": str(seed)})
        for arch, values in scores.items()
        for seed, score in enumerate(values)
    ]
    # When
    said = compare(store.client, runs).sentence
    # Then: no counts were stored, so there is no test
    start = f"{AT['best']}, U-Net has the highest mean F1, {mean(scores['unet']):.4f}, after 1 min 0 s;"
    assert said.startswith(f"{start} FPN follows with 0.8150.")
    assert said.endswith("A test needs two strata whose runs stored what they validated; there is none.")


def test_a_single_run_is_the_best_of_nothing(store: Store) -> None:
    assert compare(store.client, [store.score(0.8)]).sentence == (
        f"{AT['best']}, U-Net reached F1 0.8000, after 1 min 0 s; no other finished run stands beside it."
    )


def test_equal_conditions_need_no_warning(store: Store) -> None:
    assert compare(store.client, [store.score(0.8), store.score(0.9)]).unfair == []


def test_on_a_gpu_it_is_said_for_whom_the_same_seed_means_less(store: Store) -> None:
    runs = [
        store.score(
            0.9, params={"arch.name": arch, "trainer.deterministic": value}, tags={"landslide.device": "NVIDIA"}
        )
        for arch, value in (("unet", "True"), ("fpn", "False"), ("pspnet", "False"))
    ]
    (note,) = compare(store.client, runs).unfair
    assert "the same seed does not give the same numbers again: " in note
    assert "U-Net" not in note
    told, without_remedy, _ = note.partition(" PSPNet cannot be trained with it: ")
    assert "FPN" in told
    assert without_remedy


@pytest.mark.parametrize("name", ["device", "precision", "data_digest", "split_digest", "commit"])
def test_an_unequal_condition_is_told(store: Store, name: str) -> None:
    # Given
    runs = [store.score(0.9, tags={f"landslide.{name}": "one"}), store.score(0.8, params={"arch.name": "fpn"})]
    # When
    (note,) = (note for note in compare(store.client, runs).unfair if note.startswith("The runs differ"))
    # Then
    assert note.startswith(f"The runs differ in {name.partition('_')[0]}: ")
    assert note.endswith("one (U-Net); unknown (FPN).")


def test_unequal_lengths_are_told(store: Store) -> None:
    runs = [store.score(0.9), store.score(0.8, params={"trainer.max_epochs": "9"})]
    (note,) = compare(store.client, runs).unfair
    assert note.startswith("The runs differ in number of epochs")


def test_unequal_budgets_of_sweeps_are_told(store: Store) -> None:
    # Given: runs of two sweeps that tried 20 and 5 settings, and one by itself
    runs = [store.score(0.8, params={"arch.name": "fpn"})]
    for arch, budget in (("unet", "20 settings"), ("pan", "5 settings")):
        tags = {"landslide.kind": "multirun", f"landslide.budget.{arch}": budget}
        sweep = store.client.create_run(store.experiment, run_name=budget, tags=tags).info.run_id
        place = {"mlflow.parentRunId": sweep, "landslide.stratum": arch}
        runs.append(store.score(0.9, params={"arch.name": arch}, tags=place))
    # When
    (note,) = compare(store.client, runs).unfair
    # Then
    assert note.startswith("The runs differ in sweep budget: the best of more is better by chance alone.")
    assert all(told in note for told in ("20 settings (U-Net)", "5 settings (PAN)", "1 setting (FPN)"))


def test_uncommitted_changes_are_told(store: Store) -> None:
    (note,) = compare(store.client, [store.score(0.9, tags={"landslide.dirty": "True"})]).unfair
    assert note == "Trained with uncommitted changes, so the commit does not say all: U-Net."
