"""`make smoke-SUITE`: the wheel of a patched suite, installed in a fresh environment, and one thing of each change used there."""
