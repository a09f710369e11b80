"""`python -m forklift`."""

from forklift.cli import main

main()
