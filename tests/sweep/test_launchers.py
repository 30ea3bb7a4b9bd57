"""Real launchers, whose jobs, whose controller, or both, die or are interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.sweep.harness import EPOCHS, Sweep, wait_for, wait_until

TRIALS, SLOTS, LONGEST_S = 4, 2, 200


def trained_by(sweep: Sweep) -> list[int]:
    """Processes, in the order of their first epochs."""
    file = sweep.folder / EPOCHS
    lines = file.read_text().splitlines() if file.is_file() else []
    return list(dict.fromkeys(int(line.split()[-1]) for line in lines))


def is_alive(process: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    return False


def require_slurm() -> None:
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed")
    nodes = subprocess.run(["scontrol", "show", "node", "--oneliner"], capture_output=True, text=True, check=False)
    if nodes.returncode != 0:
        pytest.skip(f"Slurm does not answer: {nodes.stderr.strip()}")
    if any(f"NodeHostName={socket.gethostname()} " not in node for node in nodes.stdout.splitlines()):
        pytest.skip("Slurm has other machines than this one, which do not see the folder of a test")


def kill_job_of_slurm(sweep: Sweep) -> None:
    """One that trains: its step gets the signal, not the script around it."""
    mine = [folder.name for folder in (sweep.base().parent / ".submitit").iterdir()]
    listed = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%i"], capture_output=True, text=True, check=True)
    job = next(job for job in listed.stdout.split() if job in mine)
    subprocess.run(["scancel", "--signal=KILL", job], check=True)


def kill_process(sweep: Sweep) -> None:
    os.kill(trained_by(sweep)[0], signal.SIGKILL)


SEARCH = ("x=interval(0,1)", "sweep.sampler=random", f"sweep.slots={SLOTS}", "sweep.max_attempts=1000", "epoch_s=0.4")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("launcher", "package"),
    [
        ("joblib", "hydra_joblib_launcher"),
        ("submitit_local", "hydra_submitit_launcher"),
        ("submitit_slurm", "hydra_submitit_launcher"),
        ("ray", "hydra_ray_launcher"),
    ],
)
def test_no_trial_of_a_launcher_is_lost_or_trained_twice(
    begin: Callable[..., Sweep], launcher: str, package: str
) -> None:
    pytest.importorskip(f"hydra_plugins.{package}")
    slurm = launcher == "submitit_slurm"
    if slurm:
        require_slurm()
    sweep = begin(*SEARCH, f"sweep.n_trials={TRIALS}", "trainer.max_epochs=10", f"hydra/launcher={launcher}")
    # When: a job is killed, then the sweep interrupted
    controller = sweep.start()
    wait_until(lambda: bool(trained_by(sweep)), LONGEST_S)
    (kill_job_of_slurm if slurm else kill_process)(sweep)
    sweep.kills += SLOTS  # joblib's processes die together
    before = len(sweep.epochs())
    wait_until(lambda: len(sweep.epochs()) > before, LONGEST_S)
    os.kill(controller.pid or 0, signal.SIGINT)
    sweep.kills += 1
    # Then
    assert wait_for(controller, LONGEST_S) == 128 + signal.SIGINT, sweep.output[-3000:]
    parent, children = sweep.runs()
    assert parent.data.tags["landslide.sweep_state"] == "paused"
    assert "RUNNING" not in {run.info.status for run in children}
    # When: the same command, whose controller is killed while its jobs train
    controller, before = sweep.start(), len(sweep.epochs())
    wait_until(lambda: len(sweep.epochs()) > before, LONGEST_S)
    sweep.kill(controller)
    lines = len((sweep.folder / EPOCHS).read_text().splitlines())
    trained = set(trained_by(sweep))
    # Then
    assert wait_for(sweep.start(), LONGEST_S) == 0, sweep.output[-3000:]
    sweep.require_whole(TRIALS, slots=SLOTS)
    assert os.getpid() not in trained_by(sweep)
    assert "Traceback" not in sweep.output
    assert list(Path(sweep.base()).glob("all/*/output.txt"))
    # and the processes that outlived the controller have ended with their jobs
    later = (sweep.folder / EPOCHS).read_text().splitlines()[lines:]
    orphans = trained & {int(line.split()[-1]) for line in later}
    wait_until(lambda: not any(map(is_alive, orphans)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_outlives_the_time_limit_of_its_job(begin: Callable[..., Sweep]) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    require_slurm()
    sweep = begin(
        "x=interval(0,1)",
        "sweep.n_trials=1",
        "trainer.max_epochs=150",
        "epoch_s=1",
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.timeout_min=3",  # the least that leaves a minute: Slurm may send its signal one too early
        "hydra.launcher.signal_delay_s=60",
    )
    # When
    assert wait_for(sweep.start(), 800) == 0, sweep.output[-3000:]
    # Then
    sweep.kills = 1  # it costs no more
    sweep.require_whole(1)
    assert len(trained_by(sweep)) > 1
    assert "failed" not in sweep.output
