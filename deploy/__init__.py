"""Puts the parts together: settings, wiring, the `redline` command, services."""
