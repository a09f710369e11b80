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
"""
Evaluation of BLIP-2 retrieval on Karpathy's splits of COCO or Flickr30k: by similarity (ITC), and with the best k matched (ITM).

    python paddlemix/examples/blip2/run_eval_retrieval.py --model output/blip2-itm-vit-g-coco --annotations dataset_coco.json \
        --images coco --output_dir output/retrieval

A run that was interrupted goes on when the same command is given again; with `python -m paddle.distributed.launch` several processes share
the work. They share files alone: what another one computes is waited for, what a dead one left is taken over.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import sys

import numpy as np
from tqdm import tqdm

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from retrieval_data import DataError, Pictures, Processor, read_karpathy  # noqa: E402
from retrieval_report import write_report  # noqa: E402


class Pieces:
    """
    Arrays on disk, one file for each batch, which is there as a whole or not at all.

    Args:
        root: directory. rank, ranks: of this process.
    """

    def __init__(self, root, rank=0, ranks=1):
        self.root, self.rank, self.ranks = root, rank, ranks
        os.makedirs(root, exist_ok=True)

    def path(self, name, start):
        return os.path.join(self.root, f"{name}-{start:09d}.npy")

    @contextlib.contextmanager
    def _locked(self, path):
        with open(path + ".lock", "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # given back by the system when its process dies
            yield

    def make(self, name, starts, compute):
        """Every piece that is not there: this rank's own first, then those that no living process makes."""
        order = list(starts[self.rank :: self.ranks]) + [
            one for i, one in enumerate(starts) if i % self.ranks != self.rank
        ]
        for start in tqdm(order, desc=name, file=sys.stderr, disable=self.rank > 0):
            path = self.path(name, start)
            if os.path.exists(path):
                continue
            with self._locked(path):
                if os.path.exists(path):
                    continue
                value = compute(start)
                with open(path + ".part", "wb") as stream:
                    np.save(stream, value)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(path + ".part", path)

    def read(self, name, starts):
        """All pieces, one after the other. Raises DataError where one is broken."""
        made = []
        for start in starts:
            try:
                made.append(np.load(self.path(name, start), allow_pickle=False))
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{self.path(name, start)}: cannot be read ({error}); next: delete it, run the same command again"
                )
        return np.concatenate(made)


def digest(paths):
    made = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 22), b""):
                made.update(block)
    return made.hexdigest()


def keep_manifest(path, made):
    """Writes what the run is, or raises DataError where the directory holds another one."""
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            with open(path + ".part", "w", encoding="utf-8") as stream:
                json.dump(made, stream, indent=1, sort_keys=True)
            os.replace(path + ".part", path)
            return
    with open(path, encoding="utf-8") as stream:
        found = json.load(stream)
    other = [key for key in sorted({*found, *made}) if found.get(key) != made.get(key)]
    if other:
        shown = "; ".join(f"{key} was {found.get(key)}, now {made.get(key)}" for key in other)
        raise DataError(f"{path}: this directory holds another run ({shown[:400]}); next: take another --output_dir")


class Evaluation:
    """
    Features, candidates and matches of one set.

    Args:
        model, processor. rows: of `read_karpathy`. pictures: `Pictures`. pieces: `Pieces`.
        batch_size: pictures at a time. match_size: pairs at a time.
    """

    def __init__(self, model, processor, rows, pictures, pieces, batch_size=16, match_size=128):
        import paddle

        self.paddle, self.model, self.processor, self.pictures, self.pieces = (
            paddle,
            model,
            processor,
            pictures,
            pieces,
        )
        self.rows, self.batch_size, self.match_size = rows, batch_size, match_size
        self.captions = [one for row in rows for one in row["captions"]]
        self.owners = np.repeat(np.arange(len(rows)), [len(row["captions"]) for row in rows])

    def _embeds(self, start):
        images = [self.pictures.open(row["image"]) for row in self.rows[start : start + self.batch_size]]
        return self.model.image_embeds(self.paddle.to_tensor(self.processor.pictures(images)))

    def features(self):
        """(image features [N, queries, D], caption features [M, D])."""
        from paddle import no_grad

        size = 16 * self.batch_size

        def images(start):
            with no_grad():
                return self.model.image_features(self._embeds(start)).astype("float32").numpy()

        def captions(start):
            ids, mask = self.processor.texts(self.captions[start : start + size])
            with no_grad():
                made = self.model.text_features(self.paddle.to_tensor(ids), self.paddle.to_tensor(mask))
            return made.astype("float32").numpy()

        made = []
        for name, compute, number, step in (
            ("images", images, len(self.rows), self.batch_size),
            ("captions", captions, len(self.captions), size),
        ):
            starts = list(range(0, number, step))
            self.pieces.make(name, starts, compute)
            made.append(self.pieces.read(name, starts))
        return made

    def candidates(self, k):
        """[`Candidates`] of the features."""
        from paddlemix.metrics import retrieval_metrics

        images, captions = self.features()
        right = retrieval_metrics.right_similarities(images, captions, self.owners)
        blocks = retrieval_metrics.similarity_blocks(images, captions)
        return retrieval_metrics.candidates(blocks, right, self.owners, len(images), k)

    def match(self, found):
        """A function (images, captions) -> ITM logits of a match. Every pair is matched once, whichever side wants it, image by image."""
        pairs = found.pairs_by_image()
        starts = list(range(0, len(self.rows), self.batch_size))

        def compute(start):
            made = []
            with self.paddle.no_grad():
                embeds = self._embeds(start)
                for place in range(len(embeds)):
                    wanted = pairs[start + place]
                    for first in range(0, len(wanted), self.match_size):
                        part = wanted[first : first + self.match_size]
                        ids, mask = self.processor.texts([self.captions[one] for one in part])
                        one = embeds[place : place + 1].expand([len(part), -1, -1])
                        logits = self.model.match(one, self.paddle.to_tensor(ids), self.paddle.to_tensor(mask))
                        made.append(logits[:, 1].astype("float32").numpy())
            return np.concatenate(made) if made else np.zeros(0, np.float32)

        self.pieces.make("match", starts, compute)
        logits = self.pieces.read("match", starts)
        keys = np.concatenate([image * len(self.owners) + wanted for image, wanted in enumerate(pairs)])
        if len(keys) != len(logits):
            raise DataError(
                f"{self.pieces.root}: {len(logits)} matches of {len(keys)} pairs; next: delete match-*, run it again"
            )

        def look_up(images, captions):
            return logits[np.searchsorted(keys, np.asarray(images, np.int64) * len(self.owners) + captions)]

        return look_up


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Evaluation of BLIP-2 retrieval on COCO or Flickr30k.")
    parser.add_argument("--model", required=True, help="directory of weights, config.json and vocab.txt")
    parser.add_argument("--annotations", required=True, help="Karpathy's or LAVIS' JSON file")
    parser.add_argument("--images", required=True, help="folder of the pictures, or a zip file of it")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="the first pictures only")
    parser.add_argument(
        "--k_test", type=int, default=128, help="how many of each side are matched; 0: similarity alone"
    )
    parser.add_argument("--batch_size", type=int, default=16, help="pictures at a time")
    parser.add_argument("--match_size", type=int, default=128, help="pairs at a time")
    parser.add_argument("--max_length", type=int, default=35, help="tokens of a caption")
    parser.add_argument("--device", help="gpu or cpu; default: what Paddle takes")
    parser.add_argument("--worst", type=int, default=10, help="failures of each direction in the report")
    args = parser.parse_args(argv)
    for name in ("batch_size", "match_size", "max_length"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    if args.k_test < 0 or (args.limit is not None and args.limit < 1) or args.worst < 0:
        parser.error("--k_test and --worst must be 0 or more, --limit 1 or more")
    return args


def run(args):
    """One run; returns its results, or None in a process that does not write them."""
    import paddle
    from paddlemix.metrics import retrieval_metrics
    from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval

    if not os.path.isfile(os.path.join(args.model, "config.json")):
        raise DataError(f"{args.model}: holds no config.json; next: convert_retrieval.py")
    if args.device:
        paddle.set_device(args.device)
    rows, pictures = read_karpathy(args.annotations, args.split, args.limit), Pictures(args.images)
    pictures.check([row["image"] for row in rows])
    rank, ranks = int(os.environ.get("PADDLE_TRAINER_ID", 0)), int(os.environ.get("PADDLE_TRAINERS_NUM", 1))
    os.makedirs(args.output_dir, exist_ok=True)
    files = [os.path.join(args.model, name) for name in ("config.json", "model_state.pdparams", "vocab.txt")]
    made = {
        "model": {"name": os.path.basename(os.path.abspath(args.model)), "sha256": digest(files)},
        "annotations": {"name": os.path.basename(args.annotations), "sha256": digest([args.annotations])},
        "split": args.split,
        "images": len(rows),
        "captions": sum(len(row["captions"]) for row in rows),
        "k_test": args.k_test,
        "batch_size": args.batch_size,
        "max_length": args.max_length,
        "versions": {"paddle": paddle.__version__, "numpy": np.__version__},
    }
    keep_manifest(os.path.join(args.output_dir, "manifest.json"), made)
    model = Blip2ForImageTextRetrieval.from_pretrained(args.model)
    processor = Processor(args.model, model.config.vision_config.img_size, args.max_length)
    pieces = Pieces(os.path.join(args.output_dir, "raw"), rank, ranks)
    one = Evaluation(model, processor, rows, pictures, pieces, args.batch_size, args.match_size)
    found = one.candidates(args.k_test or 128)
    ranks_of = {"ITC": (found.image_ranks, found.caption_ranks)}
    logits = None
    if args.k_test:
        logits = one.match(found)
        ranks_of["ITC and ITM"] = retrieval_metrics.reranked(found, logits)
    if rank:
        return None
    results = {"manifest": made, "recall": {name: retrieval_metrics.recall(*both) for name, both in ranks_of.items()}}
    with open(os.path.join(args.output_dir, "results.json.part"), "w", encoding="utf-8") as stream:
        json.dump(results, stream, indent=1)
    os.replace(stream.name, os.path.join(args.output_dir, "results.json"))
    write_report(args.output_dir, results, one, found, logits, list(ranks_of.values())[-1], args.worst)
    return results


def main(argv=None):
    try:
        results = run(arguments(argv))
    except (ValueError, OSError) as error:  # faults of files and options, with what to do next
        print(f"error: {error}", file=sys.stderr)
        return 1
    if results:
        for name, made in results["recall"].items():
            print(name + ": " + ", ".join(f"{key} {value:.2f}" for key, value in made.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
