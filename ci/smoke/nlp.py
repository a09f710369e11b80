"""PaddleNLP's wheel: a task of Tree of Thoughts, and the solver of its evaluation. RetroMAE is an example, which no wheel holds."""

from paddlenlp.experimental.agents.tree_of_thoughts import create_task
from paddlenlp.experimental.agents.tree_of_thoughts.arithmetic import evaluate
from paddlenlp.experimental.agents.tree_of_thoughts.solver import parse_numbers, reaches

task = create_task("game24", puzzles=["4 5 6 10"])
assert "4 5 6 10" in task.propose_prompt(task.input(0), "")
assert evaluate("(10 - 4) * 5 - 6") == 24
print("nlp-tree-of-thoughts:", type(task).__name__, "asks for", task.input(0))
assert reaches(parse_numbers("4 5 6 10")) and not reaches(parse_numbers("1 1 1 1"))
print("nlp-tree-of-thoughts-evaluation: the solver tells what reaches 24")
