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
from typing import Optional

import paddle
import paddle.distributed as dist
from paddle.distributed.fleet.utils.hybrid_parallel_util import fused_allreduce_gradients
from paddlenlp.trainer import Trainer, TrainingArguments

from .losses import contrastive_loss, gather_with_grad


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


class EmbeddingTrainer(Trainer):
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
        if self.args.cross_device_negatives and not self.args.in_batch_negatives:
            raise ValueError("cross_device_negatives needs in_batch_negatives")
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
        loss = self.embedding_loss(queries, passages, inputs.get("teacher_scores"))
        return (loss, (queries, passages)) if return_outputs else loss

    def embedding_loss(self, queries, passages, teacher_scores=None):
        """The loss of embeddings, with those of the other processes if `cross_device_negatives` is set."""
        args = self.args
        if args.cross_device_negatives:
            queries, passages = gather_with_grad(queries), gather_with_grad(passages)
            teacher_scores = None if teacher_scores is None else gather_with_grad(teacher_scores)
        loss, _ = contrastive_loss(
            queries,
            passages,
            temperature=args.temperature,
            in_batch_negatives=args.in_batch_negatives,
            teacher_scores=teacher_scores,
            distillation=args.distillation,
        )
        return loss

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
            self._backward(loss)
        if dist.get_world_size() > 1:
            fused_allreduce_gradients([p for p in layers.parameters() if not p.stop_gradient], None)
        return loss.detach() / self.args.gradient_accumulation_steps

    def _backward(self, loss):
        scale = 1.0 / self.args.gradient_accumulation_steps
        if self.args.cross_device_negatives:
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
            loss = self.embedding_loss(embeddings["query"], embeddings["passage"], inputs.get("teacher_scores"))
        self._backward(loss)
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
