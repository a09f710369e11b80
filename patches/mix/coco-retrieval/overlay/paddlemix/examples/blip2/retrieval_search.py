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
An index of pictures for search by words: BLIP-2's features of a folder, computed once.

    python paddlemix/examples/blip2/retrieval_search.py embed photos --model output/blip2-coco --index photos.index
    python paddlemix/examples/blip2/retrieval_search.py search "a dog on the beach" --model output/blip2-coco --index photos.index

`embed` again takes new pictures in and takes those out that are gone; what is there already is not computed again.
"""

import argparse
import hashlib
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from retrieval_data import DataError, Pictures, Processor  # noqa: E402

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def weights_hash(path):
    digest = hashlib.sha256()
    for name in ("config.json", "model_state.pdparams"):
        with open(os.path.join(path, name), "rb") as stream:
            for block in iter(lambda: stream.read(1 << 22), b""):
                digest.update(block)
    return digest.hexdigest()


class Index:
    """
    names: of the pictures, relative to the folder. features: [N, queries, D] of length 1, float32. weights: sha256 of the model.
    """

    def __init__(self, folder, weights, names, times, features):
        self.folder, self.weights, self.names, self.times, self.features = folder, weights, names, times, features

    @classmethod
    def read(cls, path):
        """Raises DataError where there is none, or it is broken."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                head = json.loads(str(stored["head"]))
                return cls(head["folder"], head["weights"], head["names"], head["times"], stored["features"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: is no index ({error}); next: retrieval_search.py embed FOLDER --index {path}")

    def write(self, path):
        """There as a whole or not at all."""
        head = {"folder": self.folder, "weights": self.weights, "names": self.names, "times": self.times}
        with open(path + ".part", "wb") as stream:
            np.savez(stream, head=np.array(json.dumps(head)), features=self.features)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(path + ".part", path)

    def search(self, feature, number=10):
        """The best (name, similarity) for a caption's feature [D]."""
        scores = (self.features @ feature).max(axis=1)
        return [(self.names[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:number]]

    def similar(self, feature, number=10):
        """The best (name, similarity) for a picture's feature [queries, D]: the cosine of each query's feature, mean over the queries."""
        scores = np.einsum("nqd,qd->n", self.features, feature) / len(feature)
        return [(self.names[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:number]]


class Searcher:
    """Model and processor. Args: path: directory of convert_retrieval.py. max_length: tokens of the words."""

    def __init__(self, path, max_length=35):
        import paddle
        from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval

        if not os.path.isfile(os.path.join(path, "config.json")):
            raise DataError(f"{path}: holds no config.json; next: convert_retrieval.py")
        self.paddle, self.weights = paddle, weights_hash(path)
        self.model = Blip2ForImageTextRetrieval.from_pretrained(path)
        config = self.model.config.vision_config
        self.processor = Processor(path, config.img_size, max_length)

    def words(self, text):
        """Feature [D] of words. Raises DataError where there are none."""
        if not text.strip():
            raise DataError("there are no words to search for; next: give some")
        ids, mask = self.processor.texts([text])
        with self.paddle.no_grad():
            return self.model.text_features(self.paddle.to_tensor(ids), self.paddle.to_tensor(mask)).numpy()[0]

    def cut(self, text):
        """Whether words are longer than the model reads; it reads their beginning."""
        return (
            len(self.processor.tokenizer.tokenize(self.processor.cleaner.pre_caption(text)))
            > self.processor.max_length - 2
        )

    def captions(self, path, batch_size=64):
        """(lines of a UTF-8 file that are not empty, their features [M, D])."""
        try:
            with open(path, encoding="utf-8-sig") as stream:
                lines = [line.strip() for line in stream if line.strip()]
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is not UTF-8 ({error}); next: save it as UTF-8")
        if not lines:
            raise DataError(f"{path}: holds no caption; next: write one a line")
        made = []
        for start in range(0, len(lines), batch_size):
            ids, mask = (
                self.paddle.to_tensor(value) for value in self.processor.texts(lines[start : start + batch_size])
            )
            with self.paddle.no_grad():
                made.append(self.model.text_features(ids, mask).numpy())
        return lines, np.concatenate(made)

    def picture(self, image):
        """Feature [queries, D] of a PIL image."""
        with self.paddle.no_grad():
            pixels = self.paddle.to_tensor(self.processor.pictures([image]))
            return self.model.image_features(self.model.image_embeds(pixels)).numpy()[0]

    def embed(self, folder, path, batch_size=16):
        """
        Makes or renews the index of a folder.

        Returns:
            (Index, number of pictures that were computed, names of files that are no pictures).
        """
        found = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
        names = sorted(os.path.relpath(one, folder) for one in found if one.lower().endswith(ENDINGS))
        if not names:
            raise DataError(f"{folder}: holds no picture ({', '.join(ENDINGS)}); next: look at the folder's name")
        old = Index.read(path) if os.path.exists(path) else None
        if old is not None and old.weights != self.weights:
            raise DataError(f"{path}: is of other weights; next: delete it, or take another --index")
        known = {} if old is None else {(name, time): i for i, (name, time) in enumerate(zip(old.names, old.times))}
        pictures, kept, times, features, broken, waiting, new = Pictures(folder), [], [], [], [], [], 0

        def compute():
            pixels = self.processor.pictures([image for _, _, image in waiting])
            with self.paddle.no_grad():
                made = self.model.image_features(self.model.image_embeds(self.paddle.to_tensor(pixels))).numpy()
            for (name, time, _), one in zip(waiting, made):
                kept.append(name), times.append(time), features.append(one)
            waiting.clear()

        for name in names:
            time = os.stat(os.path.join(folder, name)).st_mtime_ns
            if (name, time) in known:
                kept.append(name), times.append(time), features.append(old.features[known[name, time]])
                continue
            try:
                waiting.append((name, time, pictures.open(name)))
            except DataError:
                broken.append(name)
                continue
            new += 1
            if len(waiting) == batch_size:
                compute()
        if waiting:
            compute()
        if not kept:
            raise DataError(f"{folder}: none of {len(names)} files is a picture; next: look at them")
        made = Index(os.path.abspath(folder), self.weights, kept, times, np.stack(features))
        made.write(path)
        return made, new, broken


def answer(searcher, index, captions, request):
    """
    What retrieval_page.py asks for.

    Args:
        captions: what `Searcher.captions` returns, or None. request: {} | {"words": str, "number", "folder"} |
            {"picture": path, "number", "folder"}; small pictures (512 pixels) are written to the folder.

    Returns:
        {"pictures": number of the index, "captions": number} for {}, else {"found": [[path of the small picture, name, score]],
        "captions": [[text, score]], "cut": whether words were cut, "gone": names of pictures that cannot be read any more}.
    """
    if not request:
        return {"pictures": len(index.names), "captions": len(captions[0]) if captions else 0}
    lines, cut, found, gone = [], False, [], []
    if "words" in request:
        best = index.search(searcher.words(request["words"]), request["number"])
        cut = searcher.cut(request["words"])
    else:
        place, name = os.path.split(request["picture"])
        feature = searcher.picture(Pictures(place).open(name))
        best = index.similar(feature, request["number"])
        if captions:
            scores = (captions[1] @ feature.T).max(axis=1)
            order = np.argsort(-scores, kind="stable")[: request["number"]]
            lines = [[captions[0][i], float(scores[i])] for i in order]
    for name, score in best:
        try:
            small = Pictures(index.folder).open(name)
        except DataError:
            gone.append(name)
            continue
        small.thumbnail((512, 512))
        path = os.path.join(request["folder"], f"{len(found)}.png")
        small.save(path)
        found.append([path, name, score])
    return {"found": found, "captions": lines, "cut": cut, "gone": gone}


def serve(searcher, index, captions):
    """Lines of JSON on standard input are answered by lines on standard output; what is wrong with one is {"error": sentence}."""
    # what libraries print must not stand among the answers
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            made = answer(searcher, index, captions, json.loads(line))
        except (ValueError, TypeError, OSError) as error:
            made = {"error": str(error)}
        out.write(json.dumps(made) + "\n")
        out.flush()


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Search of pictures by words.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("embed", help="make or renew the index of a folder")
    one.add_argument("folder")
    one.add_argument("--batch_size", type=int, default=16)
    two = commands.add_parser("search", help="the best pictures for words")
    two.add_argument("words")
    two.add_argument("--number", type=int, default=10)
    three = commands.add_parser("answer", help="answer retrieval_page.py: lines of JSON")
    three.add_argument("--captions", help="UTF-8 file with a caption a line, which a picture is compared with")
    for each in (one, two, three):
        each.add_argument("--model", required=True, help="directory of convert_retrieval.py")
        each.add_argument("--index", required=True, help="the index file")
        each.add_argument("--max_length", type=int, default=35)
    args = parser.parse_args(argv)
    if min(getattr(args, "batch_size", 1), getattr(args, "number", 1)) < 1:
        parser.error("--batch_size and --number must be 1 or more")
    return args


def main(argv=None):
    """Exit status: 0 good; 1 an error, which is said; 3 files of the folder that are no pictures were left out."""
    args = arguments(argv)
    try:
        searcher = Searcher(args.model, args.max_length)
        if args.command != "embed":
            index = Index.read(args.index)
            if index.weights != searcher.weights:
                raise DataError(
                    f"{args.index}: is of other weights than {args.model}; next: embed again, into another --index"
                )
            if args.command == "answer":
                serve(searcher, index, searcher.captions(args.captions) if args.captions else None)
                return 0
            if searcher.cut(args.words):
                print(
                    f"the words are longer than {args.max_length} tokens; their beginning is searched for",
                    file=sys.stderr,
                )
            for name, score in index.search(searcher.words(args.words), args.number):
                print(f"{score:.4f} {os.path.join(index.folder, name)}")
            return 0
        index, new, broken = searcher.embed(args.folder, args.index, args.batch_size)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.index}: {len(index.names)} pictures, {new} computed")
    for name in broken:
        print(f"left out, no picture: {os.path.join(args.folder, name)}", file=sys.stderr)
    return 3 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
