"""The `redline` command."""
