"""Short, unique names for runs that stand side by side: the architecture, and the settings that they do not share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from landslide.report.runs import Run

ARCHITECTURES = {
    "unet": "U-Net",
    "linknet": "LinkNet",
    "pspnet": "PSPNet",
    "fpn": "FPN",
    "unetplusplus": "U-Net++",
    "manet": "MA-Net",
    "deeplabv3": "DeepLabV3",
    "deeplabv3plus": "DeepLabV3+",
    "pan": "PAN",
    "upernet": "UPerNet",
    "segformer": "SegFormer",
    "dpt": "DPT",
}
_NOT_SETTINGS = ("arch.name", "ckpt_path", "tracking.")
_FIRST, _LAST = ("encoder.name", "encoder.weights", "optimizer.lr"), "seed"
_MOST_IN_LABEL = 3


@dataclass(frozen=True)
class Label:
    """What a run is called in tables and figures."""

    text: str
    model: str
    """The same without the seed: repeats of one model share it."""
    settings: Mapping[str, str]
    """By param: what this run does not share with all others."""
    described: str
    """The settings in words where the text leaves them out because they are many; else empty."""


def label_runs(runs: Sequence[Run]) -> list[Label]:
    """One label a run, in the order given; no two texts are equal."""
    keys = _settings(runs)
    drafts = [_label(run, keys) for run in runs]
    common = Counter(draft.text for draft in drafts)
    return [
        replace(draft, text=f"{draft.text} {_number(run)}") if common[draft.text] > 1 else draft
        for run, draft in zip(runs, drafts, strict=True)
    ]


def _settings(runs: Sequence[Run]) -> dict[str, str]:
    """Params that differ, most telling first, and the short name of each."""
    known = [run for run in runs if run.params]
    keys = sorted({key for run in known for key in run.params if not key.startswith(_NOT_SETTINGS)}, key=_rank)
    differing = [key for key in keys if len({run.params.get(key) for run in known}) > 1 and not _follows(key, known)]
    columns: dict[tuple[str | None, ...], str] = {}
    for key in differing:  # one that is filled in from another, as `scheduler.max_lr` from `optimizer.lr`, says nothing
        columns.setdefault(tuple(run.params.get(key) for run in known), key)
    return short_names(list(columns.values()))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted key, or all of it where two would be called the same.

    Examples:
        >>> short_names(["optimizer.lr", "arch.name"])
        {'optimizer.lr': 'lr', 'arch.name': 'arch'}
    """
    last_parts = Counter(_last_part(key) for key in keys)
    return {key: _last_part(key) if last_parts[_last_part(key)] == 1 else key for key in keys}


def _rank(key: str) -> tuple[int, str]:
    if key in _FIRST:
        return _FIRST.index(key), key
    return (len(_FIRST) + 1 if key == _LAST else len(_FIRST)), key


def _follows(key: str, runs: Sequence[Run]) -> bool:
    """Whether the name of its group settles a param, as ``arch.name`` settles ``arch.decoder_channels``."""
    name = key.partition(".")[0] + ".name"
    pairs = {(run.params.get(name), run.params.get(key)) for run in runs}
    names = {run.params.get(name) for run in runs}
    return key != name and len(names) > 1 and len(pairs) == len(names)


def _last_part(key: str) -> str:
    group, _, part = key.rpartition(".")
    return group if part == "name" else part


def _label(run: Run, keys: Mapping[str, str]) -> Label:
    settings = {key: run.params[key] for key in keys if key in run.params}
    name = run.params.get("arch.name") or run.name or "run"
    model = ARCHITECTURES.get(name, name)
    words = {key: _words(key, keys[key], value) for key, value in settings.items()}
    if len(keys) > _MOST_IN_LABEL:
        return Label(model, model, settings, ", ".join(words.values()))
    but_seed = [text for key, text in words.items() if key != _LAST]
    return Label(", ".join([model, *words.values()]), ", ".join([model, *but_seed]), settings, "")


def _words(key: str, short: str, value: str) -> str:
    """``optimizer.lr`` of 0.00123456 is ``lr 0.00123``; a name stands alone; whole numbers and words stay."""
    with suppress(ValueError):
        value = value if value.lstrip("-").isdigit() else f"{float(value):.3g}"
    return value if key.endswith(".name") else f"{short} {value}"


def _number(run: Run) -> str:
    trial = run.tags.get("landslide.trial")
    return f"#{trial}" if trial else run.id[:8]
