"""How good a judge is: scores with intervals, on labelled and on innocent messages."""
