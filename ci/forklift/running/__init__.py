"""What kinds of checks share: running scripts and tests, judging what they recorded."""
