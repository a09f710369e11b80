"""Which float32 operations inside LLaMA's float64 run its gradients owe their last digits to.

PaddleNLP, as transformers, takes LLaMA's softmax and the variance of its norms in float32 whatever the model's type. This puts
each into float64, and prints how far the most affected gradient then is from the stored float64 reference, which has such casts itself.
"""

import sys

import paddle
import paddle.nn.functional as F
from align import Case

from alignment.record import arguments

PAIR = "llama.grad.language_model.model.layers.1.self_attn.q_proj.weight.f64"


class Gaps(dict):
    """Takes what the alignment records: {pair: largest difference over the largest value}."""

    def add(self, stage, key, got, want):
        self[key] = abs(got - want).max() / abs(want).max() if key == PAIR else None


def gap(directory):
    gaps = Gaps()
    Case(gaps, directory, "llama", "float64").train()
    return gaps[PAIR]


def main():
    args = arguments()
    print(f"Paddle {paddle.__version__}, gradient of {PAIR}: difference from the reference over its largest value")
    print(f"as they are             {gap(args.reference):.2e}")
    softmax, astype = F.softmax, paddle.Tensor.astype
    F.softmax = lambda x, axis=-1, dtype=None, name=None: softmax(x, axis)
    print(f"softmax in float64      {gap(args.reference):.2e}")

    def keep(tensor, dtype):
        of_llama = sys._getframe(1).f_code.co_filename.endswith("llama/modeling.py")
        return tensor if of_llama and tensor.dtype == paddle.float64 and dtype == "float32" else astype(tensor, dtype)

    paddle.Tensor.astype = keep
    print(f"and norms in float64    {gap(args.reference):.2e}")


if __name__ == "__main__":
    main()
