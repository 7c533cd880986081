"""The ranks of one training: processes that share every batch and take each step together.

Gradients are summed over the ranks by hand, and the loss is divided by the class weights of the whole batch. So,
unlike an average over ranks, a step is the one-process step also where a batch does not divide. What is lost against
`DistributedDataParallel` is that its sums overlap the backward pass.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Ranks:
    """This process among those of its training; alone, nothing is sent and nothing copied."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which items of a sequence are this rank's; the ranks' shares differ by one item at most."""
        return slice(self.rank, None, self.size)

    def gathered(self, share: Tensor, n: int) -> Tensor:
        """The ranks' shares (m, D) of n rows, put together as (n, D), the same on each rank."""
        if self.size == 1:
            return share
        whole = share.new_zeros((n, *share.shape[1:]))
        whole[self.share] = share
        dist.all_reduce(whole)  # of each row one rank alone holds more than zeros: exact
        return whole

    def summed(self, *values: float, device: torch.device) -> list[float]:
        """Each value, summed over the ranks."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return [float(value) for value in total]

    def begin_alike(self, module: nn.Module) -> None:
        """Give each rank the first one's weights."""
        if self.size > 1:
            for value in module.state_dict().values():
                dist.broadcast(value, 0)

    def sum_gradients(self, module: nn.Module) -> None:
        """Replace gradients by their sums over the ranks; a rank without images adds nothing."""
        if self.size == 1:
            return
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        flat = torch.cat(
            [
                (parameter.new_zeros(parameter.shape) if parameter.grad is None else parameter.grad).flatten()
                for parameter in trained
            ]
        )
        dist.all_reduce(flat)
        start = 0
        for parameter in trained:
            part = flat[start : start + parameter.numel()]
            start += parameter.numel()
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(part.view_as(parameter))

    def average_buffers(self, module: nn.Module) -> None:
        """Replace running statistics, which each rank has of its own share, by their means."""
        if self.size == 1:
            return
        for buffer in module.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer.div_(self.size)


def ranks_here() -> Ranks:
    """The process group that this process is in: of `launch`, or of a script that `torchrun` runs."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return Ranks()
