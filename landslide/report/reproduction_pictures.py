"""Our Figures 6, 7 and 8 beside the paper's, with their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from landslide.metrics import ratios
from landslide.report import figures
from landslide.report.pictures import Picture
from landslide.report.reproduction_models import Model, Shown
from landslide.report.reproduction_settings import Change, titled
from landslide.report.runs import Objective


def make_pictures(
    models: Sequence[Model], shown: Mapping[str, Shown], objective: Objective, changes: Sequence[Change]
) -> list[Picture]:
    """Figures 6 and 7, and 8 where a run stored its pictured tiles; none where nothing has finished.

    Args:
        models: in the order of Table II; those that have not finished are left out.
        shown: by architecture, what those that finished have recorded.
        objective: whose curve stands beside the losses.
        changes: what is not as the paper has it.
    """
    there = [model for model in models if model.runs]
    if not there:
        return []
    tiles = _tiles(there, shown, changes)
    pictures = [_curves(there, shown, objective, changes), _matrices(there, changes), *([tiles] if tiles else [])]
    for picture in pictures:
        picture.figure.suptitle(picture.title, fontsize="medium", wrap=True)
    return pictures


def _curves(
    models: Sequence[Model], shown: Mapping[str, Shown], objective: Objective, changes: Sequence[Change]
) -> Picture:
    curves = {
        model.name: [
            (history, int(run.metrics["best/epoch"]))
            for run, history in zip(model.runs, shown[model.arch].histories, strict=True)
        ]
        for model in models
    }
    return Picture(
        "figure_6",
        titled("Figure 6: loss", changes),
        "As the paper's Figure 6 (dashed: training loss), with the validation beside it, a line a seed.",
        f"Losses and {objective.metric} of {', '.join(curves)} by epoch.",
        figures.loss_curves_figure(curves, objective.metric),
    )


def _matrices(models: Sequence[Model], changes: Sequence[Change]) -> Picture:
    counts = {model.name: model.counts.sum(axis=(0, 1)) for model in models}
    recalls = [f"{name} finds {ratios(values)['recall']:.1%}" for name, values in counts.items()]
    return Picture(
        "figure_7",
        titled("Figure 7: confusion matrices", changes),
        "Pixels of all validation tiles at the last epoch, all seeds together, and their share of the true class "
        "(the row).",
        f"Confusion matrices. Of the landslide pixels, {', '.join(recalls)}.",
        figures.confusion_matrices_figure(counts),
    )


def _tiles(models: Sequence[Model], shown: Mapping[str, Shown], changes: Sequence[Change]) -> Picture | None:
    panels = {model.name: shown[model.arch].artifacts.panel for model in models}
    there = {name: panel for name, panel in panels.items() if panel is not None and len(panel.tile_id)}
    if not there:
        return None
    rule = next(iter(there.values())).rule
    seeds = ", ".join(map(str, sorted({model.seeds[0] for model in models})))
    return Picture(
        "figure_8",
        titled("Figure 8: the same tiles, seen by every model", changes),
        f"At the last epoch, seed {seeds}, the first that finished; F1 of each tile is under its prediction. The paper "
        "shows two.",
        f"Image, truth and prediction of {', '.join(there)}, with F1 of each tile. {rule}",
        figures.tiles_figure(there),
        photographic=True,
    )
