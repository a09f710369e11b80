"""What the reference calls the tools that we have, and how a stored set is read."""

import json
import os

# ours: the reference's (facts of TaskMatrix @ 4b7664f)
NAMES = {
    "describe_picture": "Get Photo Description",
    "generate_picture": "Generate Image From User Input Text",
    "edit_by_instruction": "Instruct Image Using Text",
    "detect_edges": "Edge Detection On Image",
    "paint_from_edges": "Generate Image Condition On Canny Image",
    "detect_lines": "Line Detection On Image",
    "paint_from_lines": "Generate Image Condition On Line Image",
    "detect_boundaries": "Hed Detection On Image",
    "paint_from_boundaries": "Generate Image Condition On Soft Hed Boundary Image",
    "make_scribble": "Sketch Detection On Image",
    "paint_from_scribble": "Generate Image Condition On Sketch Image",
    "detect_pose": "Pose Detection On Image",
    "paint_from_pose": "Generate Image Condition On Pose Image",
    "paint_from_segments": "Generate Image Condition On Segmentations",
    "predict_depth": "Predict Depth On Image",
    "paint_from_depth": "Generate Image Condition On Depth",
    "predict_normals": "Predict Normal Map On Image",
    "paint_from_normals": "Generate Image Condition On Normal Map",
    "answer_question": "Answer Question About The Image",
    "segment_all": "Segment the Image",
    "detect_object": "Detect the Give Object",
    "extend_picture": "Extend An Image",
    "segment_object": "Segment the given object",
    "remove_object": "Remove Something From The Photo",
    "replace_object": "Replace Something From The Photo",
    "remove_background": "Remove the background",
}


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as stream:
        return json.load(stream)
