"""Packs of slates: many answers in one forward pass, the prompt once, each answer as if it stood alone.

A pack is a rectangle of tokens. In a row, slates stand one after another; in a slate, the prompt is followed by its
answers. An answer's token attends to the prompt and to its own answer up to itself, and its position is what it would
be if the answer alone followed the prompt. So its hidden states, and its log-prob, are those of the answer alone.

`visible` says who attends to whom, once: as a dense mask on a CPU, as FlexAttention's block mask on a GPU. Where a base
does not keep answers apart by a mask (train/engine/layout.py finds out), each answer has a row of its own, behind its
own copy of the prompt, and no mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from annotation.errors import TrainError
from train.data.tokens import EncodedSlate

if TYPE_CHECKING:
    import torch

    from train.models.pictures import Pictures

BLOCK = 128
"""FlexAttention works in blocks of this many tokens: the length of a pack for it is a multiple."""

NOWHERE = -1
"""The slate of a token that only fills up a row."""

Shape = Literal["row", "rows", "alone"]
"""How a pack lies: everything in one row (a block mask skips what is not attended to), in rows as long as the longest
slate (a dense mask grows with the square of the row), or each answer alone in a row, without any mask."""


@dataclass(frozen=True)
class Pack:
    """A pack: what goes through the model at once. R rows of L tokens; N answer tokens of A answers.

    Attributes:
        members: Which slates, as indices into what was packed; their answers follow one another in this order.
        ids: Tokens, shape (R, L).
        positions: Place of each token in its answer alone, shape (R, L).
        slates: Which slate a token is of, or NOWHERE, shape (R, L).
        branches: 0 in a prompt, else the answer's number from 1 in its slate, shape (R, L).
        scored: Where the hidden state is that an answer's token is predicted from, in the flattened R x L, shape (N,).
        targets: That token, shape (N,).
        lengths: Tokens of each answer, shape (A,).
        alone: Each row is a prompt with one answer, and nobody needs a mask.
        pictures: Row, slate and picture of each prompt that has one, in the order in which they stand.
        pixels: Each of these pictures once, as the arguments of the model's get_image_features.
    """

    members: tuple[int, ...]
    ids: torch.Tensor
    positions: torch.Tensor
    slates: torch.Tensor
    branches: torch.Tensor
    scored: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor
    alone: bool = field(default=False, kw_only=True)
    pictures: tuple[tuple[int, int, str], ...] = field(default=(), kw_only=True)
    pixels: Mapping[str, Mapping[str, torch.Tensor]] = field(default_factory=dict, kw_only=True)

    @property
    def size(self) -> int:
        """Tokens that are computed, fillers included."""
        return self.ids.numel()

    def to(self, device: torch.device | str, pictures: Pictures | None = None) -> Pack:
        """The same on another device, with the pixels of its pictures where these are given."""
        names = ("ids", "positions", "slates", "branches", "scored", "targets", "lengths")
        moved: dict[str, Any] = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        if pictures:
            seen = {name: pictures.pixels(name) for _, _, name in self.pictures}
            moved["pixels"] = {
                name: {kind: tensor.to(device, non_blocking=True) for kind, tensor in tensors.items()}
                for name, tensors in seen.items()
            }
        return replace(self, **moved)


def tokens_of(slate: EncodedSlate, shape: Shape) -> int:
    """Tokens that a slate takes in a pack of its own."""
    return len(slate.answers) * slate.longest if shape == "alone" else slate.tokens


def pack(slates: Sequence[EncodedSlate], budget: int, shape: Shape = "rows") -> list[Pack]:
    """Lay slates into packs of at most `budget` tokens.

    Long slates go first, each into the first row that has room (first-fit decreasing: Johnson 1973). The same slates
    and budget give the same packs.

    Args:
        slates: In tokens; none is left out.
        budget: Most tokens of a pack, fillers included. A slate that is longer has a pack to itself.
        shape: How the packs lie.
    """
    if shape == "alone":
        return [lay_out(slates, [chosen], shape) for chosen in _alone(slates, budget)]
    order = sorted(range(len(slates)), key=lambda number: (-slates[number].tokens, number))
    packs: list[list[list[int]]] = []  # packs of rows of slates
    room: list[list[int]] = []  # tokens left in each row
    widths: list[int] = []
    for number in order:
        need = slates[number].tokens
        place = next(((p, r) for p, rows in enumerate(room) for r, left in enumerate(rows) if left >= need), None)
        if place:
            packs[place[0]][place[1]].append(number)
            room[place[0]][place[1]] -= need
            continue
        if shape == "rows":
            open_pack = next((p for p, width in enumerate(widths) if (len(packs[p]) + 1) * width <= budget), None)
            if open_pack is not None:
                packs[open_pack].append([number])
                room[open_pack].append(widths[open_pack] - need)
                continue
        width = need if shape == "rows" else max(need, budget)
        packs.append([[number]])
        room.append([width - need])
        widths.append(width)
    return [lay_out(slates, rows, shape) for rows in packs]


def _alone(slates: Sequence[EncodedSlate], budget: int) -> list[list[int]]:
    """Slates of each pack in which every answer has a row, as long as the longest of the pack."""
    packs: list[list[int]] = []
    rows = width = 0
    for number in sorted(range(len(slates)), key=lambda number: (-slates[number].longest, number)):
        more = len(slates[number].answers)
        if not packs or (rows + more) * width > budget:
            packs.append([])
            rows, width = 0, slates[number].longest
        packs[-1].append(number)
        rows += more
    return packs


def lay_out(slates: Sequence[EncodedSlate], rows: Sequence[Sequence[int]], shape: Shape = "rows") -> Pack:
    """Write rows of slates as tensors; FlexAttention's single row is rounded up to whole blocks."""
    import torch

    # A line of the pack: slates, and which of their answers stand in it.
    lines = [[(number, range(len(slates[number].answers))) for number in row] for row in rows]
    if shape == "alone":
        lines = [[(number, range(a, a + 1))] for row in lines for number, answers in row for a in answers]
    width = max(
        sum(len(slates[n].prompt) + sum(len(slates[n].answers[a]) for a in answers) for n, answers in line)
        for line in lines
    )
    width += -width % (BLOCK if shape == "row" else 1)
    ids, positions, owners, branches = ([[fill] * width for _ in lines] for fill in (0, 0, NOWHERE, 0))
    scored: list[int] = []
    targets: list[int] = []
    lengths: list[int] = []
    pictures: list[tuple[int, int, str]] = []
    for line, parts in enumerate(lines):
        at = 0
        for number, answers in parts:
            slate = slates[number]
            if slate.image:
                pictures.append((line, number, slate.image))
            shared = len(slate.prompt)
            if not shared:
                raise TrainError("a prompt has no token, so nothing predicts the first token of its answers.")
            for branch, part in ((0, slate.prompt), *((a + 1, slate.answers[a]) for a in answers)):
                begin, end = (0, shared) if branch == 0 else (shared, shared + len(part))
                ids[line][at : at + len(part)] = part
                positions[line][at : at + len(part)] = range(begin, end)
                owners[line][at : at + len(part)] = [number] * len(part)
                branches[line][at : at + len(part)] = [branch] * len(part)
                if branch == 0:
                    before = line * width + at + shared - 1  # The prompt's last token predicts every answer's first.
                else:
                    here = line * width + at
                    scored += [before, *range(here, here + len(part) - 1)]
                    targets += part
                    lengths.append(len(part))
                at += len(part)
    tensors = (torch.tensor(rows_of, dtype=torch.long) for rows_of in (ids, positions, owners, branches))
    flat = (torch.tensor(values, dtype=torch.long) for values in (scored, targets, lengths))
    members = tuple(number for row in rows for number in row)
    return Pack(members, *tensors, *flat, alone=shape == "alone", pictures=tuple(pictures))


def visible(packed: Pack, window: int | None = None, blocks: torch.Tensor | None = None) -> Callable[..., torch.Tensor]:
    """Mask of who attends to whom, as FlexAttention's mask_mod: (row, head, query, key) → bool.

    Args:
        packed: The pack.
        window: Of a sliding-window layer: a token sees the `window` positions up to its own, by its distance in the
            answer alone and not in the pack.
        blocks: Which picture of its row a token is a part of, or NOWHERE, shape (R, L), where the parts of one see each
            other in both directions.
    """
    slates, branches, positions = packed.slates, packed.branches, packed.positions

    def sees(row: Any, _head: Any, query: Any, key: Any) -> Any:
        shared = slates[row, query] == slates[row, key]
        branch = branches[row, key]
        own = (branch == 0) | (branch == branches[row, query])
        before = query >= key
        if blocks is not None:
            before = before | ((blocks[row, query] == blocks[row, key]) & (blocks[row, key] != NOWHERE))
        near = shared & own & before
        return near if window is None else near & (positions[row, query] - positions[row, key] < window)

    return sees


def attention_masks(packed: Pack, config: Any, dtype: torch.dtype, blocks: torch.Tensor | None = None) -> Any:
    """The pack's mask as the model takes it: one, or one per kind of layer.

    Args:
        packed: On the model's device.
        config: Of the model.
        dtype: Of its activations; dense masks are added to the scores.
        blocks: As for `visible`.

    Raises:
        ValueError: The model has layers in which answers cannot be kept apart by a mask.
    """
    windows = attention_windows(config)
    masks = {kind: _mask(packed, visible(packed, window, blocks), config, dtype) for kind, window in windows.items()}
    return masks if getattr(config, "layer_types", None) and len(masks) > 1 else next(iter(masks.values()))


def attention_windows(config: Any) -> dict[str, int | None]:
    """The kinds of attention layers of a model → their sliding window, None where a layer sees everything.

    Raises:
        ValueError: There is a kind of layer in which answers cannot be kept apart by a mask.
    """
    window = getattr(config, "sliding_window", None)
    kinds: list[str] = sorted(set(getattr(config, "layer_types", None) or ()))
    if not kinds:
        kinds = ["full_attention" if window is None else "sliding_attention"]
    unknown = [kind for kind in kinds if kind not in ("full_attention", "sliding_attention")]
    if unknown:
        raise ValueError(f"no mask parts answers in {unknown[0]} layers")
    return {kind: window if kind == "sliding_attention" else None for kind in kinds}


def _mask(packed: Pack, sees: Callable[..., torch.Tensor], config: Any, dtype: torch.dtype) -> Any:
    import torch

    rows, width = packed.ids.shape
    device = packed.ids.device
    if config._attn_implementation == "flex_attention":
        from train.engine.compiled import block_mask_maker

        return block_mask_maker(device.type)(sees, rows, None, width, width, device=device)
    places = torch.arange(width, device=device)
    seen = sees(torch.arange(rows, device=device)[:, None, None], None, places[:, None], places[None, :])
    # Added to the scores, so that no layer has to turn it into numbers again.
    unseen = torch.finfo(dtype).min
    return torch.where(seen, torch.zeros((), dtype=dtype, device=device), unseen)[:, None]


def in_one_pass(slates: Sequence[EncodedSlate], shape: Shape = "rows") -> Iterator[Pack]:
    """Each slate in a pack of its own: what is computed of it depends on nothing but itself."""
    return (lay_out(slates, [[number]], shape) for number in range(len(slates)))
