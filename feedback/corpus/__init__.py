"""The seed corpus: conversations written for the project, in `seed/`, one file per writer."""
