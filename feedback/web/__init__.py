"""The review desk: server-rendered pages for compliance reviewers."""
