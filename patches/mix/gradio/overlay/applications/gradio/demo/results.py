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
"""Results of auto label on their way from the worker to the page: one record an image, so that what is finished outlives a run that is not.

The worker writes a record once an image is done; the page collects them at the end, whatever the end was: the last image, a cancel, or a
worker that died.
"""

import json
import os
import zipfile

_RECORDS = "finished"


def json_name(name):
    """dir/a.png -> dir/a.json"""
    return os.path.splitext(name)[0] + ".json"


def safe_name(name):
    """The last part of a path as every file system takes it: a question mark of a user's file name is one no longer."""
    return (
        "".join("_" if letter in '\\/:*?"<>|#%&' or ord(letter) < 32 else letter for letter in os.path.basename(name))
        or "_"
    )


def dump(content):
    """The text of a JSON file, as labelme writes it (UTF-8)."""
    return json.dumps(content, ensure_ascii=False, indent=2)


def finish(folder, number, name, path, content, preview, rows):
    """Writes the record of one image; it is there whole or not at all.

    Args:
        folder (str): of the run.
        number (int): place of the image in the run.
        name, path (str): the user's name of the image, and where it is.
        content (dict): of `labelme_file.label_file`.
        preview (str): path of the picture with its polygons.
        rows (list): for the table of shapes.
    """
    os.makedirs(os.path.join(folder, _RECORDS), exist_ok=True)
    target = os.path.join(folder, _RECORDS, "%05d.json" % number)
    record = {"name": name, "path": path, "content": content, "preview": preview, "rows": rows}
    with open(target + ".part", "w", encoding="utf-8") as stream:
        json.dump(record, stream, ensure_ascii=False)
    os.replace(target + ".part", target)


def collect(folder, as_zip):
    """What a run has finished so far.

    Args:
        folder (str): of the run.
        as_zip (bool): many images as a zip, or the JSON of the one image.

    Returns:
        dict: "file", "previews" [(path, name)], "rows", "images" (their number); None where nothing is finished.
    """
    directory = os.path.join(folder, _RECORDS)
    paths = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    records = []
    for path in (path for path in paths if path.endswith(".json")):
        with open(os.path.join(directory, path), encoding="utf-8") as stream:
            records.append(json.load(stream))
    if not records:
        return None
    if as_zip:
        target = os.path.join(folder, "labels.zip")
        write_zip(target, [(record["name"], record["path"], record["content"]) for record in records])
    else:
        target = os.path.join(folder, json_name(safe_name(records[0]["name"])))
        with open(target, "w", encoding="utf-8") as stream:
            stream.write(dump(records[0]["content"]))
    rows = [[record["name"], *row] for record in records for row in record["rows"]]
    previews = [(record["preview"], record["name"]) for record in records]
    return {"file": target, "previews": previews, "rows": rows, "images": len(records)}


def write_zip(target, entries):
    """A zip that labelme can open after unpacking: each JSON file, and beside it its image where it is not inside.

    Args:
        target (str): path of the zip; it appears whole or not at all.
        entries (list): (name, path of the image, dict of `labelme_file.label_file`).
    """
    unfinished = target + ".part"
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path, content in entries:
            archive.writestr(json_name(name), dump(content))
            if content["imageData"] is None:
                archive.write(path, name)
    os.replace(unfinished, target)
