"""Random views for training: drawn per image, in batches, on the device, by one resampling.

Every random number is a function of (seed, image digest, view), so a view does not depend on the batch, the
row order or the member that asks for it, and a resumed run sees what an undisturbed one would have seen.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tasks.training.transforms import RandomAffine, RandomResizedCrop, RandomTransforms

_DRAWS = 40  # random numbers an image and view may use; each operation owns fixed positions among them


def view_keys(sha256s: Sequence[str], seed: int, view: int) -> NDArray[np.uint64]:
    """Name the random stream of each image's view. Shape (N,)."""
    mark = hashlib.sha256(f"{seed}/{view}".encode()).digest()[:8]
    keys = np.array([int(digest[:16], 16) for digest in sha256s], dtype=np.uint64)
    streams: NDArray[np.uint64] = keys ^ np.frombuffer(mark, dtype=np.uint64)[0]
    return streams


def uniforms(keys: NDArray[np.uint64], draws: int) -> NDArray[np.float64]:
    """Draw `draws` numbers in [0, 1) from each key's stream. Shape (N, draws).

    SplitMix64, a counter-based generator: Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.
    """
    steps = np.arange(1, draws + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = keys[:, None] + steps[None]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    drawn: NDArray[np.float64] = (z >> np.uint64(11)) * 2.0**-53
    return drawn


def training_views(images: Tensor, keys: NDArray[np.uint64], transforms: RandomTransforms) -> Tensor:
    """Make one random view of each image on the images' device; what lies outside an image is black.

    `images` is uint8 (N, S, S, 3) RGB; the answer is float32 (N, 3, S, S) RGB in 0..255, channels-last.
    """
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)
    if transforms.off:
        return pixels
    drawn = torch.from_numpy(uniforms(keys, _DRAWS)).to(images.device, torch.float32)
    grid = _sampling_grid(_output_to_input(drawn, transforms), images.shape[1])
    views = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    views = _recolour(views, drawn, transforms)
    if transforms.random_erasing:
        views = _erase(views, drawn[:, 34:39], transforms.random_erasing)
    return views


def _sampling_grid(matrices: Tensor, side: int) -> Tensor:
    """Place every output pixel in the input, both in [-1, 1]. (N, 3, 3) → (N, S, S, 2)."""
    axis = (torch.arange(side, device=matrices.device) * 2 + 1) / side - 1
    by_x = matrices[:, :, 0, None] * axis  # (N, 3, S)
    by_y = matrices[:, :, 1, None] * axis + matrices[:, :, 2, None]
    placed = by_x[:, :, None, :] + by_y[:, :, :, None]  # (N, 3, S, S)
    return torch.stack((placed[:, 0] / placed[:, 2], placed[:, 1] / placed[:, 2]), dim=-1)


def _output_to_input(drawn: Tensor, transforms: RandomTransforms) -> Tensor:
    """Compose the geometric operations, first applied first, into one homography a view. (N, 3, 3)."""
    matrix = torch.eye(3, device=drawn.device).repeat(len(drawn), 1, 1)
    if transforms.random_resized_crop is not None:
        matrix = matrix @ _resized_crop(drawn[:, 3:7], transforms.random_resized_crop)
    if transforms.random_crop is not None:
        side = torch.full((len(drawn),), transforms.random_crop, device=drawn.device)
        matrix = matrix @ _window(side, side, drawn[:, 7:9])
    one = torch.ones(len(drawn), device=drawn.device)
    flip_x = torch.where(drawn[:, 9] < transforms.random_horizontal_flip, -one, one)
    flip_y = torch.where(drawn[:, 10] < transforms.random_vertical_flip, -one, one)
    matrix = matrix @ _matrix(flip_x, 0, 0, 0, flip_y, 0)
    if transforms.random_rotation is not None:
        matrix = matrix @ _rotation(transforms.random_rotation * (2 * drawn[:, 11] - 1))
    if transforms.random_affine is not None:
        matrix = matrix @ _affine(drawn[:, 12:18], transforms.random_affine)
    if transforms.random_perspective:
        matrix = matrix @ _perspective(drawn[:, 18:27], transforms.random_perspective)
    return matrix


def _matrix(*values: Any) -> Tensor:
    """Stack the two upper rows of affine matrices, six values; numbers stand for all views. (N, 3, 3)."""
    like = next(value for value in values if isinstance(value, Tensor))
    rows = [torch.as_tensor(value, device=like.device).to(like).expand_as(like) for value in values]
    rows += [torch.zeros_like(like), torch.zeros_like(like), torch.ones_like(like)]
    return torch.stack(rows, dim=-1).reshape(-1, 3, 3)


def _rotation(degrees: Tensor) -> Tensor:
    angle = degrees * (math.pi / 180)
    return _matrix(angle.cos(), angle.sin(), 0, -angle.sin(), angle.cos(), 0)


def _window(width: Tensor, height: Tensor, place: Tensor) -> Tensor:
    """Show only a window of the given size, at a uniform place inside the image."""
    x = (2 * place[:, 0] - 1) * (1 - width)
    y = (2 * place[:, 1] - 1) * (1 - height)
    return _matrix(width, 0, x, 0, height, y)


def _resized_crop(drawn: Tensor, crop: RandomResizedCrop) -> Tensor:
    area = crop.scale[0] + (crop.scale[1] - crop.scale[0]) * drawn[:, 0]
    low, high = (math.log(bound) for bound in crop.ratio)
    ratio = (low + (high - low) * drawn[:, 1]).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    return _window(width, height, drawn[:, 2:4])


def _affine(drawn: Tensor, affine: RandomAffine) -> Tensor:
    sign = 2 * drawn - 1
    zoom = affine.scale[0] + (affine.scale[1] - affine.scale[0]) * drawn[:, 1]
    shift = 2 * affine.translate * sign[:, 2:4]  # the side is 2 in [-1, 1]
    shear = (sign[:, 4:6] * math.radians(affine.shear_degrees)).tan()
    sheared = _matrix(1, shear[:, 0], 0, shear[:, 1], 1, 0)
    zoomed = _matrix(1 / zoom, 0, 0, 0, 1 / zoom, 0)
    moved = _matrix(1, 0, -shift[:, 0], 0, 1, -shift[:, 1])
    return _rotation(affine.degrees * sign[:, 0]) @ sheared @ zoomed @ moved


def _perspective(drawn: Tensor, probability: float, distortion: float = 0.5) -> Tensor:
    """Move each corner inwards by up to half the distortion; torchvision's RandomPerspective default is 0.5."""
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], device=drawn.device)
    moved = corners * (1 - distortion * drawn[:, 1:9].reshape(-1, 4, 2))
    moved = torch.where((drawn[:, 0] < probability)[:, None, None], moved, corners)
    x, y = corners[:, 0].expand(len(drawn), 4), corners[:, 1].expand(len(drawn), 4)
    u, v = moved[..., 0], moved[..., 1]
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # Eight equations, two a corner: the output's corner is seen where the input's moved corner lies.
    for_u = torch.stack((x, y, one, zero, zero, zero, -x * u, -y * u), dim=-1)
    for_v = torch.stack((zero, zero, zero, x, y, one, -x * v, -y * v), dim=-1)
    solved = torch.linalg.solve(torch.cat((for_u, for_v), 1), torch.cat((u, v), 1).unsqueeze(-1)).squeeze(-1)
    return torch.cat((solved, one[:, :1]), dim=1).reshape(-1, 3, 3)


def _recolour(views: Tensor, drawn: Tensor, transforms: RandomTransforms) -> Tensor:
    luma = torch.tensor([0.299, 0.587, 0.114], device=views.device).reshape(1, 3, 1, 1)  # ITU-R BT.601
    jitter = transforms.color_jitter
    if jitter is not None:
        strengths = torch.tensor([jitter.brightness, jitter.contrast, jitter.saturation], device=views.device)
        factors = 1 + strengths * (2 * drawn[:, 0:3] - 1)
        brightness, contrast, saturation = factors.reshape(-1, 3, 1, 1, 1).unbind(1)
        views = (views * brightness).clamp_(0, 255)
        if jitter.contrast:
            mean = (views * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
            views = torch.lerp(mean, views, contrast).clamp_(0, 255)
        if jitter.saturation:
            grey = (views * luma).sum(1, keepdim=True)
            views = torch.lerp(grey, views, saturation).clamp_(0, 255)
    if transforms.random_grayscale:
        grey = (views * luma).sum(1, keepdim=True)
        views = torch.where((drawn[:, 33] < transforms.random_grayscale)[:, None, None, None], grey, views)
    return views


def _erase(views: Tensor, drawn: Tensor, probability: float) -> Tensor:
    """Blacken a box of 2 % to 33 % of the area; ranges from torchvision's RandomErasing."""
    area = 0.02 + 0.31 * drawn[:, 1]
    ratio = (math.log(0.3) + math.log(3.3 / 0.3) * drawn[:, 2]).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    left, top = (1 - width) * drawn[:, 3], (1 - height) * drawn[:, 4]
    axis = (torch.arange(views.shape[-1], device=views.device) + 0.5) / views.shape[-1]
    inside_x = (axis >= left[:, None]) & (axis < (left + width)[:, None])
    inside_y = (axis >= top[:, None]) & (axis < (top + height)[:, None])
    box = inside_y[:, :, None] & inside_x[:, None, :] & (drawn[:, 0] < probability)[:, None, None]
    return views.masked_fill(box.unsqueeze(1), 0.0)
