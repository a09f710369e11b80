"""Where a branch is run: environment, work tree, stored results."""
