"""Page images, and what LibreOffice makes of the .docx and .xlsx recovered from them, side by side in one picture.

python checks/pictures.py --out PICTURE.png FILE...      # .png as it is; .docx and .xlsx through soffice and pdftoppm
"""

import argparse
import glob
import os
import subprocess
import tempfile

from PIL import Image, ImageChops

WIDTH, GAP, GREY = 420, 12, (150, 150, 150)


def pages(path, scratch):
    """Images of the pages of a file."""
    if path.endswith(".png"):
        return [Image.open(path).convert("RGB")]
    profile = "-env:UserInstallation=file://" + os.path.join(scratch, "profile")
    words = ["soffice", profile, "--headless", "--convert-to", "pdf", "--outdir", scratch, path]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    stem = os.path.join(scratch, os.path.splitext(os.path.basename(path))[0])
    subprocess.run(["pdftoppm", "-r", "80", "-png", stem + ".pdf", stem], check=True)
    found = [Image.open(name).convert("RGB") for name in sorted(glob.glob(stem + "*.png"))]
    for name in glob.glob(stem + "*"):
        os.remove(name)
    return [crop(image) for image in found] if path.endswith(".xlsx") else found


def crop(image):
    """A sheet without the empty rest of its page."""
    box = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox() or (0, 0, *image.size)
    return image.crop((0, 0, image.width, min(image.height, box[3] + 30)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    columns = []  # one a file, its pages below each other
    with tempfile.TemporaryDirectory() as scratch:
        for path in args.files:
            found = [image for part in path.split("+") for image in pages(part, scratch)]
            columns.append([image.resize((WIDTH, image.height * WIDTH // image.width), Image.LANCZOS) for image in found])
    high = max(sum(image.height + GAP for image in column) for column in columns) + GAP
    sheet = Image.new("RGB", (len(columns) * (WIDTH + GAP) + GAP, high), GREY)
    for i, column in enumerate(columns):
        y = GAP
        for image in column:
            sheet.paste(image, (GAP + i * (WIDTH + GAP), y))
            y += image.height + GAP
    sheet.quantize(128).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
