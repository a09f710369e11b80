# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#    http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

import cv2
import numpy as np

from paddleseg.cvlibs import manager
from paddleseg.utils import logger


@manager.TRANSFORMS.add_component
class AddEdgeLabel:
    """
    Add the boundaries between the classes of the label as data['edge'], uint8,
    1 on a boundary and 0 off it.

    Put it before the transforms that scale, crop and flip: they treat the edge
    as they treat the label. What they pad holds their label_padding_value, and
    PIDNet takes that as no boundary if it is not 1. After them, every border
    between the picture and its padding would be a boundary: that is warned of.

    The reference is `gen_sample` of XuJiacong/PIDNet @ 4c158cf: Canny on the
    label, the border of the image cleared, then a dilation.

    Args:
        edge_size (int, optional): The size in pixels of the square kernel that
            dilates the edges. Default: 4.
        border (int, optional): The width in pixels of the border in which no
            edge is looked for. 0 keeps it. Default: 6.

    Raises:
        ValueError: When edge_size is smaller than 1, border smaller than 0, or
            the label is not (H, W) with values in [0, 255].
    """

    def __init__(self, edge_size=4, border=6):
        if edge_size < 1:
            raise ValueError("`edge_size` should be at least 1, but got {}.".
                             format(edge_size))
        if border < 0:
            raise ValueError(
                "`border` should not be negative, but got {}.".format(border))
        self.edge_size = edge_size
        self.border = border
        self.warned = False

    def warn_if_late(self, img, label):
        """Warn once if the sample looks padded or normalized already."""
        if self.warned or img is None:
            return
        padded = any((line == line[0]).all() and (values == values[0]).all()
                     for line, values in ((label[-1], img[-1]), (label[:, -1],
                                                                 img[:, -1])))
        if padded or img.min() < 0:
            self.warned = True
            logger.warning(
                "AddEdgeLabel got a picture that is {}. Put it first in "
                "`transforms`: it takes padding for an object and marks its "
                "border as a boundary.".format('padded'
                                               if padded else 'normalized'))

    def __call__(self, data):
        if 'label' not in data:
            return data
        label = data['label']
        if label.ndim != 2:
            raise ValueError(
                "AddEdgeLabel needs a label of shape (H, W), but it is {}. "
                "Multi-label masks have no single boundary.".format(
                    label.shape))
        if label.dtype != np.uint8:
            if label.size and (label.min() < 0 or label.max() > 255):
                raise ValueError(
                    "AddEdgeLabel needs label values in [0, 255], but they are "
                    "in [{}, {}].".format(label.min(), label.max()))
            label = label.astype('uint8')
        self.warn_if_late(data.get('img'), label)

        edge = cv2.Canny(np.ascontiguousarray(label), 0.1, 0.2)
        if self.border > 0:
            edge[:self.border] = 0
            edge[-self.border:] = 0
            edge[:, :self.border] = 0
            edge[:, -self.border:] = 0
        kernel = np.ones((self.edge_size, self.edge_size), np.uint8)
        edge = cv2.dilate(edge, kernel, iterations=1)
        data['edge'] = (edge > 0).astype('uint8')

        # Follow the label through the transforms that come after.
        gt_fields = data.get('gt_fields', [])
        if 'label' in gt_fields and 'edge' not in gt_fields:
            gt_fields.append('edge')
        return data
