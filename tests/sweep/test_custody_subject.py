"""Which runs of a sweep are scored on its test part, from studies without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from landslide.errors import CustodyError, SweepError
from landslide.sweep.custody import Subject, find_subject
from landslide.sweep.storage import open_storage
from landslide.sweep.study import Point, StratumStudy
from landslide.tracking.run import create_run
from landslide.tracking.store import Store, open_store

AXES = {"optimizer.lr": FloatDistribution(1e-4, 1.0), "seed": IntDistribution(0, 9)}


class Begun:
    """A sweep ``lr`` of U-Net, as it stands in both databases."""

    def __init__(self, folder: Path, **facts: Any) -> None:
        self.store: Store = open_store(f"sqlite:///{folder}/mlflow.db")
        self.url = f"sqlite:///{folder}/sweeps.db"
        tags = {"landslide.kind": "multirun", "landslide.sweep": "lr", "landslide.sweep_state": "finished"}
        self.parent = create_run(self.store, "test", "lr", tags)
        self.store.client.set_terminated(self.parent)
        self.facts = {"sweep": "lr", "parent_id": self.parent, "stratum": "unet", **facts}

    def study(
        self,
        name: str,
        points: Sequence[dict[str, Any]],
        values: Sequence[float | None],
        *,
        split: str = "one",
        **facts: Any,
    ) -> None:
        """Trials with these values; without one a trial is pruned."""
        study = StratumStudy(
            open_storage(self.url),
            f"lr/unet{name}",
            directions=["maximize"],
            planned=[Point("grid", point, {key: AXES[key] for key in point}) for point in points],
            sampler=None,
            suggest=lambda _: {},
            pruner=NopPruner(),
            seed=0,
            facts={"kind": "search", **self.facts, **facts},
            patiently=lambda write: write(),
        )
        for value in values:
            record = study.ask()
            run_id = create_run(self.store, "test", f"unet{name} {record.number}", {"landslide.split_digest": split})
            study.launched(record, {"run_id": run_id, "attempts": 1, "mark": None})
            state = TrialState.PRUNED if value is None else TrialState.COMPLETE
            study.tell(record, state, None if value is None else [value], {}, {})

    def subject(self) -> Subject:
        return find_subject(self.store, self.url, "lr")

    def names(self) -> list[str]:
        return [str(run.info.run_name) for run in self.subject().runs]


@pytest.fixture
def begun(tmp_path: Path) -> Begun:
    return Begun(tmp_path)


def rates(*values: float) -> list[dict[str, Any]]:
    return [{"optimizer.lr": value} for value in values]


def test_the_repeats_of_the_best_trial_are_scored_and_not_the_trial_itself(begun: Begun) -> None:
    begun.study("", rates(0.1, 0.2), [0.5, 0.6])
    begun.study("/repeats-of-1", [{"seed": 1}, {"seed": 2}, {"seed": 3}], [0.4, None, 0.7], kind="repeats", of_trial=1)
    assert begun.names() == ["unet/repeats-of-1 0", "unet/repeats-of-1 2"]
    (note,) = begun.subject().notes
    assert note == "U-Net: the setting of trial 1, best by validation; its repeats, 2 of 3 finished."


def test_repeats_of_an_earlier_best_trial_are_not_scored(begun: Begun) -> None:
    begun.study("", rates(0.1, 0.2), [0.5, 0.6])
    begun.study("/repeats-of-0", [{"seed": 1}], [0.9], kind="repeats", of_trial=0)
    assert begun.names() == ["unet 1"]
    assert "trained once, as it was chosen" in begun.subject().notes[0]


def test_all_seeds_of_the_best_setting_of_a_grid_are_scored(begun: Begun) -> None:
    points = [{"optimizer.lr": rate, "seed": seed} for rate in (0.1, 0.2) for seed in (0, 1)]
    begun.study("", points, [0.5, 0.55, 0.3, 0.6])  # the single best one is of the other rate
    assert begun.names() == ["unet 0", "unet 1"]
    assert begun.subject().notes == [
        "U-Net: the setting of trial 1, the best mean over seeds by validation; its seeds, 2 of 2 finished."
    ]


def test_a_seed_that_did_not_finish_is_told(begun: Begun) -> None:
    begun.study("", [{"optimizer.lr": 0.1, "seed": seed} for seed in range(3)], [0.5, None, 0.6])
    assert begun.names() == ["unet 0", "unet 2"]
    assert "its seeds, 2 of 3 finished" in begun.subject().notes[0]


def test_repeats_of_another_split_are_refused_since_their_test_tiles_have_chosen_the_setting(begun: Begun) -> None:
    begun.study("", rates(0.1), [0.5])
    begun.study("/repeats-of-0", [{"seed": 1}], [0.9], split="another", kind="repeats", of_trial=0)
    with pytest.raises(CustodyError, match=r"sweep 'lr', unet: its seeds were trained on different splits"):
        begun.subject()


def test_where_nothing_divides_a_sweep_its_network_is_named(tmp_path: Path) -> None:
    begun = Begun(tmp_path, stratum="all")
    begun.study("", rates(0.1), [0.5])
    (run,) = begun.subject().runs
    begun.store.client.log_param(run.info.run_id, "arch.name", "fpn")
    assert list(begun.subject().strata) == ["FPN"]


def test_repeats_of_the_only_setting_are_scored_though_its_own_training_failed(begun: Begun) -> None:
    begun.study("", rates(0.1), [None])
    begun.study("/repeats-of-0", [{"seed": 1}, {"seed": 2}], [0.4, 0.7], kind="repeats", of_trial=0)
    assert begun.names() == ["unet/repeats-of-0 0", "unet/repeats-of-0 1"]
    assert begun.subject().notes == ["U-Net: the setting of trial 0, the only one; its repeats, 2 of 2 finished."]


def test_of_a_stratum_whose_only_setting_and_its_repeats_failed_nothing_is_scored(begun: Begun) -> None:
    begun.study("", rates(0.1), [None])
    begun.study("/repeats-of-0", [{"seed": 1}], [None], kind="repeats", of_trial=0)
    with pytest.raises(CustodyError, match="sweep 'lr': no trial has finished"):
        begun.subject()


def test_a_sweep_in_which_nothing_has_finished_is_told(begun: Begun) -> None:
    begun.study("", rates(0.1), [None])
    with pytest.raises(CustodyError, match="sweep 'lr': no trial has finished"):
        begun.subject()


def test_a_pareto_front_has_no_best_setting(tmp_path: Path) -> None:
    begun = Begun(tmp_path, against=["time/fit_s"])
    begun.study("", rates(0.1), [0.5])
    with pytest.raises(SweepError, match=r"searched for a Pareto front.*landslide test RUN --again"):
        begun.subject()
