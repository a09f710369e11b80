"""Throughput of the real MiniLM encoder: sentences a second in Paddle Inference (oneDNN), dygraph, and ONNX Runtime.

Real texts of corpus.py, sorted by length and padded to the longest of a batch, the same batches on every side. The train step is
one contrastive step (forward, backward, AdamW) with and without the gradient cache. bench_torch.py puts PyTorch beside it.

One thread and CPU time: on a busy machine two threads that wait for each other tripled one side's time and not the other's.
"""

import os
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before the libraries read it

import assets
import corpus
import paddle
import port

from proving import exporting
from proving.record import arguments
from proving.timing import interleave, write_benchmark

LENGTH = 64


def batches(tokenizer, count, size):
    """`count` batches of `size` real passages, of similar length each."""
    from retriever.data import pad_ids

    texts = [passage for _, passage in corpus.pairs()[: count * size]]
    rows = sorted((tokenizer(text, max_length=LENGTH, truncation=True)["input_ids"] for text in texts), key=len)
    return [pad_ids(rows[start : start + size], tokenizer.pad_token_id) for start in range(0, len(rows), size)]


def train_step(model, batch, chunk, folder):
    """One contrastive step as a function without arguments."""
    from retriever import EmbeddingTrainer
    from retriever.trainer import EmbeddingTrainingArguments

    settings = EmbeddingTrainingArguments(output_dir=folder, device="cpu", gradient_cache_chunk=chunk)
    trainer = EmbeddingTrainer(model=model, args=settings)
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    optimizer = paddle.optimizer.AdamW(1e-6, parameters=trained)
    ids, mask = (paddle.to_tensor(array) for array in batch)
    inputs = {"query_input_ids": ids[:, :16], "query_attention_mask": mask[:, :16]}
    inputs.update(passage_input_ids=ids, passage_attention_mask=mask)

    def run():
        loss = trainer.training_step(model, inputs)
        optimizer.step()
        optimizer.clear_grad()
        return float(loss)

    return run


def main():
    def add(parser):
        parser.add_argument("--rounds", type=int, default=3)
        parser.add_argument("--batch", type=int, default=16)

    args = arguments(add)
    port.use_overlay()
    from export_model import to_onnx
    from paddlenlp.transformers import BertTokenizer
    from retriever import DygraphEncoder, EmbeddingModel, InferenceEncoder
    from retriever.embedder import export

    folder = assets.minilm_here()
    model = EmbeddingModel.from_pretrained(folder)
    data = batches(BertTokenizer.from_pretrained(folder), 2, args.batch)
    path = export(model, args.out)
    session = exporting.onnx_session(to_onnx(path))
    sides = {
        "inference": InferenceEncoder(args.out),
        "dygraph": DygraphEncoder(model),
        "onnxruntime": lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0],
    }
    everything = {name: (lambda side=side: [side(*batch) for batch in data]) for name, side in sides.items()}
    samples = interleave(everything, rounds=args.rounds, warmup=1, clock=time.process_time)
    name = "embed %d passages of <= %d tokens" % (2 * args.batch, LENGTH)
    rows = [{"name": name, "ours": "inference", "against": other, "samples": samples} for other in ("dygraph", "onnxruntime")]
    steps = {"cache of 4": 4, "one graph": 0}
    steps = {key: train_step(model, data[0], chunk, args.out) for key, chunk in steps.items()}
    samples = interleave(steps, rounds=args.rounds, warmup=1, clock=time.process_time)
    name = "train step, %d pairs" % args.batch
    rows.append({"name": name, "ours": "cache of 4", "against": "one graph", "samples": samples})
    for suffix in (".pdmodel", ".json", ".pdiparams", ".pdiparams.info", ".onnx"):
        if os.path.isfile(path + suffix):
            os.remove(path + suffix)
    write_benchmark(args.out, rows)


if __name__ == "__main__":
    main()
