"""Which runs are read, and what becomes of those that are not whole."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from landslide.config import without_credentials
from landslide.errors import ComparisonError, TrackingError
from landslide.report import Comparison, compare
from tests.report.conftest import Store


def test_a_multirun_stands_for_its_children(store: Store, comparison: Comparison) -> None:
    assert {row.run.id for row in comparison.rows} == set(store.children.values())


def test_a_run_that_is_named_twice_counts_once(store: Store) -> None:
    compared = compare(store.client, [store.children["fpn"], store.parent, store.children["fpn"]])
    assert len(compared.rows) == len(store.children)


@pytest.mark.parametrize("run_id", ["0" * 32, "no/such'run"])
def test_an_unknown_run_is_refused_with_the_cure(store: Store, run_id: str) -> None:
    with pytest.raises(TrackingError, match="landslide ui") as error:
        compare(store.client, [run_id])
    assert run_id in str(error.value)


def test_nothing_to_compare_is_refused(store: Store) -> None:
    with pytest.raises(ComparisonError, match="at least one run id"):
        compare(store.client, [])


def test_a_multirun_without_runs_is_refused(store: Store) -> None:
    parent = store.log(tags={"landslide.kind": "multirun"})
    with pytest.raises(ComparisonError, match="has no runs yet"):
        compare(store.client, [parent])


def test_a_run_of_something_else_is_refused(store: Store) -> None:
    run_id = store.client.create_run(store.experiment).info.run_id
    with pytest.raises(ComparisonError, match=r"objective\.metric"):
        compare(store.client, [run_id])


def test_runs_without_files_are_compared_by_their_numbers(store: Store) -> None:
    # Given
    runs = [store.score(0.8), store.score(0.9, params={"seed": "1"})]
    # When
    compared = compare(store.client, runs)
    # Then
    assert [row.numbers["f1"] for row in compared.rows] == [0.9, 0.8]
    assert [picture.name for picture in compared.pictures] == ["loss_curves", "f1_against_time"]


def test_a_broken_file_is_left_out_and_told(store: Store, tmp_path: Path) -> None:
    # Given: a panel that was cut off while it was written
    whole = Path(store.client.download_artifacts(store.children["unet"], "validation/panel.npz", str(tmp_path)))
    cut = tmp_path / "panel.npz"
    cut.write_bytes(whole.read_bytes()[:200])
    run_id = store.score(0.8)
    store.client.log_artifact(run_id, str(cut), "validation")
    # When
    compared = compare(store.client, [run_id])
    # Then
    assert "tiles" not in [picture.name for picture in compared.pictures]
    assert "U-Net: validation/panel.npz cannot be read and is left out." in compared.notes


def test_a_file_of_another_kind_is_left_out_and_told(store: Store) -> None:
    run_id = store.score(0.8)
    store.client.log_text(run_id, "[1, 2]", "split.json")
    assert "U-Net: split.json cannot be read and is left out." in compare(store.client, [run_id]).notes


def test_when_nothing_has_finished_there_is_a_table_and_no_figure(store: Store, tmp_path: Path) -> None:
    compared = compare(store.client, [store.children["manet"]])
    assert compared.sentence == "No run has finished yet. Not finished: 1 failed."
    assert {path.name for path in compared.write(tmp_path)} == {
        *(f"comparison.{end}" for end in ("html", "md", "csv", "tex")),
        "strata.csv",
        "differences.csv",
    }


def test_the_later_of_two_points_of_an_epoch_counts(store: Store) -> None:
    # Given: a resumed run that logged its best epoch again
    objective = {"objective.metric": "val/loss", "objective.direction": "minimize"}
    run_id = store.log(params=objective, metrics={"best/epoch": 1})
    for loss, timestamp in ((0.8, 1), (0.7, 2**42)):
        store.client.log_metric(run_id, "val/loss", loss, step=1, timestamp=timestamp)
    # When
    (row,) = compare(store.client, [run_id]).rows
    # Then
    assert row.score == 0.7


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:secret@host:5000/mlflow", "http://host:5000/mlflow"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
    ],
)
def test_no_password_is_shown(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown


def test_the_store_is_only_read(store: Store) -> None:
    before = _written(store.client, store.parent)
    compare(store.client, [store.parent]).html()
    assert _written(store.client, store.parent) == before


def _written(client: MlflowClient, run_id: str) -> tuple[object, ...]:
    run = client.get_run(run_id)
    return run.to_dictionary(), [item.path for item in client.list_artifacts(run_id)]


def test_runs_are_found_by_the_beginning_of_an_id_by_name_and_by_a_filter(store: Store) -> None:
    first, second, third = (store.score(0.8, name=f"only-{name}", tags={"landslide.kind": "run"}) for name in "abc")
    compared = compare(store.client, [first[:12], "only-b"], where="attributes.run_name = 'only-c'")
    assert {row.run.id for row in compared.rows} == {first, second, third}


def test_a_filter_that_cannot_be_read_or_finds_nothing_is_refused(store: Store) -> None:
    with pytest.raises(ComparisonError, match="MLflow cannot read it"):
        compare(store.client, [], where="f1 is good")
    with pytest.raises(ComparisonError, match="finds no run"):
        compare(store.client, [], where="params.seed = 'none'")
    with pytest.raises(ComparisonError, match="no training of landslide is among them"):
        compare(store.client, [], where="tags.`landslide.kind` = 'multirun'")


def a_sweep(store: Store, name: str, sampler: str = "grid") -> str:
    tags = {"landslide.kind": "multirun", "landslide.sweep": name, "landslide.sampler": sampler}
    run_id: str = store.client.create_run(store.experiment, run_name=name, tags=tags).info.run_id
    return run_id


def child(parent: str, number: int, kind: str = "run", stratum: str = "unet") -> dict[str, str]:
    place = {"mlflow.parentRunId": parent, "landslide.trial": str(number)}
    return {**place, "landslide.kind": kind, "landslide.stratum": stratum}


def test_of_a_sweep_its_repeats_are_compared(store: Store) -> None:
    parent = a_sweep(store, "with repeats", "tpe")
    store.score(0.99, tags=child(parent, 0), params={"optimizer.lr": "0.5"})
    repeats = [store.score(0.8, tags=child(parent, seed, "repeat"), params={"seed": f"{seed}"}) for seed in (1, 2, 3)]
    compared = compare(store.client, ["with repeats"])
    assert {row.run.id for row in compared.rows} == set(repeats)
    (note,) = [note for note in compared.notes if "the repeats of each tuned setting" in note]
    assert note.endswith("the seeds of the repeats were not.")


@pytest.mark.parametrize(
    ("ran", "repeated", "told"),
    [
        ("0", "01", "so was seed 0, with which the search ran"),
        ("012", "1234", "so were seeds 1, 2, with which the search ran"),
        ("012", "34", "on these tiles; the seeds of the repeats were not."),
    ],
)
def test_a_seed_of_the_repeats_with_which_the_search_ran_is_told(
    store: Store, ran: str, repeated: str, told: str
) -> None:
    parent = a_sweep(store, f"with seeds {repeated}", "tpe" if ran == "0" else "grid")
    for number, (lr, seed) in enumerate(product(("0.001", "0.1"), ran)):
        store.score(0.9 - number / 10, tags=child(parent, number), params={"seed": seed, "optimizer.lr": lr})
    for seed in repeated:
        params = {"seed": seed, "optimizer.lr": "0.001"}
        store.score(0.8, tags=child(parent, int(seed), "repeat"), params=params)
    # When
    compared = compare(store.client, [parent])
    # Then
    assert any(told in note for note in compared.notes)


@pytest.mark.parametrize("tagged", [True, False])
def test_of_a_search_that_went_on_the_repeats_of_the_present_best_setting_stand_alone(
    store: Store, *, tagged: bool
) -> None:
    # Given: repeats of trial 0, then a better trial 1 and its repeats; those of older sweeps do not say of which
    parent = a_sweep(store, f"went on {tagged}", "tpe")
    repeats: dict[str, set[str]] = {}
    for number, (lr, f1) in enumerate((("0.001", 0.7), ("0.01", 0.9))):
        store.score(f1, tags=child(parent, number), params={"optimizer.lr": lr})
        for seed in (1, 2):
            tags = child(parent, seed - 1, "repeat") | ({"landslide.repeat_of": str(number)} if tagged else {})
            run_id = store.score(f1 - 0.05, tags=tags, params={"optimizer.lr": lr, "seed": str(seed)})
            repeats.setdefault(lr, set()).add(run_id)
    # When
    compared = compare(store.client, [parent])
    # Then
    assert {row.run.id for row in compared.rows} == repeats["0.01"]
    assert any("Left out, as repeats of settings that were beaten since: 2." in note for note in compared.notes)


def test_where_the_present_best_setting_has_no_repeats_it_stands_itself_and_is_said_to_be_selected(
    store: Store,
) -> None:
    # Given: of U-Net the repeats are of a trial that was beaten since; FPN's are of its best one
    parent = a_sweep(store, "not repeated yet", "tpe")
    better = {}
    for arch in ("unet", "fpn"):
        for number, lr in enumerate(("0.001", "0.01")):
            params = {"arch.name": arch, "optimizer.lr": lr}
            better[arch] = store.score(0.7 + 0.1 * number, tags=child(parent, number, stratum=arch), params=params)
    again = {
        arch: store.score(
            0.6,
            tags=child(parent, 0, "repeat", stratum=arch) | {"landslide.repeat_of": number},
            params={"arch.name": arch, "optimizer.lr": lr, "seed": "1"},
        )
        for arch, number, lr in (("unet", "0", "0.001"), ("fpn", "1", "0.01"))
    }
    # When
    compared = compare(store.client, [parent])
    # Then
    assert {row.run.id for row in compared.rows} == {better["unet"], again["fpn"]}
    (note,) = compared.selection.notes
    assert "Left out, as repeats of settings that were beaten since: 1." in note
    assert "Of unet stands the best setting as it was selected" in note


def test_repeats_of_a_search_whose_scores_are_not_stored_stand(store: Store) -> None:
    # Given: two settings that were tried, as by a task that stores no best epoch, and a repeat
    parent = a_sweep(store, "without scores", "tpe")
    for number in range(2):
        store.log(tags=child(parent, number), params={"optimizer.lr": f"0.{number}"})
    run_id = store.log(
        tags=child(parent, 0, "repeat") | {"landslide.repeat_of": "1"}, params={"optimizer.lr": "0.1", "seed": "1"}
    )
    # When
    compared = compare(store.client, [parent])
    # Then
    assert [row.run.id for row in compared.rows] == [run_id]


def test_repeats_of_a_trial_that_is_no_longer_stored_stand(store: Store) -> None:
    parent = a_sweep(store, "tidied", "tpe")
    store.score(0.7, tags=child(parent, 0), params={"optimizer.lr": "0.5"})
    tags = child(parent, 0, "repeat") | {"landslide.repeat_of": "7"}
    run_id = store.score(0.9, tags=tags, params={"seed": "1"})
    assert [row.run.id for row in compare(store.client, [parent]).rows] == [run_id]


def tried_and_repeated(store: Store, name: str, budget: str) -> tuple[str, list[str]]:
    """A trial, and the repeats of its setting; the budget is of the search."""
    parent = a_sweep(store, name, "tpe")
    store.client.set_tag(parent, "landslide.budget.unet", budget)
    tags = {"landslide.sweep": name}
    trial = store.score(0.9, tags=child(parent, 3) | tags)
    repeats = [
        store.score(0.8, tags=child(parent, seed - 1, "repeat") | tags, params={"seed": str(seed)}) for seed in (1, 2)
    ]
    return trial, repeats


@pytest.mark.parametrize("by_name", [False, True])
def test_a_trial_whose_setting_was_chosen_is_no_seed_among_its_repeats(store: Store, *, by_name: bool) -> None:
    # Given
    name = f"chosen {by_name}"
    trial, repeats = tried_and_repeated(store, name, "20 settings")
    # When
    if by_name:
        compared = compare(store.client, [trial, *repeats])
    else:
        compared = compare(store.client, [], where=f"tags.`landslide.sweep` = '{name}'")
    # Then
    assert {row.run.id for row in compared.rows} == set(repeats)
    (note,) = compared.selection.notes
    assert note.startswith(f"Left out: trial 3 of unet in sweep '{name}'.")
    assert "chosen by its number on these tiles, which flatters" in note


def test_a_chosen_trial_without_its_repeats_and_the_first_seed_of_a_reproduction_stand(store: Store) -> None:
    # Given
    chosen, _ = tried_and_repeated(store, "chosen alone", "20 settings")
    first, repeats = tried_and_repeated(store, "reproduced", "1 setting")
    # When
    alone = compare(store.client, [chosen])
    reproduced = compare(store.client, [], where="tags.`landslide.sweep` = 'reproduced'")
    # Then
    assert [row.run.id for row in alone.rows] == [chosen]
    assert {row.run.id for row in reproduced.rows} == {first, *repeats}
    assert len(reproduced.strata) == 1
    assert not any(note.startswith("Left out") for note in (*alone.notes, *reproduced.notes))


def test_where_a_search_had_one_setting_its_run_is_a_seed_like_its_repeats(store: Store) -> None:
    # Given: two architectures, as a reproduction trains them; seed 1 of one of them was trained twice
    parent = a_sweep(store, "a reproduction", "tpe")
    first = {}
    for arch in ("unet", "fpn"):
        place = child(parent, 0, stratum=arch)
        first[arch] = store.score(0.8, tags=place, params={"arch.name": arch, "seed": "0"})
        for seed in (0, 1):
            again = {"landslide.kind": "repeat", "landslide.trial": str(seed)}
            store.score(0.7, tags=place | again, params={"arch.name": arch, "seed": str(seed)})
    # When
    compared = compare(store.client, [parent])
    # Then
    assert [[row.seed for row in stratum.rows] for stratum in compared.strata] == [["0", "1"], ["0", "1"]]
    assert set(first.values()) < {row.run.id for row in compared.rows}
    assert not any("selected on these tiles" in note for note in compared.notes)


def test_of_a_search_the_best_setting_of_each_stratum_is_compared_and_said_to_be_selected(store: Store) -> None:
    # Given
    parent = a_sweep(store, "a search", "tpe")
    best = {}
    for arch in ("unet", "fpn"):
        for number, f1 in enumerate((0.7, 0.9, 0.8)):
            params = {"arch.name": arch, "optimizer.lr": f"{number}e-3"}
            run_id = store.score(f1, tags=child(parent, number, stratum=arch), params=params)
            best[arch] = run_id if f1 == 0.9 else best.get(arch, "")
    pruned = child(parent, 9) | {"landslide.pruned": "after epoch 1"}
    store.score(0.95, tags=pruned, params={"optimizer.lr": "9e-3"})
    # When
    compared = compare(store.client, [parent])
    # Then
    assert {row.run.id for row in compared.rows} == set(best.values())
    assert any("selected on these tiles, so its numbers flatter" in note for note in compared.notes)


def test_of_a_large_grid_the_best_setting_is_compared_with_all_its_seeds(store: Store) -> None:
    # Given: 25 rates and two seeds; the single best run is of a rate that is bad with the other seed
    parent = a_sweep(store, "a large grid")
    for rate in range(25):
        for seed in range(2):
            f1 = {(7, 0): 0.8, (7, 1): 0.82, (3, 0): 0.9}.get((rate, seed), 0.5)
            params = {"optimizer.lr": f"{rate}", "seed": f"{seed}"}
            store.score(f1, tags=child(parent, 2 * rate + seed), params=params)
    # When
    (stratum,) = compare(store.client, [parent]).strata
    # Then
    assert [(row.run.params["optimizer.lr"], row.seed) for row in stratum.rows] == [("7", "0"), ("7", "1")]
