"""Releases: a finished run given away as model, data and demo."""
