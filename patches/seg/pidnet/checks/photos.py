"""Seven photographs that come inside the wheels of scikit-image and
scikit-learn, with labels derived by rules (nobody drew them):

    photograph             classes                  rule
    motorcycle_left.png    motorcycle, floor,       the measured disparity that comes with it (Middlebury 2014, a
                           other                    structured-light scan): floor = within 1.1 px of the plane fitted to
                                                    the lowest rows; motorcycle = nearer than that plane and than 40 px
                                                    of disparity; the rest is other; not measured = ignored
    brick, grass, gravel   paving, grass, gravel    the whole photograph shows one material: its title is the label
    coins.png              coin, other              top-hat with a disc of 71 px, Otsu threshold, closed, holes filled,
                                                    blobs under 500 px dropped
    flower.jpg             flower, other            red at least 40 above blue, holes filled, small blobs dropped
    rocket.jpg             sky, other               within 12 grey levels of a cubic surface fitted to the sky (8 rounds
                                                    of least squares on the inliers); the lowest fifth (lamps) is ignored

Two pixels on either side of every border between classes are ignored (255): a
rule is least sure there.

Training crops come from one part of each photograph, validation crops from
the other part (40 % of the width, never seen in training). So the figure says
how well a network learns these surfaces from little data, NOT how it would do
on new photographs.
"""

import functools
import hashlib
import os

import cv2
import numpy as np

CLASSES = ("other", "motorcycle", "floor", "paving", "grass", "gravel", "coin", "flower", "sky")
(OTHER, MOTORCYCLE, FLOOR, PAVING, GRASS, GRAVEL, COIN, FLOWER, SKY) = range(9)
IGNORE = 255
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:9] = [
    (70, 70, 70),
    (220, 30, 30),
    (200, 160, 110),
    (150, 80, 60),
    (60, 150, 50),
    (150, 150, 160),
    (235, 200, 60),
    (250, 130, 40),
    (90, 150, 220),
]

# file, sha256 of the file, the side that is kept for validation
SOURCES = {
    "motorcycle_left.png": ("db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179", "right"),
    "brick.png": ("7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf", "right"),
    "grass.png": ("b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89", "right"),
    "gravel.png": ("c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12", "right"),
    "coins.png": ("f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba", "right"),
    "flower.jpg": ("a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638", "left"),
    "rocket.jpg": ("c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c", "right"),
}
HEIGHT = 512  # every photograph is brought to this height first


def _folder(name):
    if name == "flower.jpg":
        import sklearn

        return os.path.join(os.path.dirname(sklearn.__file__), "datasets", "images")
    import skimage

    return os.path.join(os.path.dirname(skimage.__file__), "data")


def _solid(mask, least):
    """Holes filled, blobs under `least` pixels dropped."""
    shapes, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    solid = np.zeros(mask.shape, np.uint8)
    for shape in shapes:
        if cv2.contourArea(shape) >= least:
            cv2.drawContours(solid, [shape], -1, 1, -1)
    return solid.astype(bool)


def _motorcycle(image):
    disparity = np.load(os.path.join(_folder("motorcycle_left.png"), "motorcycle_disp.npz"))["arr_0"]
    known = np.isfinite(disparity)
    rows, columns = np.mgrid[0 : disparity.shape[0], 0 : disparity.shape[1]]
    low = known & (rows > 0.90 * disparity.shape[0])
    design = np.stack([rows[low], columns[low], np.ones(low.sum())], 1)
    plane = np.linalg.lstsq(design, disparity[low], rcond=None)[0]
    floor = plane[0] * rows + plane[1] * columns + plane[2]
    label = np.full(disparity.shape, OTHER, np.uint8)
    with np.errstate(invalid="ignore"):
        near = (disparity > floor + 1.1) & (disparity > 40)
        label[near] = MOTORCYCLE
        label[np.abs(disparity - floor) <= 1.1] = FLOOR
    label[~known] = IGNORE
    return label


def _coins(image):
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (71, 71))
    above = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, wide)
    _, mask = cv2.threshold(above, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return np.where(_solid(mask, 500), COIN, OTHER).astype(np.uint8)


def _flower(image):
    image = cv2.GaussianBlur(image, (5, 5), 0).astype(np.int32)
    mask = image[..., 2] - image[..., 0] > 40
    return np.where(_solid(mask, 500), FLOWER, OTHER).astype(np.uint8)


def _rocket(image):
    high, wide = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : high * 1j, -1 : 1 : wide * 1j]
    terms = np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], -1)
    image = image.astype(np.float64)
    inside = y < 0.5
    for _ in range(8):
        fit = np.linalg.lstsq(terms[inside], image[inside], rcond=None)[0]
        far = np.abs(image - terms @ fit).max(2)
        inside = (far < 12) & (y < 0.6)
    label = np.where(far < 12, SKY, OTHER).astype(np.uint8)
    label[y > 0.6] = IGNORE
    return label


RULES = {
    "motorcycle_left.png": _motorcycle,
    "brick.png": PAVING,
    "grass.png": GRASS,
    "gravel.png": GRAVEL,
    "coins.png": _coins,
    "flower.jpg": _flower,
    "rocket.jpg": _rocket,
}


@functools.lru_cache(maxsize=None)
def photograph(name):
    """One photograph, HEIGHT pixels high, and its derived label."""
    path = os.path.join(_folder(name), name)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"photos: {path} is missing; next: install scikit-image 0.24 and scikit-learn 1.5 (their wheels hold the photographs)"
        )
    with open(path, "rb") as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    if digest != SOURCES[name][0]:
        raise ValueError(
            f"photos: {path} has sha256 {digest}, the rules were written for "
            f"{SOURCES[name][0]}; next: install scikit-image 0.24 and "
            "scikit-learn 1.5"
        )
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    rule = RULES[name]
    label = rule(image) if callable(rule) else np.full(image.shape[:2], rule, np.uint8)
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    image = cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(label, (width, HEIGHT), interpolation=cv2.INTER_NEAREST)
    five = np.ones((5, 5), np.uint8)
    known = label != IGNORE
    high = cv2.dilate(np.where(known, label, 0).astype(np.uint8), five)
    low = cv2.erode(label, five)
    label[known & (high != low)] = IGNORE
    return image, label


def make(seed, split, index, size):
    """One crop: (image uint8 BGR, label uint8); see streets.make.

    The photographs take turns. A crop is a rectangle of the aspect of `size`,
    144 to 200 pixels high, on the side of the photograph that belongs to
    `split`.
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, ("train", "val").index(split), index])
    name = list(SOURCES)[index % len(SOURCES)]
    image, label = photograph(name)
    width = image.shape[1]
    cut = round(0.4 * width)
    if SOURCES[name][1] == "right":
        first, last = ((0, width - cut), (width - cut, width))[split == "val"]
    else:
        first, last = ((cut, width), (0, cut))[split == "val"]
    tall = rng.integers(144, 201)
    wide = min(round(tall * size[1] / size[0]), last - first)
    tall = round(wide * size[0] / size[1])
    x = rng.integers(first, last - wide + 1)
    y = rng.integers(0, HEIGHT - tall + 1)
    part = (slice(y, y + tall), slice(x, x + wide))
    image = cv2.resize(image[part], size[::-1], interpolation=cv2.INTER_AREA)
    label = cv2.resize(label[part], size[::-1], interpolation=cv2.INTER_NEAREST)
    return image, label
