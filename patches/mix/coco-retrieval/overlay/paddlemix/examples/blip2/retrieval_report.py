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
Report of a retrieval run: recall, and the worst failures with their pictures, as markdown and as one HTML file without links to elsewhere.
"""

import base64
import html
import io
import os

import numpy as np

__all__ = ["write_report"]

NAMES = ("txt_r1", "txt_r5", "txt_r10", "img_r1", "img_r5", "img_r10", "r_mean")
# arXiv:2301.12597, table 5, fine-tuned on COCO; other weights and another run than what is reported here
PUBLISHED = {
    "BLIP-2 ViT-L": (83.5, 96.0, 98.0, 66.3, 86.5, 91.8),
    "BLIP-2 ViT-g": (85.4, 97.0, 98.5, 68.3, 87.7, 92.6),
}


def write_report(root, results, evaluation, found, logits, ranks, worst=10):
    """
    report.md and report.html.

    Args:
        found: [`Candidates`]. logits: of `Evaluation.match`, or None without matching. ranks: (of images, of captions). worst: of each side.
    """
    manifest = results["manifest"]
    head = [
        "# Image-text retrieval\n",
        f"Model {manifest['model']['name']}, sha256 `{manifest['model']['sha256'][:16]}`; {manifest['images']} pictures and "
        f"{manifest['captions']} captions of {manifest['annotations']['name']}, split {manifest['split']}; the best {manifest['k_test']} of "
        "each side are matched.\n",
        "txt: a picture's captions are looked for; img: a caption's picture. By chance, one guess finds "
        f"{100 * np.mean([len(row['captions']) for row in evaluation.rows]) / manifest['captions']:.3f} % of the captions and "
        f"{100 / manifest['images']:.3f} % of the pictures.\n",
        "| | " + " | ".join(NAMES) + " |",
        "|---|" + "---|" * len(NAMES),
    ]
    for name, made in results["recall"].items():
        head.append(f"| {name} | " + " | ".join(f"{made[key]:.2f}" for key in NAMES) + " |")
    head += [
        "\nPublished for COCO's 5,000 test pictures (arXiv:2301.12597, table 5): other weights, another run, for orientation.\n",
        "| | " + " | ".join(NAMES[:6]) + " |",
        "|---|" + "---|" * 6,
    ]
    head += [f"| {name} | " + " | ".join(map(str, values)) + " |" for name, values in PUBLISHED.items()]
    with open(os.path.join(root, "report.md.part"), "w", encoding="utf-8") as stream:
        stream.write("\n".join(head) + "\n")
    os.replace(stream.name, os.path.join(root, "report.md"))
    cards = ["<h2>Pictures whose captions are found last</h2>"]
    for image in np.argsort(-ranks[0], kind="stable")[:worst]:
        scores = found.caption_scores[image].astype(np.float64)
        best = found.best_captions[image]
        if logits is not None:
            scores = scores + logits(np.full(len(best), image), best)
        top = best[np.argsort(-scores, kind="stable")[:5]]
        cards.append(f"<section>{_picture(evaluation, image)}<p>rank {ranks[0][image] + 1}</p><ol>")
        cards += [f"<li>{html.escape(evaluation.captions[one])}</li>" for one in top]
        cards.append("</ol><p>right:</p><ul>")
        cards += [f"<li>{html.escape(one)}</li>" for one in evaluation.rows[image]["captions"]]
        cards.append("</ul></section>")
    cards.append("<h2>Captions whose picture is found last</h2>")
    for caption in np.argsort(-ranks[1], kind="stable")[:worst]:
        scores, best = found.image_scores[caption].astype(np.float64), found.best_images[caption]
        if logits is not None:
            scores = scores + logits(best, np.full(len(best), caption))
        top = best[np.argsort(-scores, kind="stable")[:5]]
        cards.append(f"<section><p>{html.escape(evaluation.captions[caption])}: rank {ranks[1][caption] + 1}</p>")
        cards += [_picture(evaluation, one) for one in top]
        cards.append(f"<p>right: {_picture(evaluation, found.owners[caption])}</p></section>")
    style = "body {font-family: sans-serif; max-width: 60em; margin: auto} section {border-top: 1px solid; padding: 1em 0} img {margin: 2px}"
    page = f'<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{style}</style>'
    page += f"<title>Image-text retrieval</title></head><body><pre>{html.escape(chr(10).join(head))}</pre>{''.join(cards)}</body></html>"
    with open(os.path.join(root, "report.html.part"), "w", encoding="utf-8") as stream:
        stream.write(page.replace("<pre>", '<pre style="white-space: pre-wrap">'))
    os.replace(stream.name, os.path.join(root, "report.html"))


def _picture(evaluation, index):
    """A small picture inside of the page."""
    image = evaluation.pictures.open(evaluation.rows[index]["image"]).convert("RGB")
    image.thumbnail((160, 160))
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=80)
    return f'<img alt="{html.escape(evaluation.rows[index]["image"])}" src="data:image/jpeg;base64,{base64.b64encode(sink.getvalue()).decode()}">'
