"""Compare the gradients of a row's first step: static modes, and dygraph with slightly other weights, against dygraph.

Called like sweep_row.py; `--change` is the relative change of the weights in `changed` (default 1e-12). Writes gradients.json.
"""

import sweep_row

from proving import sweeps

if __name__ == "__main__":
    sweeps.compare_first_gradients(sweep_row.build)
