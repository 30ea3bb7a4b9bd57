"""What a reproduction trains, and under which name."""

from __future__ import annotations

from pathlib import Path

import pytest

from landslide.config import check_sweep
from landslide.sweep.reproduction import Plan, read_plan
from tests.conftest import ROOT, compose_run

ARCHES = ("unet", "pspnet", "fpn", "linknet")


def plan(*overrides: str, seeds: str = "0,1", scale: str = "") -> Plan:
    return read_plan(ROOT / "conf", "paper", ARCHES, seeds=seeds, scale=scale, overrides=overrides)


def test_the_first_seed_is_trained_and_repeated_with_the_others() -> None:
    found = plan(seeds="2,0,1")
    assert found.name == "reproduce-paper"
    assert found.changes == ()
    assert {"experiment=paper", "arch=unet,pspnet,fpn,linknet", "seed=0", "sweep.repeats=2"} <= set(found.overrides)


def test_more_seeds_are_of_the_same_sweep_and_another_first_one_is_of_another() -> None:
    assert plan(seeds="0").name == plan(seeds="0,1,2,3,4").name
    assert plan(seeds="3,4").name == "reproduce-paper-from-seed-3"


def test_what_is_scaled_is_found_however_it_was_typed() -> None:
    scaled = plan(scale="image_size=128,epochs=6")
    typed = plan("trainer.max_epochs=6", "data.image_size=128")
    assert scaled.changes == typed.changes
    assert scaled.name == typed.name == "reproduce-paper-image_size-128-epochs-6"
    assert [(change.theirs, change.ours) for change in scaled.changes] == [("256", "128"), ("100", "6")]


def test_a_smaller_encoder_brings_its_weights_and_both_are_named() -> None:
    changes = plan(scale="encoder=efficientnet_lite0").changes
    assert [str(change) for change in changes] == ["encoder tu-tf_efficientnet_lite0", "weights wheel"]


def test_what_follows_from_another_value_is_not_named_beside_it() -> None:
    changes = plan("regularization.weight_decay=0.1").changes
    assert [change.key for change in changes] == ["regularization.weight_decay"]


def test_the_seed_of_the_split_and_the_parts_of_the_data_are_named_in_full() -> None:
    found = plan("data.split.seed=4", "data.negatives.val=all")
    assert [str(change) for change in found.changes] == ["data.split.seed 4", "data.negatives.val all"]
    assert found.name == "reproduce-paper-data.split.seed-4-data.negatives.val-all"


@pytest.mark.parametrize("word", ["data.root=tiles", "trainer.threads=1", "sweep.slots=2", "tracking.experiment=mine"])
def test_where_and_how_it_runs_is_no_other_experiment(word: str) -> None:
    found = plan(word)
    assert found.changes == ()
    assert word in found.overrides


def test_synthetic_tiles_in_the_papers_layout_are_other_data(tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text("{}")
    found = plan(f"data.root={tmp_path}")
    assert [str(change) for change in found.changes] == ["data synthetic"]
    assert found.name == "reproduce-paper-data-synthetic"


def test_a_name_too_long_for_a_folder_is_cut_and_still_tells_two_apart() -> None:
    long = ("data.split={train: 16, val: 8}", "encoder.name=tu-tf_efficientnet_lite0", "+arch.decoder_use_norm=false")
    names = [plan(f"optimizer.lr={lr}", *long, "regularization.augmentation=1").name for lr in (0.1, 0.2)]
    assert names[0] != names[1]
    for name in names:
        check_sweep(compose_run(f"sweep.name={name}-99").sweep)
