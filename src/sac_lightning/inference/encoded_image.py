"""An image that has been through the image encoder once: points are chosen and decoded as often as one likes.

A window is decoded again only when the points in it change, so that a click is answered as fast on a large image
as on a small one. The numbers are those of Predictor.segment on each window, added up in the same order. One thing
differs: Predictor.segment fills the places of points that lie in other windows with padding, of which the decoder
takes some notice; here a window knows nothing of points that lie elsewhere.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import Window
from sac_lightning.data.windows import (
    BATCH_SIZE,
    WindowPoints,
    batch_windows,
    input_size,
    nearest_windows,
    place_points,
    to_image_pixels,
    to_input_pixels,
)
from sac_lightning.images.tone import prepare_image
from sac_lightning.inference.predictor import Nuclei, Predictor, refuse_image
from sac_lightning.inference.thresholds import THRESHOLD, EveryPrompt
from sac_lightning.inference.watershed import Maps, labels_of_maps, mask_threshold
from sac_lightning.inference.windows import BLENDED, Blend, run_model
from sac_lightning.model.point_selection import PADDING, PointSelection
from sac_lightning.model.promptable import Promptable, choose_points, resize_to_input

MOST_DECODED = 1024


@dataclass(frozen=True)
class _Prompts:
    """The points of one window, in pixels of the model's input.

    Attributes:
        coords: (N, 2) xy, automatic ones first.
        labels: (N,) 1 nucleus, 0 background, -1 padding.
    """

    coords: Tensor
    labels: Tensor

    def key(self, window: int) -> bytes:
        """Return bytes that are the same for the same points in the same window."""
        return b"%d " % window + self.coords.cpu().numpy().tobytes() + self.labels.cpu().numpy().tobytes()


class EncodedImage:
    """An image with its embeddings and the prompt generator's logits, kept to be asked with different points.

    Attributes:
        height, width: Of the image, in pixels.
        bytes: Size of what is kept of it.
    """

    def __init__(
        self,
        predictor: Predictor,
        image: NDArray[np.uint8],
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> None:
        """Encode an image: the part that takes long.

        Args:
            predictor: The model and its view.
            image: (H, W, 3) RGB.
            progress: Called with the number of windows that have been encoded, and of all.

        Raises:
            UserError: The image is not 8-bit RGB, or the predictor decodes every prompt by itself.
        """
        refuse_image(image)
        self.height, self.width = image.shape[:2]
        if isinstance(predictor.separation, EveryPrompt):
            raise UserError("every prompt by itself takes no clicks: load with instances=watershed or components")
        self._model, self._device, self._autocast = predictor.model, predictor.device, predictor.autocast
        self._promptable = predictor.model if isinstance(predictor.model, Promptable) else None
        self._separation = predictor.separation
        self._windows = predictor.view.windows(self.height, self.width)
        self._view = predictor.view
        self._size = input_size(self._windows[0], predictor.view)
        self._embeddings: list[Tensor] = []  # (256, h, w) each; of a network without points its logits (1, H, W)
        self._generated: list[Tensor] = []  # (1, m, m) each, or (4, m, m); none without such maps
        self._encode(image, progress)
        self._generator_maps = self._blend_generator()
        self.bytes = sum(tensor.nbytes for tensor in (*self._embeddings, *self._generated))
        self._chosen: tuple[tuple[object, ...], list[_Prompts]] | None = None
        self._decoded: OrderedDict[bytes, Tensor] = OrderedDict()
        self._shown: list[bytes] = [b""] * len(self._windows)  # which prompts the probability is of
        self._probability = torch.zeros(self.height, self.width, device=self._device)

    @torch.no_grad()
    def _encode(self, image: NDArray[np.uint8], progress: Callable[[int, int], object]) -> None:
        pixels = (
            torch.from_numpy(prepare_image(image, self._view.stretch)).permute(2, 0, 1).float().to(self._device)
        )
        for batch in batch_windows(self._windows, self._view):
            images = batch.cut(pixels)
            with self._autocast():
                if self._promptable is not None:
                    embeddings, generated = self._promptable.encode(images)
                else:  # A network without points has its answer here already.
                    answer = run_model(self._model, images)
                    embeddings, generated = answer.logits, answer.generator_logits
            self._embeddings += embeddings.unbind()
            self._generated += () if generated is None else generated.unbind()
            progress(len(self._embeddings), len(self._windows))

    @property
    def _chooses(self) -> bool:
        """Whether the model chooses points by itself; a network's own maps give none."""
        return self._promptable is not None and self._promptable.has_generator

    def _blend_generator(self) -> NDArray[np.float32] | None:
        """Return the generator's own maps, see Prediction, which no click changes; None without a generator."""
        if not self._generated:
            return None
        blend = Blend(self.height, self.width, self._device, len(self._generated[0][:BLENDED]))
        for logits, window in zip(self._generated, self._windows, strict=True):
            blend.add(logits[:BLENDED], window)
        maps: NDArray[np.float32] = blend.result().cpu().numpy()
        return maps

    @torch.no_grad()
    def segment(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        seed: int = 0,
        selection: PointSelection | None = None,
    ) -> Nuclei:
        """Segment the image, all points of a window together, as Predictor.segment does.

        Args:
            points: (N, 2) xy in image pixels: expert points beside the automatic ones. Default: none.
            labels: (N,), 1 nucleus, 0 background. Default: all 1.
            seed: Of the random selection of points.
            selection: How automatic points are chosen. Default: as the model does.

        Raises:
            UserError: The points are of another form, or one lies outside the image.
        """
        return self._separate_nuclei(*self._predict(points, labels, seed, selection))

    def _predict(
        self, points: ArrayLike | None, labels: ArrayLike | None, seed: int, selection: PointSelection | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Return the probability (H, W), and the points (N, 2) xy that were used with their labels (N,)."""
        prompts = self._prompts(points, labels, seed, selection)
        self._update(prompts)
        used = [
            to_image_pixels(each.coords, each.labels, window, self._view)
            for each, window in zip(prompts, self._windows, strict=True)
        ]
        coords, signs = (torch.cat(parts).cpu().numpy() for parts in zip(*used, strict=True))
        return self._probability.cpu().numpy().copy(), coords, signs

    @torch.no_grad()
    def segment_each(
        self, points: ArrayLike, labels: ArrayLike, seed: int = 0, selection: PointSelection | None = None
    ) -> Nuclei:
        """Segment what each positive point stands for by itself, and join it to what segment finds without them.

        For a decoder that is SAM's own: it takes several points for hints at one object (our choice, see the
        README for figures). A positive point is decoded in the window whose middle is nearest to it, with the
        negative points there; a model without automatic points marks nothing else.

        Args:
            points: (N, 2) xy in image pixels.
            labels: (N,), 1 nucleus, 0 background.
            seed: See segment.
            selection: See segment.

        Raises:
            UserError: See segment.
        """
        coords, signs = np.asarray(points, dtype=np.float32).reshape(-1, 2), np.asarray(labels)
        self._place_points(coords, signs)  # refuses what is no point
        positive = signs == 1
        probability = np.zeros((self.height, self.width), np.float32)
        used, used_signs = coords[~positive], signs[~positive]
        if self._chooses and (selection is None or selection.points > 0):
            probability, used, used_signs = self._predict(used, used_signs, seed, selection)
        windows = nearest_windows(coords[positive], self._windows).tolist()
        prompts = [
            self._given_prompts(np.vstack([point, coords[~positive]]), np.append(1, signs[~positive]))[window]
            for point, window in zip(coords[positive], windows, strict=True)
        ]
        for window, logits in zip(windows, self._logits(windows, prompts), strict=True):
            in_image, alone = self._window_probability(logits, self._windows[window])
            probability[in_image] = np.maximum(probability[in_image], alone)
        used = np.concatenate([used, coords[positive]])
        return self._separate_nuclei(probability, used, np.append(used_signs, signs[positive]).astype(np.int64))

    def _separate_nuclei(
        self, probability: NDArray[np.float32], points: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> Nuclei:
        """Return the answer, its nuclei separated as the predictor does."""
        maps = Maps(probability > mask_threshold(self._separation), probability, self._generator_maps)
        instances = labels_of_maps(maps, self._separation)
        return Nuclei(probability > THRESHOLD, probability, points, labels, instances)

    def _prompts(
        self, points: ArrayLike | None, labels: ArrayLike | None, seed: int, selection: PointSelection | None
    ) -> list[_Prompts]:
        """Return the automatic and the given points of every window."""
        given = self._given_prompts(points, labels)
        if not self._chooses:
            return given
        return [
            _Prompts(torch.cat([own.coords, each.coords]), torch.cat([own.labels, each.labels]))
            for own, each in zip(self._automatic_prompts(seed, selection), given, strict=True)
        ]

    def _automatic_prompts(self, seed: int, selection: PointSelection | None) -> list[_Prompts]:
        """Return the points that the model chooses in every window; the last choice is kept."""
        assert self._promptable is not None
        choose = self._promptable.point_selection if selection is None else selection
        settings = (seed, *vars(choose).values())
        if self._chosen is None or self._chosen[0] != settings:
            generated = torch.stack(self._generated)
            seeds = torch.arange(seed, seed + len(generated))
            coords, labels = choose_points(choose, generated, seeds, self._size[1])
            self._chosen = (settings, [_Prompts(*each) for each in zip(coords, labels, strict=True)])
        return self._chosen[1]

    def _given_prompts(self, points: ArrayLike | None, labels: ArrayLike | None) -> list[_Prompts]:
        """Return the given points of every window that holds them; none for a network without points."""
        expert_points = self._place_points(points, labels)
        if expert_points is None or self._promptable is None:
            none = torch.zeros(0, 2, device=self._device)
            return [_Prompts(none, none.new_zeros(0, dtype=torch.long))] * len(self._windows)
        coords, signs = (
            to_input_pixels(expert_points.coords, expert_points.labels, self._windows[0], self._view),
            expert_points.labels,
        )
        return [_Prompts(c[s != PADDING], s[s != PADDING]) for c, s in zip(coords, signs, strict=True)]

    def _place_points(self, points: ArrayLike | None, labels: ArrayLike | None) -> WindowPoints | None:
        return place_points(points, labels, (self.width, self.height), self._windows, self._device)

    def _logits(self, windows: Sequence[int], prompts: Sequence[_Prompts]) -> list[Tensor]:
        """Decode some windows, each with its prompts, to low-resolution logits (1, h, w); the last ones are kept.

        Windows with equally many points are decoded together: none needs padding.
        """
        keys = [each.key(window) for window, each in zip(windows, prompts, strict=True)]
        found = {key: self._decoded[key] for key in keys if key in self._decoded}
        missing: dict[int, list[int]] = defaultdict(list)
        for i, key in enumerate(keys):
            if key not in found:
                missing[len(prompts[i].labels)].append(i)
        for places in missing.values():
            for start in range(0, len(places), BATCH_SIZE):
                batch = places[start : start + BATCH_SIZE]
                decoded = self._decode([windows[i] for i in batch], [prompts[i] for i in batch])
                found |= {keys[i]: logits for i, logits in zip(batch, decoded.unbind(), strict=True)}
        for key in keys:
            self._decoded[key] = found[key]
            self._decoded.move_to_end(key)
        while len(self._decoded) > MOST_DECODED:
            self._decoded.popitem(last=False)
        return [found[key] for key in keys]

    def _decode(self, windows: Sequence[int], prompts: Sequence[_Prompts]) -> Tensor:
        """Return the logits (B, 1, h, w) of windows that have equally many points, or refined (B, 1, S, S)."""
        embeddings = torch.stack([self._embeddings[window] for window in windows])
        if self._promptable is None:
            return embeddings
        coords, labels = (
            torch.stack([each.coords for each in prompts]),
            torch.stack([each.labels for each in prompts]),
        )
        generated = torch.stack([self._generated[window] for window in windows]) if self._generated else None
        with self._autocast():
            logits = self._promptable.decode(embeddings, coords, labels, generated)[0]
        if not self._promptable.refine:
            return logits
        return resize_to_input(self._promptable, logits, generated, self._size[1])

    def _update(self, prompts: Sequence[_Prompts]) -> None:
        """Bring the probability up to date where prompts have changed since it was made."""
        keys = [each.key(window) for window, each in enumerate(prompts)]
        stale = [self._windows[i] for i, key in enumerate(keys) if key != self._shown[i]]
        if not stale:
            return
        top, left = (max(0, min(getattr(window, side) for window in stale)) for side in ("top", "left"))
        bottom = min(self.height, max(window.top + window.height for window in stale))
        right = min(self.width, max(window.left + window.width for window in stale))
        # Wherever a stale window lies, all that overlap there are added up anew.
        involved = [
            i
            for i, w in enumerate(self._windows)
            if w.top < bottom and w.left < right and w.top + w.height > top and w.left + w.width > left
        ]
        blend = Blend(bottom - top, right - left, self._device)
        for i, logits in zip(involved, self._logits(involved, [prompts[i] for i in involved]), strict=True):
            window = self._windows[i].move(-left, -top)
            blend.add(self._resize_to_input(logits), window)
        self._probability[top:bottom, left:right] = blend.result()[0]
        self._shown = keys

    def _window_probability(
        self, logits: Tensor, window: Window
    ) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
        """Return the probability of a window by itself, with the rows and columns of the image that it covers."""
        in_image, in_window = window.clip(self.height, self.width)
        size = (window.height, window.width)
        at_size = F.interpolate(self._resize_to_input(logits)[None], size, mode="bilinear", align_corners=False)
        return in_image, torch.sigmoid(at_size[0, 0])[in_window].cpu().numpy()

    def _resize_to_input(self, logits: Tensor) -> Tensor:
        """Resize logits (1, h, w) to the size of the model's input, as SAC.forward gives them."""
        return F.interpolate(logits.float()[None], self._size, mode="bilinear", align_corners=False)[0]
