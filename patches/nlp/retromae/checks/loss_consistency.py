"""Fifty training steps, dygraph against static programs: RetroMAE (`--task retromae`) and contrastive (`--task finetune`).

A BERT of two layers on token ids that are drawn from the step number, with words that follow each other, so that there is something to
learn. The masks are those of the change's own collator. Dropout is off: the modes draw their random numbers in another order.
"""

import numpy as np
import paddle
import port

from proving.training import Task, main, parser

VOCABULARY, LENGTH, BATCH, GROUP = 200, 24, 8, 3


class Words:
    """What the collator asks of a tokenizer, for a vocabulary of whole words."""

    pad_token_id, cls_token_id, sep_token_id, mask_token_id, unk_token_id, vocab_size = 0, 1, 2, 3, None, VOCABULARY

    def convert_ids_to_tokens(self, ids):
        special = {0: "[PAD]", 1: "[CLS]", 2: "[SEP]", 3: "[MASK]"}
        return [special.get(i, ("##%d" if i % 5 == 0 else "%d") % i) for i in ids]


def text(rng, topic, length):
    """Token ids of one topic, each the neighbour of the one before."""
    start = 10 + 18 * topic
    walk = np.cumsum(rng.integers(1, 3, length - 2)) % 18
    return [1] + (start + walk).tolist() + [2]


def config():
    from paddlenlp.transformers import BertConfig

    return BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def retromae():
    from retriever.draws import Draw
    from retriever.masking import RetroMAECollator
    from retriever.retromae import RetroMAEForPretraining

    model = RetroMAEForPretraining(config())

    def batches(step):
        rng = np.random.default_rng(100 + step)
        collator = RetroMAECollator(Words(), max_length=LENGTH, seed=step)
        rows = [text(rng, int(rng.integers(0, 10)), int(rng.integers(LENGTH // 2, LENGTH + 1))) for _ in range(BATCH)]
        batch = collator([{"input_ids": row, "draw": Draw(place)} for place, row in enumerate(rows)])
        names = ("input_ids", "attention_mask", "labels", "decoder_input_ids", "decoder_attention_mask", "decoder_labels")
        return [paddle.to_tensor(batch[name]) for name in names]

    return model, batches, list, lambda outputs, batch: outputs[0]


def finetune():
    from retriever.data import pad_ids
    from retriever.losses import contrastive_loss
    from retriever.modeling import EmbeddingModel

    class Both(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.encoder = EmbeddingModel(config())

        def forward(self, query_ids, query_mask, passage_ids, passage_mask):
            return self.encoder(query_ids, query_mask), self.encoder(passage_ids, passage_mask)

    def batches(step):
        rng = np.random.default_rng(200 + step)
        topics = rng.integers(0, 10, BATCH)
        queries = [text(rng, int(topic), 10) for topic in topics]
        passages = []
        for topic in topics:
            passages.append(text(rng, int(topic), LENGTH))
            passages += [text(rng, int(topic + 1 + i) % 10, LENGTH - 4 * i) for i in range(GROUP - 1)]
        return [paddle.to_tensor(array) for rows in (queries, passages) for array in pad_ids(rows, 0)]

    # Not the 0.02 of a trained encoder: from random weights this temperature makes a step of size one of rounding noise.
    return Both(), batches, list, lambda outputs, batch: contrastive_loss(*outputs, temperature=0.05)[0]


def build(arguments):
    port.use_overlay()
    paddle.set_default_dtype(arguments.dtype)
    model, batches, inputs, loss = {"retromae": retromae, "finetune": finetune}[arguments.task]()
    model.train()
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    optimizer = paddle.optimizer.AdamW(arguments.rate, parameters=trained, weight_decay=0.01)
    return Task(model=model, loss=loss, optimizer=optimizer, batches=batches, inputs=inputs)


if __name__ == "__main__":
    options = parser()
    options.add_argument("--task", required=True, choices=("retromae", "finetune"))
    options.add_argument("--dtype", default="float32", choices=("float64", "float32"))
    options.add_argument("--rate", type=float, default=5e-4)
    main(build, options)
