"""Short, unique names for runs and strata that stand side by side: the architecture, and the settings that differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
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
SEED = "seed"
_NOT_SETTINGS = ("ckpt_path", "tracking.", "data.root", "data.cache_dir", "trainer.threads")
"""Where a run lies and how it is run; what is in the data and on which device is a tag."""
_DIGESTS = {"landslide.data_digest": "data", "landslide.split_digest": "split"}
_ORIGIN = ("landslide.commit", "landslide.device", "landslide.precision", "mlflow.parentRunId")
"""Tags that runs share which were trained together."""
_SAYS_ELSE = (SEED, "train", "val", "test")
"""What alone would be read as the seed of a training, or as a part of the data."""
_FIRST = ("encoder.name", "encoder.weights", "optimizer.lr")
_MOST_IN_LABEL = 3


@dataclass(frozen=True)
class Label:
    """What a run is called in tables and figures."""

    text: str
    stratum: str
    """The same without the seed: runs that differ in their seed alone share it."""
    settings: Mapping[str, str]
    """By param: what this run does not share with all others."""
    described: str
    """The settings in words where the text leaves them out because they are many; else empty."""


def setting_key(run: Run) -> Hashable:
    """What runs of one stratum share: all settings but the seed, the data and the split."""
    if not run.params:  # it failed before it logged anything
        return run.id
    settings = {key: value for key, value in run.params.items() if _is_setting(key) and key != SEED}
    return frozenset(settings.items()), *(run.tags.get(tag) for tag in _DIGESTS)


def label_runs(runs: Sequence[Run]) -> list[Label]:
    """One label a run, in the order given; no two texts are equal.

    Where a seed of a setting was trained more than once, runs of one commit, device, precision and sweep stay together:
    such groups join, the fullest first, the first stratum that has none of their seeds, in whatever order runs arrive.
    """
    keys = _settings(runs)
    strata = _strata(runs)
    drafts = [_label(run, keys) for run in runs]
    by_age = sorted(zip(strata, drafts, runs, strict=True), key=lambda each: _age(each[2]), reverse=True)
    names = _unique({stratum: (draft.stratum, run) for stratum, draft, run in by_age})
    seeded = len({run.params.get(SEED) for run in runs if run.params}) > 1
    labels = []
    for run, draft, stratum in zip(runs, drafts, strata, strict=True):
        name = names[stratum]
        text = f"{name}, seed {run.params[SEED]}" if seeded and SEED in run.params else name
        labels.append(replace(draft, text=text, stratum=name))
    return labels


def _strata(runs: Sequence[Run]) -> list[Hashable]:
    """For each run what tells its stratum from others."""
    together: dict[Hashable, list[Run]] = defaultdict(list)
    seen: Counter[Hashable] = Counter()
    for run in sorted(runs, key=_age):
        origin = setting_key(run), *(run.tags.get(tag) for tag in _ORIGIN)
        seen[origin, _seed(run)] += 1
        together[origin, seen[origin, _seed(run)]].append(run)
    strata: dict[str, Hashable] = {}
    taken: dict[Hashable, list[set[str | None]]] = defaultdict(list)
    for group in sorted(together.values(), key=_fullest_first):
        key, seeds = setting_key(group[0]), {_seed(run) for run in group}
        at = next((at for at, there in enumerate(taken[key]) if not there & seeds), len(taken[key]))
        taken[key][at : at + 1] = [seeds.union(*taken[key][at : at + 1])]
        strata |= {run.id: (key, at) for run in group}
    return [strata[run.id] for run in runs]


def _age(run: Run) -> tuple[bool, int, str]:
    """Finished ones first, then the oldest."""
    return not run.finished, run.started, run.id


def _fullest_first(group: Sequence[Run]) -> tuple[int, tuple[bool, int, str]]:
    return -sum(run.finished for run in group), min(map(_age, group))


def _seed(run: Run) -> str | None:
    return run.params.get(SEED)


def _unique(named: Mapping[Hashable, tuple[str, Run]]) -> dict[Hashable, str]:
    """Names of strata, told apart where they would be the same: by their data, else by their first run."""
    same: dict[str, list[Run]] = defaultdict(list)
    for name, run in named.values():
        same[name].append(run)
    return {
        stratum: name if len(same[name]) == 1 else f"{name} {_difference(run, same[name])}"
        for stratum, (name, run) in named.items()
    }


def _difference(run: Run, among: Sequence[Run]) -> str:
    for tag, word in _DIGESTS.items():
        if len({other.tags.get(tag) for other in among}) == len(among):
            return f"({word} {run.tags.get(tag, 'unknown')[:8]})"
    trial = run.tags.get("landslide.trial")
    return (
        f"#{trial}"
        if trial and len({other.tags.get("landslide.trial") for other in among}) == len(among)
        else run.id[:8]
    )


def _settings(runs: Sequence[Run]) -> dict[str, str]:
    """Params that differ, most telling first, and the short name of each; architecture and seed are named anyway."""
    known = [run for run in runs if run.params]
    keys = sorted({key for run in known for key in run.params if _is_setting(key)} - {SEED, "arch.name"}, key=_rank)
    differing = [key for key in keys if len({run.params.get(key) for run in known}) > 1 and not _follows(key, known)]
    columns: dict[tuple[str | None, ...], str] = {}
    for key in differing:  # one that is filled in from another, as `scheduler.max_lr` from `optimizer.lr`, says nothing
        columns.setdefault(tuple(run.params.get(key) for run in known), key)
    return short_names(list(columns.values()))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted key, or all of it where two would be called the same, or one like something else.

    Examples:
        >>> short_names(["optimizer.lr", "arch.name", "data.split.seed"])
        {'optimizer.lr': 'lr', 'arch.name': 'arch', 'data.split.seed': 'data.split.seed'}
    """
    last_parts = Counter(_last_part(key) for key in keys)
    return {key: _last_part(key) if last_parts[_last_part(key)] == 1 else key for key in keys}


def _is_setting(key: str) -> bool:
    return not key.startswith(_NOT_SETTINGS)


def _rank(key: str) -> tuple[int, str]:
    return (_FIRST.index(key) if key in _FIRST else len(_FIRST)), key


def _follows(key: str, runs: Sequence[Run]) -> bool:
    """Whether the name of its group settles a param, as ``arch.name`` settles ``arch.decoder_channels``."""
    name = key.partition(".")[0] + ".name"
    pairs = {(run.params.get(name), run.params.get(key)) for run in runs}
    names = {run.params.get(name) for run in runs}
    return key != name and len(names) > 1 and len(pairs) == len(names)


def _last_part(key: str) -> str:
    group, _, part = key.rpartition(".")
    return key if part in _SAYS_ELSE else group if part == "name" else part


def _label(run: Run, keys: Mapping[str, str]) -> Label:
    """A draft, whose text may be that of another run too."""
    settings = {key: run.params[key] for key in keys if key in run.params}
    name = run.params.get("arch.name") or run.name or "run"
    model = ARCHITECTURES.get(name, name)
    words = [_words(key, keys[key], value) for key, value in settings.items()]
    if len(keys) > _MOST_IN_LABEL:
        return Label(model, model, settings, ", ".join(words))
    text = ", ".join([model, *words])
    return Label(text, text, settings, "")


def _words(key: str, short: str, value: str) -> str:
    """``optimizer.lr`` of 0.00123456 is ``lr 0.00123``; a name stands alone; whole numbers and words stay."""
    with suppress(ValueError):
        value = value if value.lstrip("-").isdigit() else f"{float(value):.3g}"
    return value if key.endswith(".name") else f"{short} {value}"
