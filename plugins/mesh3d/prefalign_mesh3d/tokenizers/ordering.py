"""The order of `Coord9` as a mask over the next token: sampling that cannot leave the order.

Meshtron (arXiv 2412.09548) and PolyGen (arXiv 2002.10880) mask what cannot follow. The mask here is exact: it leaves
the tokens with which some face can still be completed behind the last one, and the end where a face is complete. Of
faces before the last it knows nothing, so one of them can come back turned the other way round; the decoder drops it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessor

from prefalign_mesh3d.tokenizers.coord9 import Coord9


class OrderingMask(LogitsProcessor):
    """A logits processor for `generate` that keeps `Coord9` sequences in their order.

    Where a row has left the order already, because something else chose a token, any coordinate may follow.

    Args:
        tokenizer: whose ids the model writes.
        begin: number of ids in front of the first coordinate, the begin id included.
    """

    def __init__(self, tokenizer: Coord9, begin: int = 1) -> None:
        self.levels, self.eos_id, self.begin = tokenizer.levels, tokenizer.eos_id, begin

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(B, V) scores with minus infinity where a token cannot follow the (B, T) ids."""
        return scores.masked_fill(~self.allowed(input_ids, scores.shape[1]), -torch.inf)

    def allowed(self, input_ids: Tensor, size: int) -> Tensor:
        """(B, size) bool: which ids can follow the (B, T) ids."""
        written = input_ids[:, self.begin :]
        place = written.shape[1] % 9
        ids = torch.arange(size, device=written.device)
        low, high, without = self._range(written, place)
        mask = (ids >= low[:, None]) & (ids <= high[:, None]) & (ids != without[:, None])
        if place == 0:
            mask |= ids == self.eos_id
        mask |= ~mask.any(1, keepdim=True) & (ids < self.levels)
        ended = (written == self.eos_id).any(1, keepdim=True)
        return torch.where(ended, ids == self.eos_id, mask)

    def _range(self, written: Tensor, place: int) -> tuple[Tensor, Tensor, Tensor]:
        """Lowest and highest next coordinate (B,), and one between that is not allowed, or -1."""
        vertices = _Vertices.of(written, place, self.levels)
        low, high = vertices.bounds()
        taken = vertices.second if vertices.second is not None else torch.full_like(low, -1)
        digit = place % 3
        levels = self.levels
        # Digits of the bounds and of the vertex in between; a bound holds as long as all digits before equal its own.
        step = levels ** (2 - digit)
        prefix = written[:, written.shape[1] - digit :] if digit else written[:, :0]
        head = torch.zeros_like(low)
        for column in prefix.unbind(1):
            head = head * levels + column
        on_low, on_high, on_taken = (head == bound // (step * levels) for bound in (low, high, taken))
        lowest = torch.where(on_low, low // step % levels, 0)
        highest = torch.where(on_high, high // step % levels, levels - 1)
        without = torch.where(on_taken & (digit == 2) & (taken >= 0), taken % levels, -1)
        # Beyond the last vertex nothing is left.
        return torch.where(low > high, levels, lowest), torch.where(low > high, -1, highest), without


@dataclass(frozen=True, slots=True)
class _Vertices:
    """Vertices as integers: those of the last complete face, and those of the face being written, (B,) int64 each.

    Attributes:
        before: three vertices; before the first face, some that every face is above.
        first, second: of the face being written, as far as complete.
        last: the highest vertex there is.
    """

    before: tuple[Tensor, Tensor, Tensor]
    first: Tensor | None
    second: Tensor | None
    last: int

    @classmethod
    def of(cls, written: Tensor, place: int, levels: int) -> _Vertices:
        def vertex(begin: int) -> Tensor:
            z, y, x = written[:, begin : begin + 3].long().unbind(1)
            return (z * levels + y) * levels + x

        last = levels**3 - 1
        here = written.shape[1] - place
        if here:
            before = (vertex(here - 9), vertex(here - 6), vertex(here - 3))
        else:
            above = written.new_full((len(written),), last, dtype=torch.long)
            before = (torch.full_like(above, -1), above, above)
        first = vertex(here) if place >= 3 else None
        second = vertex(here + 3) if place >= 6 else None
        return cls(before, first, second, last)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest vertex that can be written here: the face must come behind `before` in every completion.

        A face (a, b, c) has b > a, c > a and b != c, and faces ascend by (a, b, c).
        """
        a, b, c = self.before
        last = torch.full_like(a, self.last)
        # Is there a face (a, b, c') behind (a, b, c)? Its third vertex cannot be b.
        third = last - (b == last).long() > c
        if self.first is None:
            return torch.where((b < last) | third, a, a + 1), last - 2
        if self.second is None:
            return torch.where(self.first == a, torch.where(third, b, b + 1), self.first + 1), last
        same = (self.first == a) & (self.second == b)
        low = torch.where(same, c + 1, self.first + 1)
        return low + (low == self.second).long(), last - (self.second == last).long()


__all__ = ["OrderingMask"]
