# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Contrastive training on paddlenlp's Trainer, with negatives of all processes and with a gradient cache."""

from dataclasses import dataclass, field
from typing import List, Optional

import paddle
import paddle.distributed as dist
import paddle.nn.functional as F
from paddle.distributed.fleet.utils.hybrid_parallel_util import fused_allreduce_gradients
from paddlenlp.trainer import Trainer, TrainingArguments

from .data import NO_IN_BATCH
from .draws import RowDraws
from .losses import contrastive_loss, gather_rows, gather_with_grad
from .m3 import m3_loss, m3_scores


def check_device(args):
    """Tells what cannot run on the device before anything is loaded.

    Raises:
        ValueError: --fp16 on a CPU.
    """
    if args.fp16 and not paddle.get_device().startswith(("gpu", "xpu", "npu")):
        raise ValueError("--fp16 needs a GPU, the device is %s; leave it out" % paddle.get_device())


class LossParts:
    """Mixed into a Trainer: what `note_parts` was given is logged beside the loss, as a mean since the last log."""

    def note_parts(self, **parts):
        """parts: name -> Tensor, a scalar."""
        if self.model.training:
            held = self.__dict__.setdefault("_parts", {})
            for name, value in parts.items():
                held.setdefault(name, []).append(value.detach().astype("float32"))

    def log(self, logs, **kwargs):
        held = self.__dict__.setdefault("_parts", {})
        if "loss" in logs:
            for name, values in held.items():
                logs[name] = round(float(sum(values)) / len(values), 8)
            held.clear()
        super().log(logs, **kwargs)


class RetroMAETrainer(RowDraws, LossParts, Trainer):
    """Trains a `RetroMAEForPretraining`; logs the losses of encoder and decoder too (those of the first process)."""

    def compute_loss(self, model, inputs, return_outputs=False):
        outputs = model(**inputs)
        self.note_parts(encoder_loss=outputs[1], decoder_loss=outputs[2])
        return (outputs[0], outputs) if return_outputs else outputs[0]


@dataclass
class EmbeddingTrainingArguments(TrainingArguments):
    temperature: float = field(default=0.02, metadata={"help": "The similarity is divided by it (BGE: 0.01 to 0.02)."})
    in_batch_negatives: bool = field(
        default=True, metadata={"help": "Take the passages of other queries as negatives."}
    )
    cross_device_negatives: bool = field(default=False, metadata={"help": "Take the passages of all processes too."})
    distillation: Optional[str] = field(
        default=None, metadata={"help": "kl_div or m3_kd_loss; the data must hold pos_scores and neg_scores."}
    )
    gradient_cache_chunk: int = field(
        default=0,
        metadata={"help": "Texts a forward pass with the gradient cache (arXiv:2101.06983); 0 turns it off."},
    )
    to_static: bool = field(default=False, metadata={"help": "Compile the encoder to a static graph."})
    filter_false_negatives: bool = field(
        default=False,
        metadata={"help": "A passage that is a positive of another query of the batch is no negative of it."},
    )
    false_negative_margin: Optional[float] = field(
        default=None,
        metadata={
            "help": "Nor is a passage of another query that scores above the positive by more than this cosine."
        },
    )
    matryoshka_dims: Optional[List[int]] = field(
        default=None, metadata={"help": "The loss is the mean over vectors cut to these sizes (arXiv:2205.13147)."}
    )


class EmbeddingTrainer(RowDraws, LossParts, Trainer):
    """Trains an `EmbeddingModel` with `contrastive_loss` on batches of `GroupCollator`.

    Memory: without the cache the graphs of all texts of a batch are alive at once; with it only those of one chunk, for one more
    forward pass. The gradients are the same; dropout too, as its random state is restored for the second pass.

    Several processes: with `cross_device_negatives` the loss is that of one process with the joined batch, and so are the
    gradients. The model is called outside the wrapper for data parallel training, and the gradients are joined here: a cached
    step calls the model many times, which that wrapper cannot follow.

    With `to_static` the encoder runs as one static graph for all batch sizes and lengths; losses and gradients are the same.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        args = self.args
        if args.cross_device_negatives and not args.in_batch_negatives:
            raise ValueError("cross_device_negatives needs in_batch_negatives")
        size = self.model.config.hidden_size
        if any(not 1 <= dim <= size for dim in args.matryoshka_dims or []):
            raise ValueError("matryoshka_dims are %r; a vector has %d numbers" % (args.matryoshka_dims, size))
        if args.false_negative_margin is not None and args.false_negative_margin < 0:
            raise ValueError("false_negative_margin is %r; it must not be negative" % args.false_negative_margin)
        if self.args.to_static and self.args.gradient_cache_chunk:
            # Paddle 2.6 frees what the backward pass of a program needs when the program has run without gradients before.
            raise ValueError("to_static does not go with gradient_cache_chunk; turn one of them off")
        if self.args.to_static:
            paddle.jit.to_static(self.model, input_spec=self.model.input_spec(), full_graph=True)

    def compute_loss(self, model, inputs, return_outputs=False):
        """The loss with one graph for the whole batch; what the evaluation of Trainer calls."""
        model = getattr(model, "_layers", model)
        queries = model(inputs["query_input_ids"], inputs["query_attention_mask"])
        passages = model(inputs["passage_input_ids"], inputs["passage_attention_mask"])
        loss = self.embedding_loss(queries, passages, inputs)
        return (loss, (queries, passages)) if return_outputs else loss

    def in_batch(self, inputs):
        """Whether the passages of other queries are negatives in this batch."""
        return self.args.in_batch_negatives and bool(inputs.get("in_batch", True))

    def embedding_loss(self, queries, passages, inputs):
        """The loss of embeddings, with those of the other processes if `cross_device_negatives` is set.

        Args:
            queries (Tensor): [n, size].
            passages (Tensor): [n * group, size].
            inputs (dict): of `GroupCollator`.
        """
        args, teacher_scores, excluded = self.args, inputs.get("teacher_scores"), None
        in_batch = self.in_batch(inputs)
        joined = args.cross_device_negatives and in_batch
        if args.filter_false_negatives and in_batch:
            keys = inputs["passage_keys"]
            keys = gather_rows(keys) if joined else keys
            excluded = (inputs["positive_keys"].unsqueeze(-1) == keys).any(axis=1)
            excluded = gather_rows(excluded.astype("int32")).astype("bool") if joined else excluded
        if joined:
            queries, passages = gather_with_grad(queries), gather_with_grad(passages)
            teacher_scores = None if teacher_scores is None else gather_with_grad(teacher_scores)
        losses = []
        for dim in args.matryoshka_dims or [queries.shape[1]]:
            loss, _ = contrastive_loss(
                cut(queries, dim),
                cut(passages, dim),
                temperature=args.temperature,
                in_batch_negatives=in_batch,
                teacher_scores=teacher_scores,
                distillation=args.distillation,
                excluded=excluded,
                margin=args.false_negative_margin,
            )
            losses.append(loss)
        if args.matryoshka_dims:
            self.note_parts(**{"loss_%d" % dim: loss for dim, loss in zip(args.matryoshka_dims, losses)})
        return sum(losses) / len(losses)

    def training_step(self, model, inputs):
        """Gradients of one batch; returns its loss, detached."""
        model.train()
        layers = getattr(model, "_layers", model)
        inputs = self._prepare_inputs(inputs)
        if self.args.gradient_cache_chunk > 0:
            loss = self._cached_step(layers, inputs)
        else:
            with self.autocast_smart_context_manager():
                loss = self.compute_loss(layers, inputs)
            self._backward(loss, inputs)
        if dist.get_world_size() > 1:
            fused_allreduce_gradients([p for p in layers.parameters() if not p.stop_gradient], None)
        return loss.detach() / self.args.gradient_accumulation_steps

    def _backward(self, loss, inputs):
        scale = 1.0 / self.args.gradient_accumulation_steps
        if self.args.cross_device_negatives and self.in_batch(inputs):
            scale *= (
                dist.get_world_size()
            )  # the gradients are averaged over the processes, but each has only a part of them
        loss = loss * scale
        (self.scaler.scale(loss) if self.do_grad_scaling else loss).backward()

    def _cached_step(self, model, inputs):
        """First all embeddings without graphs, then the gradient at each embedding, then chunk by chunk down to the weights."""
        chunks, embeddings, states = {}, {}, {}
        for name in ("query", "passage"):
            chunks[name] = list(self._chunks(inputs[name + "_input_ids"], inputs[name + "_attention_mask"]))
            states[name], vectors = [], []
            with paddle.no_grad(), self.autocast_smart_context_manager():
                for ids, mask in chunks[name]:
                    states[name].append(random_state())
                    vectors.append(model(ids, mask))
            embeddings[name] = paddle.concat(vectors, axis=0).detach()
            embeddings[name].stop_gradient = False
        with self.autocast_smart_context_manager():
            loss = self.embedding_loss(embeddings["query"], embeddings["passage"], inputs)
        self._backward(loss, inputs)
        for name in ("query", "passage"):
            start = 0
            for (ids, mask), state in zip(chunks[name], states[name]):
                restore(state)
                with self.autocast_smart_context_manager():
                    vectors = model(ids, mask)
                gradient = embeddings[name].grad[start : start + ids.shape[0]]
                start += ids.shape[0]
                # The cached gradient holds the scale of mixed precision already.
                (vectors.astype(gradient.dtype) * gradient).sum().backward()
        return loss

    def _chunks(self, ids, mask):
        size = self.args.gradient_cache_chunk
        for start in range(0, ids.shape[0], size):
            yield ids[start : start + size], mask[start : start + size]


# Settings of `contrastive_loss` that the loss of BGE-M3 does not have.
NOT_OF_M3 = ("in_batch_negatives", "cross_device_negatives", "distillation", "gradient_cache_chunk", "to_static")
NOT_OF_M3 += ("filter_false_negatives", "false_negative_margin", "matryoshka_dims")


class M3Trainer(EmbeddingTrainer):
    """Trains an `M3Model` with `m3_loss` on batches of `GroupCollator`; the passages of the own process are negatives.

    Raises:
        ValueError: a setting that this loss does not have.
    """

    def __init__(self, *args, **kwargs):
        fields = EmbeddingTrainingArguments.__dataclass_fields__
        given = [name for name in NOT_OF_M3 if getattr(kwargs["args"], name) != fields[name].default]
        if given or not all(getattr(kwargs.get("train_dataset"), "in_batch", [])):
            raise ValueError(
                "bge-m3 is trained with in-batch negatives, without %s" % ", ".join(given or [NO_IN_BATCH])
            )
        super().__init__(*args, **kwargs)

    def compute_loss(self, model, inputs, return_outputs=False):
        texts = [(inputs[name + "_input_ids"], inputs[name + "_attention_mask"]) for name in ("query", "passage")]
        scores = m3_scores(getattr(model, "_layers", model), *texts)
        loss = m3_loss(scores, self.args.temperature)
        return (loss, scores) if return_outputs else loss


def cut(vectors, size):
    """The first `size` numbers of each vector, [n, size], of length one; whole vectors are left as they are."""
    return vectors if size == vectors.shape[1] else F.normalize(vectors[:, :size], axis=-1)


def random_state():
    """The state of the device's random numbers, for `restore`."""
    if paddle.get_device().startswith("gpu"):
        return paddle.get_cuda_rng_state()
    return [paddle.framework.core.default_cpu_generator().get_state()]


def restore(state):
    if paddle.get_device().startswith("gpu"):
        paddle.set_cuda_rng_state(state)
    else:
        paddle.framework.core.default_cpu_generator().set_state(state[0])
