"""The ``landslide`` command: one file a sub-command."""
