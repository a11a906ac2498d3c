"""More training text out of the corpus: rewrites that keep a label, and pairs that turn it. Every sample names its parent."""
