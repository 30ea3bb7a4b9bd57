"""The job's side of a sweep: an epoch is reported, and the pruner's answer comes back. Without torch."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage

from landslide.config import without_credentials
from landslide.errors import SweepError
from landslide.sweep.storage import DATABASE_ERRORS, STORAGE, attach_storage, resolve_url

PERCENTILE = 25.0
"""Of the finished trials at that epoch, the best so many go on."""

ANSWER = "answer"
"""Attribute of a trial: the last epoch of which the pruner notes anything, whether to end there, and the notes."""


def make_pruner(name: str, max_epochs: int) -> BasePruner:
    """Optuna's pruner of this name, with Optuna's own defaults.

    Args:
        name: as in ``sweep.pruner``.
        max_epochs: of a trial; Hyperband divides it into brackets, and patience is a fifth of it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "median":
                return MedianPruner()
            case "percentile":
                return PercentilePruner(PERCENTILE)
            case "successive_halving":
                return SuccessiveHalvingPruner()
            case "hyperband":
                return HyperbandPruner(max_resource=max_epochs)
            case "patient":
                return PatientPruner(MedianPruner(), patience=max(1, max_epochs // 5))
            case _:
                return NopPruner()


class _KeptBack:
    """A storage that keeps back what a pruner would note at its trial."""

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage
        self.notes: dict[str, Any] = {}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Nothing is written yet."""
        self.notes[key] = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)


class TrialJudge:
    """Reports each epoch's objective to the study and asks its pruner.

    A database that does not answer ends no training: what could not be reported is reported with a later epoch, and
    until then nothing is pruned. The last epoch is reported alone: a pruner would compare its value, where a trial
    that is trained counts by its best epoch.

    Successive halving, and Hyperband with it, notes at the trial which rung it has reached, and asked again would go
    on with the next. So its answer and what it notes are remembered in one attribute first: a job that is killed
    anywhere in between, and asks again about the same epoch, is told the same.

    Args:
        storage: of the study.
        study: its name.
        trial_id: of the trial, in the storage.
        pruner: as in ``sweep.pruner``.
        max_epochs: of the trial.
    """

    def __init__(self, storage: str, study: str, trial_id: int, pruner: str, max_epochs: int) -> None:
        self._where = (storage, study, trial_id)
        self._pruner = pruner
        self._max_epochs = max_epochs
        self._unreported: dict[int, float] = {}
        self._trial: optuna.Trial | None = None

    def __call__(self, epoch: int, value: float) -> str | None:
        """After which epoch and by which rule the trial should end, or None.

        Args:
            epoch: 1 is the first; one that was reported before is not reported again, and of those only the last
                is judged: the trial has gone on after the others.
            value: the objective.

        Raises:
            SweepError: where the database is another one than the sweep's.
        """
        self._unreported[epoch] = value
        try:
            return self._ask(epoch)
        except DATABASE_ERRORS:
            self._trial = None
            return None

    def _ask(self, epoch: int) -> str | None:
        trial = self._trial = self._trial or self._attach()
        for step in sorted(self._unreported):
            if step not in trial._cached_frozen_trial.intermediate_values:
                trial.report(self._unreported[step], step)
            del self._unreported[step]
        if epoch == self._max_epochs or epoch != trial._cached_frozen_trial.last_step:
            return None
        return f"epoch {epoch}, {self._pruner}" if self._should_end(trial, epoch) else None

    def _should_end(self, trial: optuna.Trial, epoch: int) -> bool:
        storage: Any = trial.storage  # a _KeptBack
        answer = trial._cached_frozen_trial.user_attrs.get(ANSWER)
        if answer is None or answer["epoch"] != epoch:
            storage.notes = {}
            answer = {"epoch": epoch, "ends": trial.should_prune(), "notes": storage.notes}
            if answer["notes"]:
                storage.set_trial_user_attr(trial._trial_id, ANSWER, answer)
        for key, value in answer["notes"].items():
            storage.storage.set_trial_system_attr(trial._trial_id, key, value)
        return bool(answer["ends"])

    def _attach(self) -> optuna.Trial:
        url, name, trial_id = self._where
        storage: Any = _KeptBack(attach_storage(url))
        try:
            study = optuna.load_study(
                study_name=name,
                storage=storage,
                sampler=RandomSampler(),
                pruner=make_pruner(self._pruner, self._max_epochs),
            )
        except KeyError as error:
            raise SweepError(
                f"{without_credentials(url)}: does not know the study '{name}', to which this trial reports. The sweep "
                f"names its database in {STORAGE}: let the launcher hand its environment over to jobs."
            ) from error
        study.get_trials(deepcopy=False)  # a storage knows only trials that it has read
        return optuna.Trial(study, trial_id)


def judge_of(cfg: DictConfig) -> TrialJudge | None:
    """The judge of the trial that a job is; None for a run outside a sweep."""
    settings: Any = cfg.get("sweep")
    if settings is None or settings.trial is None:
        return None
    study, _, trial_id = str(settings.trial).rpartition(":")
    return TrialJudge(resolve_url(settings.storage), study, int(trial_id), settings.pruner, int(cfg.trainer.max_epochs))
