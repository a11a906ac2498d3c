"""Pure text matching: normalisation, the risk catalogue, the rule language and its engine."""
