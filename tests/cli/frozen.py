"""Imported last by the fork server: works out once what each of its forks would, and freezes what they share.

What is frozen Python's garbage collector leaves alone.
"""

import gc

from mlflow.utils import requirements_utils

requirements_utils._init_packages_to_modules_map()  # over all installed files, for MLflow's first model
gc.collect()
gc.freeze()
gc.set_threshold(50_000)  # nor what is new as often as by default
