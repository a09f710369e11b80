"""A labelled street set made from a seed: small enough for a CPU, hard enough
that a network has to use shape and context and not only colour.

Every picture is a street seen through a pinhole camera (1.2 to 1.9 m above the
ground, random pitch, roll, focal length and lateral place). What stands in it
has a size in metres and a depth, and is painted from far to near on a canvas
of twice the size, picture and label at once: occlusion is right by
construction. The 11 classes and their order are those of CamVid.

    python streets.py --out DIR                    # build in two processes, compare, metrics.json and a contact sheet
    python streets.py --out DIR --write 300 60     # only write the set (PaddleSeg's file lists) to DIR
    python streets.py --out DIR --photos           # the set of photographs (photos.py) in place of the streets

Pixels with label 255 (the bonnet of the own car, bins, unclear far ends) do
not count, neither for losses nor for the mIoU.
"""

import argparse
import hashlib
import math
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np

CLASSES = ("sky", "building", "pole", "road", "sidewalk", "tree", "sign", "fence", "car", "pedestrian", "cyclist")
(SKY, BUILDING, POLE, ROAD, SIDEWALK, TREE, SIGN, FENCE, CAR, PEDESTRIAN, CYCLIST) = range(11)
IGNORE = 255

# The same things under the train ids of Cityscapes (19 classes).
CITYSCAPES_IDS = {
    SKY: 10,
    BUILDING: 2,
    POLE: 5,
    ROAD: 0,
    SIDEWALK: 1,
    TREE: 8,
    SIGN: 7,
    FENCE: 4,
    CAR: 13,
    PEDESTRIAN: 11,
    CYCLIST: 18,
}

# Colours of CamVid, for pictures (RGB).
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:11] = [
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 128),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
]

SUPER = 2  # painted at twice the size
SUBPIXEL = 4  # bits of sub-pixel precision for cv2

#   name      sky top        sky horizon     light  warmth  contrast of sun
WEATHER = {
    "noon": ((214, 142, 84), (236, 206, 172), 1.00, 1.00, 0.35),
    "overcast": ((190, 184, 178), (214, 210, 206), 0.86, 1.00, 0.05),
    "low sun": ((196, 156, 122), (168, 206, 240), 0.92, 1.14, 0.45),
    "rain": ((132, 126, 120), (160, 154, 150), 0.66, 0.96, 0.02),
    "dusk": ((110, 76, 60), (120, 130, 176), 0.48, 1.06, 0.10),
}


class Street:
    """One scene. World: x to the right, y up, z ahead of the camera, metres;
    the ground is y = 0."""

    def __init__(self, rng, height, width):
        self.rng = rng
        self.h, self.w = height * SUPER, width * SUPER
        self.image = np.zeros((self.h, self.w, 3), np.uint8)
        self.label = np.full((self.h, self.w), IGNORE, np.uint8)
        self.eye = rng.uniform(1.2, 1.9)
        self.focal = self.w * rng.uniform(0.55, 0.85)
        self.horizon = self.h * rng.uniform(0.30, 0.52)
        self.centre = self.w * rng.uniform(0.30, 0.70)
        self.roll = np.tan(np.deg2rad(rng.uniform(-3.0, 3.0)))
        self.bend = rng.normal(0.0, 0.0016)  # the road's curvature
        self.weather = list(WEATHER)[rng.choice(5, p=[0.3, 0.25, 0.2, 0.12, 0.13])]
        (self.top, self.low, self.light, self.warmth, self.sun) = WEATHER[self.weather]
        self.sun_side = rng.choice([-1, 1])
        self.haze = rng.uniform(60, 220) * (0.45 if self.weather == "rain" else 1)
        self.things = []

    # -- camera -----------------------------------------------------------
    def project(self, points):
        """World points (n, 3) to pixels (n, 2) of the painted canvas."""
        points = np.asarray(points, np.float64)
        z = np.maximum(points[:, 2], 0.7)
        x = points[:, 0] + self.bend * z * z
        u = self.centre + self.focal * x / z
        v = self.horizon + self.focal * (self.eye - points[:, 1]) / z
        return np.stack([u, v + self.roll * (u - self.w / 2)], 1)

    def pixels(self, metres, z):
        return self.focal * metres / max(z, 0.7)

    # -- painting ---------------------------------------------------------
    def shade(self, colour, z, light=1.0):
        """A colour (BGR or one grey) in this light and haze, at depth z."""
        if np.ndim(colour) == 0:
            colour = (colour,) * 3
        fog = 1 - math.exp(-z / self.haze)
        light *= self.light * (1 - fog)
        glow = self.light**0.5 * fog
        b, g, r = (float(c) for c in colour)
        tone = (
            b * light * (2 - self.warmth) + glow * self.low[0],
            g * light + glow * self.low[1],
            r * light * self.warmth + glow * self.low[2],
        )
        return [min(max(c, 0.0), 255.0) for c in tone]

    def fill(self, pixels, colour, label=None):
        """A polygon given in canvas pixels, on the picture and, where `label`
        is given, on the label."""
        pixels = np.asarray(pixels, np.float64).clip(-8000, 8000)
        fixed = np.round(pixels * (1 << SUBPIXEL)).astype(np.int32)
        if colour is not None:
            cv2.fillPoly(self.image, [fixed], colour, shift=SUBPIXEL)
        if label is not None:
            cv2.fillPoly(self.label, [fixed], int(label), shift=SUBPIXEL)

    def quad(self, points, colour, label=None):
        self.fill(self.project(points), colour, label)

    def disc(self, centre, axes, colour, label=None):
        centre = tuple(round(min(max(float(c), -8e3), 8e3)) for c in centre)
        axes = tuple(round(min(max(float(a), 1), 4e3)) for a in axes)
        if colour is not None:
            cv2.ellipse(self.image, centre, axes, 0, 0, 360, colour, -1)
        if label is not None:
            cv2.ellipse(self.label, centre, axes, 0, 0, 360, int(label), -1)

    def line(self, pixels, width, colour, label=None):
        pixels = np.round(np.clip(pixels, -8000, 8000)).astype(np.int32)
        width = int(max(1, round(width)))
        cv2.polylines(self.image, [pixels], False, colour, width)
        if label is not None:
            cv2.polylines(self.label, [pixels], False, int(label), width)

    def later(self, z, paint):
        """Things that stand up are painted from far to near."""
        self.things.append((z, len(self.things), paint))

    # -- what is always there ----------------------------------------------
    def sky(self):
        h, w = self.h // 4, self.w // 4
        rows = np.linspace(0, 1, h)[:, None, None]
        stop = max(self.horizon / self.h, 0.05)
        share = np.clip(rows / stop, 0, 1)
        sky = np.asarray(self.top) * (1 - share) + np.asarray(self.low) * share
        clouds = cv2.resize(self.rng.random((6, 9)), (w, h), interpolation=cv2.INTER_CUBIC)
        clouds = np.clip(clouds - self.rng.uniform(0.35, 0.75), 0, 1)
        sky = sky + (clouds * 90 * self.light)[..., None]
        sky = (sky * self.light**0.35).clip(0, 255).astype(np.uint8)
        self.image = cv2.resize(sky, (self.w, self.h))
        self.label[:] = SKY

    def ground(self):
        rng = self.rng
        self.half = rng.uniform(3.2, 5.6)  # half of the road
        self.offset = rng.uniform(-0.55, 0.55) * self.half
        self.walk = rng.uniform(1.6, 3.4, size=2)  # left, right
        zs = np.concatenate([np.geomspace(0.7, 30, 18), [60, 120, 260]])

        def strip(x0, x1, colour, label, bump=0.0):
            left = [(x0, bump, z) for z in zs]
            right = [(x1, bump, z) for z in zs[::-1]]
            self.quad(left + right, colour, label)

        grey = rng.uniform(62, 118)
        tint = rng.normal(0, 5, 3)
        self.asphalt = np.clip(grey + tint, 20, 200)
        verge = rng.choice([0, 1], size=2, p=[0.65, 0.35])
        pave = np.clip(rng.uniform(95, 185) + rng.normal(0, 9, 3) + [-4, 0, 6], 30, 235)
        left, right = -self.half - self.offset, self.half - self.offset
        self.edges = (left, right)
        base = np.array([70, 112, 92]) * rng.uniform(0.6, 1.2)
        land = [(base, TREE), (pave * 0.93, SIDEWALK)]
        for side in (0, 1):
            colour, label = land[0] if verge[side] else land[1]
            near = (-90, left) if side == 0 else (right, 90)
            strip(*near, self.shade(colour, 12), label)
        strip(left - self.walk[0], left, self.shade(pave, 8), SIDEWALK)
        strip(right, right + self.walk[1], self.shade(pave, 8), SIDEWALK)
        strip(left, right, self.shade(self.asphalt, 8), ROAD)
        kerb = self.shade(pave * 1.15, 6)
        for x in (left, right):
            strip(x - 0.09, x + 0.09, kerb, SIDEWALK)
        self.crossing_street()
        self.marks(left, right)
        self.stains(left, right)
        self.joints(left, right, pave)

    def crossing_street(self):
        rng = self.rng
        self.crossing = None
        if rng.random() < 0.35:
            z0 = rng.uniform(12, 45)
            z1 = z0 + rng.uniform(6, 9)
            self.crossing = (z0, z1)
            self.quad([(-90, 0, z0), (90, 0, z0), (90, 0, z1), (-90, 0, z1)], self.shade(self.asphalt, z0), ROAD)

    def marks(self, left, right):
        """Lane marks, kerb lines, zebra: paint on the road, class road."""
        rng = self.rng
        white = self.shade([205, 215, 215], 5)
        if rng.random() < 0.8:
            x = -self.offset + rng.normal(0, 0.2)
            dash = rng.random() < 0.75
            z = rng.uniform(1.5, 4)
            while z < 70:
                end = z + (3.0 if dash else 6.0)
                self.quad(
                    [(x - 0.07, 0, z), (x + 0.07, 0, z), (x + 0.07, 0, end), (x - 0.07, 0, end)], self.shade([200, 210, 212], z)
                )
                z = end + (4.0 if dash else 0.0)
        if rng.random() < 0.3:
            z0 = rng.uniform(6, 16)
            for x in np.arange(left + 0.3, right - 0.3, 0.9):
                self.quad([(x, 0, z0), (x + 0.45, 0, z0), (x + 0.45, 0, z0 + 3), (x, 0, z0 + 3)], white)

    def stains(self, left, right):
        """Stains and repaired places."""
        rng = self.rng
        for _ in range(rng.integers(2, 7)):
            z = rng.uniform(3, 30)
            x = rng.uniform(left, right)
            size = rng.uniform(0.3, 1.6)
            pts = [(x + size * np.cos(a) * 0.8, 0, z + size * np.sin(a) * 1.8) for a in np.linspace(0, 6.28, 9)[:-1]]
            pts = [(np.clip(px, left, right), 0, pz) for px, _, pz in pts]
            self.quad(pts, self.shade(self.asphalt * rng.uniform(0.72, 1.2), z))

    def joints(self, left, right, pave):
        """The joints of the slabs."""
        rng = self.rng
        for x0, x1 in ((left - self.walk[0], left), (right, right + self.walk[1])):
            if rng.random() < 0.6:
                for z in np.arange(2, 24, 1.5):
                    self.line(self.project([(x0, 0, z), (x1, 0, z)]), 1, self.shade(pave * 0.82, z))

    def skyline(self):
        """What closes the street: hills, woods or far blocks."""
        rng = self.rng
        x = np.linspace(-self.w * 0.1, self.w * 1.1, 24)
        if rng.random() < 0.65:
            tall = rng.uniform(0.02, 0.10) * self.h
            y = self.horizon + self.roll * (x - self.w / 2)
            crest = y - tall * (0.5 + rng.random(24))
            shape = np.concatenate([np.stack([x, crest], 1), np.stack([x, y + 0.01 * self.h], 1)[::-1]])
            colour = np.array([70, 104, 84]) * rng.uniform(0.6, 1.1)
            self.fill(shape, self.shade(colour, 80), TREE)
        else:
            for _ in range(rng.integers(5, 12)):
                x0 = rng.uniform(-40, 40)
                x1 = x0 + rng.uniform(6, 16)
                tall = rng.uniform(5, 26)
                z = rng.uniform(110, 160)
                colour = rng.uniform(90, 190) + rng.normal(0, 14, 3)
                self.quad([(x0, 0, z), (x1, 0, z), (x1, tall, z), (x0, tall, z)], self.shade(colour, z), BUILDING)

    # -- along the street -------------------------------------------------
    def houses(self, side):
        rng = self.rng
        sign = -1 if side == 0 else 1
        edge = self.edges[side] + sign * self.walk[side]
        z = rng.uniform(0.5, 6)
        open_side = rng.random() < 0.12
        while z < 120:
            length = rng.uniform(7, 20)
            gap = rng.uniform(1, 9) if rng.random() < 0.28 else 0.0
            if self.crossing and z < self.crossing[1] and (z + length > self.crossing[0]):
                z = self.crossing[1] + 0.5
                continue
            if rng.random() < (0.75 if open_side else 0.10):
                z += length
                continue
            x = edge + sign * (rng.uniform(0, 0.4) if rng.random() < 0.6 else rng.uniform(1, 5))
            tall = rng.uniform(4, 9) if rng.random() < 0.45 else rng.uniform(9, 22)
            self.later(z + length / 2 + 0.3 * length, self._house(x, sign, z, z + length, tall))
            z += length + gap

    def _house(self, x, sign, z0, z1, tall):
        rng = self.rng
        hue = [(128, 156, 184), (150, 150, 156), (100, 122, 170), (196, 204, 210), (86, 96, 118), (168, 186, 204), (140, 128, 112)][
            rng.integers(7)
        ]
        wall = np.clip(np.asarray(hue) * rng.uniform(0.6, 1.15) + rng.normal(0, 8, 3), 15, 240)
        pane = np.clip(np.array([96, 84, 74]) * rng.uniform(0.4, 1.8), 10, 235)
        if self.weather == "dusk" and rng.random() < 0.6:
            pane = np.array([110, 190, 240])
        lit = 1 + self.sun * (0.6 if sign == -self.sun_side else -0.6)
        storey = rng.uniform(2.7, 3.5)
        width = rng.uniform(1.6, 3.2)
        base = rng.uniform(0.7, 1.0)
        roof = rng.random() < 0.4
        roof_colour = np.array([70, 78, 130]) * rng.uniform(0.5, 1.2)
        shop = rng.random() < 0.4
        shop_colour = rng.uniform(30, 220, 3)
        depth = rng.uniform(6, 14)
        drawn = SimpleNamespace(
            x=x,
            sign=sign,
            z0=z0,
            z1=z1,
            tall=tall,
            wall=wall,
            pane=pane,
            lit=lit,
            storey=storey,
            width=width,
            base=base,
            roof=roof,
            roof_colour=roof_colour,
            shop=shop,
            shop_colour=shop_colour,
            depth=depth,
        )
        return lambda: self._paint_house(drawn)

    def _paint_house(self, h):
        far = h.x + h.sign * h.depth
        front = self.shade(h.wall * 0.92, h.z0, 2 - h.lit)
        self.quad([(h.x, 0, h.z0), (far, 0, h.z0), (far, h.tall, h.z0), (h.x, h.tall, h.z0)], front, BUILDING)
        self.quad(
            [(h.x, 0, h.z0), (h.x, 0, h.z1), (h.x, h.tall, h.z1), (h.x, h.tall, h.z0)],
            self.shade(h.wall, (h.z0 + h.z1) / 2, h.lit),
            BUILDING,
        )
        if h.roof:
            self._paint_roof(h)
        if h.z1 > 75 or self.pixels(h.storey, h.z1) < 5:
            return
        if h.shop:
            self._paint_shop(h)
        self._paint_windows(h)

    def _paint_roof(self, h):
        peak = h.tall + 1.8
        self.quad(
            [(h.x, h.tall, h.z0), (h.x, h.tall, h.z1), (h.x + h.sign * 2.5, peak, h.z1), (h.x + h.sign * 2.5, peak, h.z0)],
            self.shade(h.roof_colour, h.z0),
            BUILDING,
        )
        self.quad(
            [(h.x, h.tall, h.z0), (h.x + h.sign * 2.5, peak, h.z0), (h.x + h.sign * 5, h.tall, h.z0)],
            self.shade(h.wall, h.z0, 2 - h.lit),
            BUILDING,
        )

    def _paint_shop(self, h):
        self.quad(
            [(h.x, 0.3, h.z0 + 0.5), (h.x, 0.3, h.z1 - 0.5), (h.x, 2.5, h.z1 - 0.5), (h.x, 2.5, h.z0 + 0.5)],
            self.shade(h.pane * 0.8, h.z0),
        )
        self.quad(
            [(h.x, 2.5, h.z0 + 0.3), (h.x, 2.5, h.z1 - 0.3), (h.x, 3.1, h.z1 - 0.3), (h.x, 3.1, h.z0 + 0.3)],
            self.shade(h.shop_colour, h.z0),
        )

    def _paint_windows(self, h):
        glass = self.shade(h.pane, (h.z0 + h.z1) / 2)
        floor = h.storey * (1.15 if h.shop else 0.35)
        while floor + h.storey * 0.7 < h.tall:
            at = h.z0 + h.width * 0.5
            while at + h.width * 0.5 < h.z1:
                if at + h.width * h.base * 0.5 > 0.9:
                    self.quad(
                        [
                            (h.x, floor, at),
                            (h.x, floor, at + h.width * 0.55),
                            (h.x, floor + h.storey * 0.55, at + h.width * 0.55),
                            (h.x, floor + h.storey * 0.55, at),
                        ],
                        glass,
                    )
                at += h.width
            floor += h.storey

    def tree(self, x, z):
        rng = self.rng
        tall = rng.uniform(3.5, 9)
        crown = rng.uniform(0.9, 2.3)
        blobs = rng.normal(0, 0.42, (9, 2))
        sizes = rng.uniform(0.35, 0.75, 9)
        bare = rng.random() < 0.12
        green = np.clip(np.array([52, 104, 82]) * rng.uniform(0.45, 1.3) + rng.normal(0, 10, 3), 8, 220)
        if rng.random() < 0.15:
            green = np.array([50, 110, 160]) * rng.uniform(0.6, 1.1)
        bark = np.array([58, 68, 80]) * rng.uniform(0.5, 1.2)
        tones = rng.uniform(0.7, 1.28, 9)
        speck = rng.normal(0, 0.5, (40, 2))

        def paint():
            foot, top = self.project([(x, 0, z), (x, tall - crown, z)])
            wide = max(self.pixels(0.28, z), 2)
            self.fill(
                [foot - [wide / 2, 0], foot + [wide / 2, 0], top + [wide / 3, 0], top - [wide / 3, 0]], self.shade(bark, z), TREE
            )
            r = self.pixels(crown, z)
            if bare:
                for dx, dy in speck[:14]:
                    self.line([top, top + [dx * r, -abs(dy) * r * 1.6]], max(wide / 4, 2), self.shade(bark, z), TREE)
                return
            for (dx, dy), size, tone in zip(blobs, sizes, tones):
                self.disc(top + [dx * r, dy * r * 0.9], (size * r, size * r * 0.9), self.shade(green, z, tone), TREE)
            for dx, dy in speck if r > 12 else ():  # leaves
                self.disc(top + [dx * r * 0.8, dy * r * 0.7], (r * 0.07, r * 0.07), self.shade(green, z, 1.25 if dy < 0 else 0.66))

        self.later(z, paint)

    def hedge(self, x, z):
        rng = self.rng
        length, tall = rng.uniform(2, 8), rng.uniform(0.6, 1.5)
        green = np.array([50, 96, 72]) * rng.uniform(0.5, 1.2)

        def paint():
            self.quad([(x, 0, z), (x, 0, z + length), (x, tall, z + length), (x, tall, z)], self.shade(green, z), TREE)
            wide = 0.7 * np.sign(x)
            self.quad([(x, 0, z), (x + wide, 0, z), (x + wide, tall, z), (x, tall, z)], self.shade(green * 0.8, z), TREE)

        self.later(z + length / 2, paint)

    def fence(self, x, z):
        rng = self.rng
        length, tall = rng.uniform(4, 14), rng.uniform(0.8, 1.5)
        tone = rng.uniform(50, 220) + rng.normal(0, 10, 3)
        solid = rng.random() < 0.3
        step = rng.uniform(0.35, 0.9)

        def paint():
            area = [(x, 0, z), (x, 0, z + length), (x, tall, z + length), (x, tall, z)]
            colour = self.shade(tone, z)
            self.quad(area, colour if solid else None, FENCE)
            if solid:
                for at in np.arange(z, z + length, step * 2):
                    self.line(self.project([(x, 0, at), (x, tall, at)]), 1, self.shade(tone * 0.7, at))
                return
            for at in np.arange(z, z + length, step):
                self.line(self.project([(x, 0, at), (x, tall, at)]), self.pixels(0.05, at), self.shade(tone, at))
            for y in (tall * 0.25, tall * 0.97):
                self.line(self.project([(x, y, z), (x, y, z + length)]), self.pixels(0.05, z), colour)

        self.later(z + length / 2, paint)

    def pole(self, x, z, kind):
        """kind: lamp, sign, light (traffic light) or mast (carries wires)."""
        rng = self.rng
        tall = {"lamp": 6.5, "sign": 2.6, "light": 3.4, "mast": 7.5}[kind]
        tall *= rng.uniform(0.85, 1.2)
        tone = rng.uniform(45, 190) + rng.normal(0, 5, 3)
        if kind == "mast":
            tone = np.array([62, 78, 92]) * rng.uniform(0.7, 1.3)
        lean = rng.normal(0, 0.02)
        side = -1 if x > -self.offset else 1
        face = [(40, 40, 205), (190, 90, 20), (40, 190, 225), (220, 225, 225), (70, 130, 40)][rng.integers(5)]
        shape = rng.integers(3)
        size = rng.uniform(0.28, 0.5)
        thick = {"sign": 0.07, "lamp": 0.13, "light": 0.12, "mast": 0.22}[kind]
        lamp = rng.integers(3)
        drawn = SimpleNamespace(
            x=x,
            z=z,
            kind=kind,
            tall=tall,
            tone=tone,
            lean=lean,
            side=side,
            face=face,
            shape=shape,
            size=size,
            thick=thick,
            lamp=lamp,
        )
        self.later(z - 0.05, lambda: self._paint_pole(drawn))
        return np.array([x, tall, z])

    def _paint_pole(self, p):
        foot, top = self.project([(p.x, 0, p.z), (p.x + p.lean, p.tall, p.z)])
        wide = max(self.pixels(p.thick, p.z), 2)
        colour = self.shade(p.tone, p.z)
        self.fill([foot - [wide / 2, 0], foot + [wide / 2, 0], top + [wide / 2, 0], top - [wide / 2, 0]], colour, POLE)
        part = {"lamp": self._paint_lamp, "mast": self._paint_arm, "sign": self._paint_sign, "light": self._paint_light}[p.kind]
        part(p, top, wide, colour)

    def _paint_lamp(self, p, top, wide, colour):
        head = self.project([(p.x + p.side * 1.5, p.tall * 1.03, p.z)])[0]
        self.line([top, head], wide * 0.8, colour, POLE)
        self.line(
            [head, head - [p.side * self.pixels(0.5, p.z), 0]],
            wide * 1.4,
            self.shade([225, 235, 240], p.z) if self.weather == "dusk" else colour,
            POLE,
        )

    def _paint_arm(self, p, top, wide, colour):
        arm = self.pixels(0.9, p.z)
        self.line([top - [arm, 0], top + [arm, 0]], wide * 0.7, colour, POLE)

    def _paint_sign(self, p, top, wide, colour):
        r = max(self.pixels(p.size, p.z), 2)
        at = top + [0, r * 0.6]
        rim = self.shade([215, 220, 225], p.z)
        if p.shape == 0:
            self.disc(at, (r, r), self.shade(p.face, p.z), SIGN)
            self.disc(at, (r * 0.6, r * 0.6), rim)
        elif p.shape == 1:
            tri = np.array([(0, -1), (1, 0.8), (-1, 0.8)]) * r + at
            self.fill(tri, self.shade((45, 45, 200), p.z), SIGN)
            self.fill((tri - at) * 0.55 + at + [0, r * 0.12], rim)
        else:
            box = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * r
            self.fill(box * [1.3, 0.8] + at, self.shade(p.face, p.z), SIGN)
            self.fill(box * [1.0, 0.12] + at, rim)

    def _paint_light(self, p, top, wide, colour):
        w, h = self.pixels(0.20, p.z), self.pixels(0.5, p.z)
        at = top - [0, h * 0.4]
        box = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * [w, h]
        self.fill(box + at, self.shade([36, 36, 36], p.z), SIGN)
        for i, glow in enumerate(((50, 50, 235), (40, 170, 235), (80, 210, 60))):
            self.disc(
                at + [0, (i - 1) * h * 0.62], (w * 0.5, w * 0.5), glow if i == p.lamp else self.shade(np.asarray(glow) * 0.25, p.z)
            )

    def wires(self, tops):
        """Between masts: 2 pixels of the painted canvas, one of the picture."""
        for first, last in zip(tops[:-1], tops[1:]):
            sag = self.rng.uniform(0.2, 0.7)
            share = np.linspace(0, 1, 12)[:, None]
            curve = first * (1 - share) + last * share
            curve[:, 1] -= sag * 4 * (share * (1 - share))[:, 0]
            for dx in (-0.7, 0.7):
                moved = curve + [dx, 0, 0]
                z = moved[0, 2]
                colour = self.shade([34, 34, 34], z)
                self.later(max(z, last[2]), lambda p=moved, c=colour: self.line(self.project(p), SUPER, c, POLE))

    # -- who moves --------------------------------------------------------
    def car(self, x, z, facing):
        """facing +1: seen from behind, -1: it comes towards us."""
        rng = self.rng
        van = rng.random() < 0.2
        wide, tall, length = (2.1, 2.4, 5.2) if van else (1.8, rng.uniform(1.4, 1.65), 4.2)
        paints = [
            (40, 40, 160),
            (150, 60, 40),
            (30, 30, 34),
            (200, 202, 204),
            (120, 122, 124),
            (70, 110, 60),
            (60, 150, 200),
            (90, 70, 60),
        ]
        body = np.clip(np.asarray(paints[rng.integers(8)]) * rng.uniform(0.7, 1.15) + rng.normal(0, 6, 3), 8, 245)
        glass = np.array([80, 70, 62]) * rng.uniform(0.5, 1.4)
        drawn = SimpleNamespace(x=x, z=z, facing=facing, van=van, wide=wide, tall=tall, length=length, body=body, glass=glass)
        self.later(z, lambda: self._paint_car(drawn))

    def _paint_car(self, c):
        a, b = c.x - c.wide / 2, c.x + c.wide / 2
        z1 = c.z + c.length
        mid = c.tall * (0.9 if c.van else 0.58)
        inset = 0.06 if c.van else 0.22
        # shadow on the ground, picture only
        self.quad(
            [(a - 0.15, 0, c.z - 0.2), (b + 0.15, 0, c.z - 0.2), (b + 0.25, 0, z1), (a - 0.25, 0, z1)],
            self.shade(self.asphalt * 0.42, c.z),
        )
        self._paint_flank(c, a, b, z1, mid, inset)
        self._paint_body(c, a, b, z1, mid, inset)
        self._paint_lights(c, a, b, mid)

    def _paint_flank(self, c, a, b, z1, mid, inset):
        near = a if c.x > 0 else b  # which flank we see
        flank = self.shade(c.body, c.z, 1 - self.sun * 0.4)
        self.quad([(near, 0.25, c.z), (near, 0.25, z1), (near, mid, z1), (near, mid, c.z)], flank, CAR)
        cab = near + (inset if near == a else -inset)
        self.quad(
            [(near, mid, c.z + 0.1), (near, mid, z1 - 0.9), (cab, c.tall, z1 - 1.5), (cab, c.tall, c.z + 0.4)],
            self.shade(c.glass * 0.9, c.z),
            CAR,
        )
        for at in (c.z + 0.75, z1 - 0.75):
            wheel = self.project([(near, 0.3, at)])[0]
            r = self.pixels(0.31, at)
            self.disc(wheel, (r * 0.45, r), self.shade([24, 24, 24], at), CAR)

    def _paint_body(self, c, a, b, z1, mid, inset):
        self.quad(
            [(a, c.tall, c.z + 0.4), (b, c.tall, c.z + 0.4), (b, c.tall, z1 - 1.4), (a, c.tall, z1 - 1.4)],
            self.shade(c.body * 1.1, c.z),
            CAR,
        )
        self.quad([(a, 0.25, c.z), (b, 0.25, c.z), (b, mid, c.z), (a, mid, c.z)], self.shade(c.body, c.z), CAR)
        self.quad(
            [(a, mid, c.z), (b, mid, c.z), (b - inset, c.tall, c.z + 0.3), (a + inset, c.tall, c.z + 0.3)],
            self.shade(c.body * 0.9, c.z),
            CAR,
        )
        self.quad(
            [
                (a + 0.14, mid + 0.02, c.z),
                (b - 0.14, mid + 0.02, c.z),
                (b - inset - 0.1, c.tall - 0.1, c.z + 0.3),
                (a + inset + 0.1, c.tall - 0.1, c.z + 0.3),
            ],
            self.shade(c.glass, c.z),
        )

    def _paint_lights(self, c, a, b, mid):
        tyre = self.shade([22, 22, 22], c.z)
        for edge in (a, b - 0.24):
            self.quad([(edge, 0, c.z), (edge + 0.24, 0, c.z), (edge + 0.24, 0.3, c.z), (edge, 0.3, c.z)], tyre, CAR)
        bright = [(50, 50, 225), (235, 240, 245)][int(c.facing < 0)]
        if self.weather != "dusk":
            bright = self.shade(bright, c.z)
        for edge in (a + 0.05, b - 0.4):
            self.quad(
                [(edge, mid * 0.62, c.z), (edge + 0.35, mid * 0.62, c.z), (edge + 0.35, mid * 0.85, c.z), (edge, mid * 0.85, c.z)],
                bright,
            )
        self.quad(
            [(c.x - 0.28, 0.38, c.z), (c.x + 0.28, 0.38, c.z), (c.x + 0.28, 0.52, c.z), (c.x - 0.28, 0.52, c.z)],
            self.shade([205, 210, 210], c.z),
        )

    def _body(self, x, y, z, tall, rng):
        """A standing or riding person as canvas shapes; painted by caller."""
        coat = rng.uniform(15, 225, 3) * rng.uniform(0.4, 1)
        legs = np.array([90, 66, 54]) * rng.uniform(0.3, 1.3)
        skin = np.array([110, 150, 205]) * rng.uniform(0.45, 1.1)
        hair = rng.uniform(15, 90, 3)
        stride = rng.uniform(0.02, 0.34)
        turn = rng.uniform(0.75, 1.2)
        bag = rng.random() < 0.3
        bag_colour = rng.uniform(20, 220, 3)
        return dict(coat=coat, legs=legs, skin=skin, hair=hair, stride=stride, turn=turn, bag=bag, bag_colour=bag_colour)

    def pedestrian(self, x, z):
        rng = self.rng
        tall = rng.uniform(1.5, 1.9) * (0.68 if rng.random() < 0.12 else 1)
        who = self._body(x, 0, z, tall, rng)

        def paint():
            foot = self.project([(x, 0, z)])[0]
            unit = self.pixels(tall, z)
            half = 0.14 * unit * who["turn"]
            hip, neck = foot - [0, 0.48 * unit], foot - [0, 0.84 * unit]
            self.disc(foot, (half * 1.6, unit * 0.03), self.shade(self.asphalt * 0.5, z))
            for way in (-1, 1):
                toe = foot + [way * who["stride"] * unit * 0.5, 0]
                self.fill(
                    [hip + [way * half * 0.75, 0], hip, toe - [half * 0.1, 0], toe + [way * half * 0.45, 0]],
                    self.shade(who["legs"], z),
                    PEDESTRIAN,
                )
            self.fill(
                [hip + [half * 0.85, unit * 0.03], hip - [half * 0.85, -unit * 0.03], neck - [half, 0], neck + [half, 0]],
                self.shade(who["coat"], z),
                PEDESTRIAN,
            )
            for way in (-1, 1):
                hand = hip + [way * (half * 1.25 + who["stride"] * unit * 0.2), 0]
                self.line(
                    [neck + [way * half, unit * 0.03], hand], max(unit * 0.055, 2), self.shade(who["coat"] * 0.85, z), PEDESTRIAN
                )
            if who["bag"]:
                self.disc(hip + [half * 1.3, 0], (unit * 0.07, unit * 0.09), self.shade(who["bag_colour"], z), PEDESTRIAN)
            head = foot - [0, 0.925 * unit]
            self.disc(head, (0.062 * unit, 0.078 * unit), self.shade(who["skin"], z), PEDESTRIAN)
            self.disc(head - [0, 0.03 * unit], (0.064 * unit, 0.048 * unit), self.shade(who["hair"], z), PEDESTRIAN)

        self.later(z, paint)

    def cyclist(self, x, z):
        rng = self.rng
        who = self._body(x, 0, z, 1.75, rng)
        across = rng.uniform(0.25, 1.0)  # 1: seen from the side
        frame = rng.uniform(20, 210, 3)

        def paint():
            foot = self.project([(x, 0, z)])[0]
            m = self.pixels(1.0, z)
            r = 0.34 * m
            hubs = [foot + [way * 0.52 * m * across, -r] for way in (-1, 1)]
            self.disc(foot, (m * 0.6 * across, m * 0.04), self.shade(self.asphalt * 0.5, z))
            for hub in hubs:
                self.disc(hub, (max(r * across, m * 0.06), r), self.shade([30, 30, 30], z), CYCLIST)
                self.disc(hub, (max(r * across * 0.72, 1), r * 0.78), self.shade(self.asphalt * 1.05, z))
            seat = foot + [-0.18 * m * across, -0.92 * m]
            bars = foot + [0.42 * m * across, -1.0 * m]
            crank = foot + [0, -0.3 * m]
            for first, last in ((hubs[0], crank), (hubs[0], seat), (crank, bars), (hubs[1], bars), (seat, bars), (seat, crank)):
                self.line([first, last], max(0.05 * m, 2), self.shade(frame, z), CYCLIST)
            neck = foot + [0.2 * m * across, -1.45 * m]
            half = 0.17 * m
            self.fill(
                [seat + [half * 0.8, 0.05 * m], seat - [half * 0.8, 0], neck - [half, 0], neck + [half, 0]],
                self.shade(who["coat"], z),
                CYCLIST,
            )
            self.line([seat, foot + [0.16 * m * across, -0.6 * m], crank], max(0.13 * m, 2), self.shade(who["legs"], z), CYCLIST)
            self.line([neck, bars], max(0.08 * m, 2), self.shade(who["coat"] * 0.85, z), CYCLIST)
            head = neck + [0.05 * m * across, -0.16 * m]
            self.disc(head, (0.11 * m, 0.14 * m), self.shade(who["skin"], z), CYCLIST)
            self.disc(head - [0, 0.06 * m], (0.12 * m, 0.08 * m), self.shade(frame, z), CYCLIST)

        self.later(z, paint)

    def bin(self, x, z):
        """Something no class is for: ignored."""
        tone = self.rng.uniform(30, 170, 3)

        def paint():
            self.quad([(x - 0.3, 0, z), (x + 0.3, 0, z), (x + 0.33, 1.05, z), (x - 0.33, 1.05, z)], self.shade(tone, z), IGNORE)

        self.later(z, paint)

    # -- the whole --------------------------------------------------------
    def compose(self):
        rng = self.rng
        self.sky()
        self.skyline()
        self.ground()
        for side in (0, 1):
            self.houses(side)
        left, right = self.edges
        walk = [(left - self.walk[0], left), (right, right + self.walk[1])]
        for side, (x0, x1) in enumerate(walk):
            self.furnish(side, x0, x1)
        self.traffic(left, right)
        if self.sun > 0.2 and rng.random() < 0.6:
            self.shadow_of_houses()
        for _, _, paint in sorted(self.things, key=lambda t: (-t[0], t[1])):
            paint()
        if rng.random() < 0.3:
            self.bonnet()
        return self.develop()

    def furnish(self, side, x0, x1):
        """What stands, walks and parks on a sidewalk."""
        rng = self.rng
        out = x0 if side == 0 else x1
        kerb = x1 - 0.35 if side == 0 else x0 + 0.35
        if rng.random() < 0.6:
            step = rng.uniform(6, 14)
            for z in np.arange(rng.uniform(3, 10), 75, step):
                self.tree(kerb + rng.normal(0, 0.2), z)
        if rng.random() < 0.45:
            for _ in range(rng.integers(1, 4)):
                self.hedge(out, rng.uniform(4, 35))
        if rng.random() < 0.55:
            for _ in range(rng.integers(1, 4)):
                self.fence(kerb if rng.random() < 0.4 else out, rng.uniform(3, 30))
        if rng.random() < 0.75:
            step = rng.uniform(10, 20)
            for z in np.arange(rng.uniform(4, 12), 70, step):
                self.pole(kerb, z, "lamp")
        for _ in range(rng.integers(1, 4)):
            kind = "sign" if rng.random() < 0.65 else "light"
            self.pole(kerb + rng.normal(0, 0.15), rng.uniform(4.5, 26), kind)
        if rng.random() < 0.35:
            tops = [self.pole(out, z, "mast") for z in np.arange(rng.uniform(3, 9), 90, 22)]
            self.wires(tops)
        for _ in range(rng.poisson(1.7)):
            self.pedestrian(rng.uniform(x0, x1), rng.uniform(3.5, 28))
        if rng.random() < 0.25:
            self.bin(kerb, rng.uniform(4, 16))
        if rng.random() < 0.6:  # parked
            x = x1 + 1.15 if side == 0 else x0 - 1.15
            z = rng.uniform(3, 10)
            while z < 60:
                self.car(x, z, 1 if side else -1)
                z += rng.uniform(5.2, 14)

    def traffic(self, left, right):
        """Who is on the road."""
        rng = self.rng
        for _ in range(rng.poisson(1.6)):
            lane = rng.choice([-1, 1])
            x = -self.offset + lane * self.half * 0.42
            self.car(x + rng.normal(0, 0.3), rng.uniform(6, 60), lane)
        for _ in range(rng.poisson(0.9)):
            self.cyclist(rng.uniform(left + 0.5, right - 0.5), rng.uniform(4.5, 24))
        if rng.random() < 0.35:
            for _ in range(rng.integers(1, 4)):
                self.pedestrian(rng.uniform(left, right), rng.uniform(5, 24))

    def shadow_of_houses(self):
        left, right = self.edges
        reach = self.rng.uniform(0.2, 0.8) * (right - left)
        x0, x1 = (left - 4, left + reach) if self.sun_side < 0 else (right - reach, right + 4)
        zs = np.geomspace(0.7, 90, 12)
        area = self.project([(x0, 0, z) for z in zs] + [(x1, 0, z) for z in zs[::-1]])
        mask = np.zeros((self.h, self.w), np.uint8)
        cv2.fillPoly(mask, [np.round(area.clip(-8000, 8000)).astype(np.int32)], 255)
        dark = (self.image * 0.58).astype(np.uint8)
        self.image[mask > 0] = dark[mask > 0]

    def bonnet(self):
        rng = self.rng
        x = np.linspace(0, self.w, 20)
        rise = self.h * rng.uniform(0.05, 0.12)
        y = self.h - rise * (1 - ((x / self.w - 0.5) * 2) ** 2 * 0.6)
        shape = np.concatenate([np.stack([x, y], 1), [[self.w, self.h + 4], [0, self.h + 4]]])
        self.fill(shape, self.shade(rng.uniform(20, 190, 3), 1), IGNORE)

    def develop(self):
        """Half the size, then what a camera does to a picture."""
        rng = self.rng
        h, w = self.h // SUPER, self.w // SUPER
        image = cv2.resize(self.image, (w, h), interpolation=cv2.INTER_AREA)
        label = np.ascontiguousarray(self.label[SUPER // 2 :: SUPER, SUPER // 2 :: SUPER])
        if rng.random() < 0.25:
            image = cv2.GaussianBlur(image, (3, 3), 0)
        image = image.astype(np.float64)
        grain = cv2.resize(rng.normal(0, 1, (h // 4 + 1, w // 4 + 1)), (w, h), interpolation=cv2.INTER_LINEAR)
        image *= (1 + 0.05 * grain)[..., None]
        y, x = np.mgrid[0:h, 0:w]
        radius = ((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2)[..., None]
        image *= 1 - rng.uniform(0, 0.5) * radius
        image *= rng.uniform(0.9, 1.1, 3)  # white balance
        image = 255 * (image.clip(0, 255) / 255) ** rng.uniform(0.8, 1.3)
        image += rng.normal(0, rng.uniform(2, 9), image.shape)
        return image.round().clip(0, 255).astype(np.uint8), label


def make(seed, split, index, size):
    """One picture: (image uint8 BGR (h, w, 3), label uint8 (h, w)).

    Args:
        seed (int): The seed of the whole set.
        split (str): 'train' or 'val'.
        index (int): The number of the picture; pictures do not depend on each
            other.
        size (tuple): Height and width in pixels.
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, ("train", "val").index(split), index])
    return Street(rng, *size).compose()


def save(path, pixels):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not cv2.imwrite(path, pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3]):
        raise OSError(f"streets: cannot write {path}; next: check the disk and --out")


def write(root, counts, size=(128, 256), seed=68, make=make):
    """Writes the set under `root`, with the lists train.txt and val.txt as
    paddleseg.datasets.Dataset reads them, and returns the sha256 of all pixels
    and names."""
    digest = hashlib.sha256()
    for split, count in zip(("train", "val"), counts):
        lines = []
        for index in range(count):
            names = [f"{split}/{kind}_{index:04d}.png" for kind in ("image", "label")]
            for name, pixels in zip(names, make(seed, split, index, size)):
                save(os.path.join(root, name), pixels)
                digest.update(name.encode())
                digest.update(pixels.tobytes())
            lines.append(" ".join(names))
        with open(os.path.join(root, f"{split}.txt"), "w") as stream:
            stream.write("\n".join(lines) + "\n")
    return digest.hexdigest()


def train_ids(label):
    """A label under the 19 train ids of Cityscapes."""
    table = np.full(256, IGNORE, np.uint8)
    for own, theirs in CITYSCAPES_IDS.items():
        table[own] = theirs
    return table[label]


def coloured(label, palette=PALETTE):
    """A label as a BGR picture."""
    return palette[label][..., ::-1]


def sheet(root, palette=PALETTE, columns=4, rows=6, split="train"):
    """Pictures and their labels side by side, as one BGR picture."""
    with open(os.path.join(root, f"{split}.txt")) as stream:
        pairs = [line.split() for line in stream][: columns * rows]
    tiles = []
    for image, label in pairs:
        image = cv2.imread(os.path.join(root, image))
        label = cv2.imread(os.path.join(root, label), cv2.IMREAD_GRAYSCALE)
        tiles.append(np.vstack([image, coloured(label, palette)]))
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def shares(root, split, count):
    """Share of every class among the labelled pixels, and of ignored ones."""
    total = np.zeros(256, np.int64)
    with open(os.path.join(root, f"{split}.txt")) as stream:
        for line in stream:
            label = cv2.imread(os.path.join(root, line.split()[1]), cv2.IMREAD_GRAYSCALE)
            total += np.bincount(label.ravel(), minlength=256)
    known = total[:count].sum()
    return total[:count] / known, total[IGNORE] / total.sum()


def share_metrics(folder, classes):
    """How the classes share the pixels of each split."""
    metrics = {}
    for split in ("train", "val"):
        share, ignored = shares(folder, split, len(classes))
        metrics[f"{split}_rarest_class_share"] = float(share.min())
        metrics[f"{split}_commonest_class_share"] = float(share.max())
        metrics[f"{split}_ignored_share"] = float(ignored)
        metrics.update({f"{split}_share_{name}": float(value) for name, value in zip(classes, share)})
    return metrics


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--write", type=int, nargs=2, default=None, metavar=("TRAIN", "VAL"))
    parser.add_argument("--size", type=int, nargs=2, default=None, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--seed", type=int, default=68)
    parser.add_argument("--photos", action="store_true")
    args = parser.parse_args()
    if args.photos:
        import photos

        maker, classes, palette = photos.make, photos.CLASSES, photos.PALETTE
        size = tuple(args.size or (128, 128))
    else:
        maker, classes, palette = make, CLASSES, PALETTE
        size = tuple(args.size or (128, 256))
    if args.write:
        print(write(args.out, args.write, size, args.seed, maker))
        return
    from proving.record import write_metrics

    first, second = (os.path.join(args.out, name) for name in ("a", "b"))
    counts, few = (300, 60), (8, 2)
    start = time.perf_counter()
    sums = [write(first, counts, size, args.seed, maker)]
    spent = time.perf_counter() - start
    again = [sys.executable, os.path.abspath(__file__), "--out", second]
    again += ["--write", *map(str, counts), "--size", *map(str, size)]
    again += ["--seed", str(args.seed)] + ["--photos"] * args.photos
    sums.append(subprocess.check_output(again, text=True).split()[-1])
    small = [write(os.path.join(args.out, str(seed)), few, size, seed, maker) for seed in (args.seed, args.seed + 1)]
    metrics = {"identical": int(sums[0] == sums[1]), "seed_matters": int(small[0] != small[1]), "seconds_for_360": spent}
    metrics.update(share_metrics(first, classes))
    cv2.imwrite(os.path.join(args.out, "sheet.png"), sheet(first, palette))
    print("sha256", sums[0])
    write_metrics(args.out, metrics=metrics, pictures=["sheet.png"])


if __name__ == "__main__":
    main()
