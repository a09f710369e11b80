"""Helpers for check scripts. They run inside a suite's environment and never import the harness.

wheels needs nothing; seeding, record, porting and timing need numpy alone; training, static_proof and exporting import
paddle inside their functions.
"""
