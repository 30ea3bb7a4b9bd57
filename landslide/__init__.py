"""landslide: train, sweep and compare segmentation models that map landslides from satellite images."""

import os

# MLflow reads these when it is imported, by whichever part comes first: nothing about a run leaves the machine
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# a bar for each small file would bury the one that shows training
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # landslide ui says where the page is

__version__ = "0.1.0"
