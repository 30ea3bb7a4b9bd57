"""The MLflow store: opened safely, written by runs, read by reports."""
