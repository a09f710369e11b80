"""Re-identification in small: features of pairs of photographs, and the matrix of their cosines for two semantic weights.

    python checks/demo.py --out DIR [--semantic-weights 0.2 1.0]

The model is that of the shipped re-ID configuration, built by the suite, with smaller images (96x48). Eight photographs of
scikit-image take the place of eight persons, and the weights are random, as neither the data set nor the trained weights are
here: this shows the way from pictures to cosines, and what the semantic weight does to them, not quality. View A and view B are
other cut-outs with other light, B is mirrored; of the motorcycle they are two real cameras.

cosine.png: the views, and the cosines of all A with all B.
"""

import matplotlib
import numpy as np
import paddle
import paddle.nn.functional as F
from ppcls.arch import build_model
from ppcls.utils import logger
from ppcls.utils.config import parse_config
from skimage import data
from skimage.transform import resize

from proving.record import arguments, write_metrics

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

CONFIG = "ppcls/configs/reid/SOLIDER/swin_tiny_softmax_triplet.yaml"
SIZE = (96, 48)
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field", "immunohistochemistry", "motorcycle")


def photographs():
    """[(photograph for A, photograph for B)], float in [0, 1]."""
    found = []
    for name in PHOTOS:
        if name == "motorcycle":
            left, right, _ = data.stereo_motorcycle()
        else:
            left = right = getattr(data, name)()[..., :3]
        step = max(1, left.shape[0] // 250)
        found.append((left[::step, ::step] / 255.0, right[::step, ::step] / 255.0))
    return found


def cut(photo, top, left, share=0.7):
    """A cut-out of `share` of the height, in the shape of the model's input; top and left in [0, 1]."""
    height = int(photo.shape[0] * share)
    width = min(int(height * SIZE[1] / SIZE[0]), photo.shape[1])
    y, x = int((photo.shape[0] - height) * top), int((photo.shape[1] - width) * left)
    return resize(photo[y : y + height, x : x + width], SIZE, anti_aliasing=True)


def views(photos):
    """Pictures A and B of every identity, (8, H, W, 3)."""
    first = [cut(a, 0.2, 0.45) for a, _ in photos]
    second = [np.clip(0.8 * cut(b, 0.7, 0.6) + 0.05, 0, 1)[:, ::-1] for _, b in photos]
    return np.array(first), np.array(second)


def tensor(images):
    return paddle.to_tensor(((images - 0.5) / 0.5).transpose(0, 3, 1, 2).astype("float32"))


def cosines(model, pictures):
    """(8, 8) of A with B, of the feature that retrieval takes."""
    model.eval()
    with paddle.no_grad():
        a, b = (F.normalize(model(tensor(p))["backbone"]) for p in pictures)
        return paddle.matmul(a, b, transpose_y=True).numpy()


def judge(matrix):
    """(share of correct first ranks in both directions, mean cosine of the pairs, of the others)."""
    own = np.arange(len(matrix))
    rank1 = ((matrix.argmax(0) == own).mean() + (matrix.argmax(1) == own).mean()) / 2
    pairs = np.eye(len(matrix), dtype=bool)
    return rank1, matrix[pairs].mean(), matrix[~pairs].mean()


def draw(path, pictures, matrices):
    """matrices: {title: matrix}, two of them."""
    count = len(pictures[0])
    figure = pyplot.figure(figsize=(13, 6.2))
    for side, (title, matrix) in enumerate(matrices.items()):
        grid = figure.add_gridspec(
            count + 1, count + 1, left=0.03 + 0.5 * side, right=0.48 + 0.5 * side, bottom=0.03, top=0.86, wspace=0.05, hspace=0.05
        )
        axes = figure.add_subplot(grid[1:, 1:])
        axes.imshow(matrix, vmin=-0.2, vmax=1, cmap="viridis", aspect="auto")
        for y, x in np.ndindex(matrix.shape):
            axes.text(
                x,
                y,
                "%.2f" % matrix[y, x],
                ha="center",
                va="center",
                fontsize=8,
                color="black" if matrix[y, x] > 0.6 else "white",
                weight="bold" if x == y else "normal",
            )
        axes.set_axis_off()
        for i in range(count):
            for place, picture in ((grid[i + 1, 0], pictures[0][i]), (grid[0, i + 1], pictures[1][i])):
                thumb = figure.add_subplot(place)
                thumb.imshow(picture)
                thumb.set_axis_off()
        rank1, own, other = judge(matrix)
        figure.text(0.255 + 0.5 * side, 0.92, "%s: rank-1 %.2f, pairs %.2f, others %.2f" % (title, rank1, own, other), ha="center")
    figure.text(0.5, 0.97, "SOLIDER (Swin tiny), cosine of the features: view A (rows) with view B (columns)", ha="center")
    figure.savefig(path, dpi=80)


def main():
    args = arguments(lambda parser: parser.add_argument("--semantic-weights", nargs=2, type=float, default=[0.2, 1.0]))
    logger.init_logger()
    paddle.seed(2)
    config = parse_config(CONFIG)
    config["Arch"]["Backbone"].update(img_size=list(SIZE), drop_path_rate=0.0)
    config["Arch"]["Head"]["class_num"] = len(PHOTOS)
    model = build_model(config)
    pictures = views(photographs())
    matrices, metrics = {}, {}
    for weight in args.semantic_weights:
        model.backbone.semantic_weight = weight
        matrix = cosines(model, pictures)
        matrices["semantic weight %g" % weight] = matrix
        rank1, own, other = judge(matrix)
        metrics.update({"rank1.%g" % weight: rank1, "margin.%g" % weight: own - other})
    first, second = matrices.values()
    metrics["largest_change"] = np.abs(first - second).max()
    draw(args.out + "/cosine.png", pictures, matrices)
    metrics = {name: float(value) for name, value in metrics.items()}
    print(metrics)
    write_metrics(args.out, metrics, pictures=["cosine.png"])


if __name__ == "__main__":
    main()
