"""The agent in pipelines' own test suite, run as `nlp-agent-language-models` runs its part of it."""

import os

from proving.tree import load

if __name__ == "__main__":
    load(os.path.dirname(__file__), "..", "..", "agent-language-models", "checks", "pipelines.py").main()
