"""The best setting of a search as a file for ``conf/experiment/``, which trains it again without the sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from landslide.report.runs import Objective
from landslide.report.summary import metric_name
from landslide.report.sweep_trials import Stratum

Compose = Callable[[list[str]], DictConfig]
"""From overrides to a whole config, with ``hydra.runtime.choices``."""

_NOT_OF_A_RECIPE = {"hydra", "seed", "ckpt_path", "sweep", "tracking"}


def overlay(stratum: Stratum, sweep: str, objective: Objective, compose: Compose) -> str:
    """The text of the file: every choice of a group, and the values by which the best trial differs from these files.

    So it needs neither the study file nor the experiment that the sweep was started with.

    Args:
        stratum: with a finished trial.
        sweep: its name.
        objective: of the sweep.
        compose: over the configuration that the sweep ran with.
    """
    assert stratum.best
    tuned = stratum.best.params
    composed = compose([*stratum.settings["overrides"], *(override(key, value) for key, value in tuned.items())])
    groups = _groups(composed)
    plain = _leaves(compose([f"{group}={choice}" for group, choice in groups.items()]))
    found = _leaves(composed)
    values = {key: value for key, value in found.items() if key in tuned or key not in plain or plain[key] != value}
    gone = [f"~{key}" for key in plain if key not in found]
    content = OmegaConf.create({"defaults": [{f"override /{group}": choice} for group, choice in groups.items()]})
    for key, value in values.items():
        OmegaConf.update(content, key, value, force_add=True)
    return (
        f"# @package _global_\n{_comment(stratum, sweep, objective, composed.seed, gone)}{OmegaConf.to_yaml(content)}"
    )


def override(key: str, value: Any) -> str:
    """A parameter's value as an override that Hydra reads back as the same value.

    Lists and dicts are already text in Hydra's grammar, because Optuna stores no others.

    Examples:
        >>> override("optimizer.lr", 1e-05), override("encoder.weights", None), override("data.bands", "[red,nir]")
        ('optimizer.lr=1e-05', 'encoder.weights=null', 'data.bands=[red,nir]')
        >>> override("arch", "unet")
        "arch='unet'"
    """
    if isinstance(value, str) and not value.startswith(("[", "{")):
        return f"{key}={QuotedString(value, Quote.single).with_quotes()}"
    return f"{key}={'null' if value is None else str(value).lower() if isinstance(value, bool) else value}"


def file_name(stratum: Stratum) -> str:
    """Of the overlay, without the ending: how an experiment is called."""
    return f"best_{stratum.name}"


def _groups(composed: DictConfig) -> dict[str, str]:
    """The option of each node that has options; an experiment and a study have no node, and are in the values."""
    choices: Mapping[str, Any] = composed.hydra.runtime.choices
    keys = [str(key) for key in composed if key not in _NOT_OF_A_RECIPE]
    return {key: choices[key] for key in keys if choices.get(key) is not None}


def _leaves(composed: DictConfig) -> dict[str, Any]:
    """Values by dotted name, interpolations as they stand; lists whole."""

    def walk(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                yield from walk(f"{prefix}.{key}", value)
        elif node != "???":
            yield prefix, node

    keys = [str(key) for key in composed if key not in _NOT_OF_A_RECIPE]
    recipe = OmegaConf.to_container(OmegaConf.masked_copy(composed, keys))
    assert isinstance(recipe, dict)
    return dict(pair for key, node in recipe.items() for pair in walk(str(key), node))


def _comment(stratum: Stratum, sweep: str, objective: Objective, seed: int, gone: Sequence[str]) -> str:
    assert stratum.best
    trial = stratum.best
    name, metric = file_name(stratum), metric_name(objective.metric)
    epoch = f" at epoch {trial.epoch}" if trial.epoch else ""
    best = f"trial {trial.number}, seed {seed}, {metric} {trial.values[0]:.4f}{epoch}"
    if stratum.seeded:
        best = f"mean {metric} over {len(stratum.scores(trial))} seeds {stratum.score(trial):.4f}"
    lines = [
        f"The best of {len(stratum.trials)} trials of {stratum.name} in the sweep {sweep}: {best},",
        "selected on the validation tiles that it was measured on.",
        *_repeats(stratum),
        "Copy this file to conf/experiment/, then:",
        "  " + " ".join([f"python train.py experiment={name}", *gone]),
    ]
    return "".join(f"# {' '.join(line.split()) if line[0] != ' ' else line}\n" for line in lines)


def _repeats(stratum: Stratum) -> list[str]:
    values = stratum.repeated
    if not values:
        return []
    seeds = ", ".join(str(trial.params.get("seed", "?")) for trial in stratum.repeats if trial.finished)
    spread = f" (standard deviation {stdev(values):.4f})" if len(values) > 1 else ""
    return [f"Trained anew with seeds {seeds}: mean {mean(values):.4f}{spread}."]
