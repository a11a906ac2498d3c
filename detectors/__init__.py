"""From a message in its conversation to a verdict: rule detector, classifier, cascade."""
