"""``landslide reproduce paper``, killed and going on, on tiles as small as they come."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mlflow import MlflowClient

from landslide.report.paper import TABLE_II
from landslide.report.table import MISSING
from tests.cli.typed import run_typed
from tests.conftest import TILES

NAME = "reproduce-paper-encoder-tu-test_resnet-weights-None-image_size-64-train-16-val-8-epochs-3f7fdf31"
SCALED = "scaled: encoder tu-test_resnet, weights None, image_size 64, train 16, val 8, epochs 1, data synthetic"


def _killed_once_a_run_has_finished() -> None:
    """Called in the fork before the command: a thread of it ends the process without a word."""
    from threading import Thread

    def end() -> None:
        while not list(Path.cwd().glob("mlruns/sweeps/*/*/*/result.json")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)

    Thread(target=end, daemon=True).start()


def test_killed_and_asked_for_more_seeds_it_goes_on_and_sets_the_paper_beside_ours(
    dataset: Path, tmp_path: Path
) -> None:
    # Given: one seed, killed when the first of its four runs had its result
    typed = (
        "landslide reproduce paper --scale epochs=1,image_size=64 encoder.name=tu-test_resnet encoder.weights=null "
        f"'data.split={{train: 16, val: 8}}' data.cache_dir={tmp_path / 'cache'} trainer.threads=1 -o out --seeds "
    )
    assert TILES["count"] == 16 + 8
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANDSLIDE", "MLFLOW"))}
    environment = {**kept, "LANDSLIDE_BIJIE_ROOT": str(dataset)}
    killed = run_typed(typed + "0", tmp_path, environment=environment, before=_killed_once_a_run_has_finished)
    assert killed.status == -signal.SIGKILL
    sweep = tmp_path / "mlruns" / "sweeps" / NAME
    (first,) = sweep.glob("*/0/result.json")
    written = first.stat().st_mtime_ns
    # When: the same command, with another seed
    ended = run_typed(typed + "0,1", tmp_path, environment=environment)
    # Then: what was finished was not trained again, and every run is there once
    assert ended.status == 0, ended.stderr
    assert first.stat().st_mtime_ns == written
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = client.search_runs(["1"], "tags.`landslide.kind` != 'multirun'")
    assert sorted((run.data.params["arch.name"], run.data.params["seed"]) for run in runs) == sorted(
        (arch, seed) for arch in TABLE_II for seed in "01"
    )
    assert {run.info.status for run in runs} == {"FINISHED"}
    # Then: the pages are here and on the parent, and say what is scaled
    (parent,) = client.search_runs(["1"], "tags.`landslide.kind` = 'multirun'")
    on_parent = {item.path for item in client.list_artifacts(parent.info.run_id, "reproduction")}
    assert {f"reproduction/{NAME}.{ending}" for ending in ("html", "md", "csv", "tex")} <= on_parent
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert figures == {f"{NAME}-figure_{number}.png" for number in (6, 7, 8)}
    text = (tmp_path / "out" / f"{NAME}.md").read_text(encoding="utf-8")
    assert SCALED in text.replace("\\", "")
    assert SCALED in ended.stdout
    # Then: the last epoch of both seeds is what is compared
    (unet,) = [line for line in text.splitlines() if line.startswith("| U-Net | Accuracy")]
    own = [run.data.metrics["last/accuracy"] for run in runs if run.data.params["arch.name"] == "unet"]
    assert f"{sum(own) / 2:.4f} ±" in unet
    assert MISSING not in unet
    assert "not comparable: other data" in unet
