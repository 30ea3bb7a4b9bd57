"""Imported last by the fork server: its forks need not look for garbage in what all of them share."""

import gc

gc.collect()
gc.freeze()
