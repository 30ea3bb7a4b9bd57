"""Many runs from one command.

space.py       what varies: strata and points; parameter.py one name of it, with its condition
grammar.py     Hydra's text of one name as a distribution; values.py one value
overrides.py   the command line and the study file, put together
rules.py       from these to a space; conditions.py and names.py what is refused on the way
plan.py        what each stratum will try, and what makes it this sweep and no other
generations.py sweeps of one name, one after another
storage.py     Optuna's database, and who may ask and train; study.py the trials of a stratum in it
slots.py       where trials train; launched.py under a Hydra launcher; trial.py the job's own side
controller.py  keeps slots at work; watch.py shows it
opening.py     how a sweep begins or goes on; closing.py how it ends; sweeper.py the command, with both
status.py      how far sweeps are; preview.py what a command would do
reproduction.py  a published comparison as a sweep
custody.py     what is scored on the test part, and once
"""
