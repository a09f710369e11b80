"""Forklift: carries changes to PaddlePaddle suites as upstream-ready pull requests."""
