"""Frozen depthwise convolutions are the convolutions that they stand for."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasks.training.depthwise import FrozenDepthwise, freeze_depthwise


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.sampled_from([1, 3, 5]), st.integers(1, 2), st.booleans(), st.integers(6, 15))
def test_frozen_depthwise_is_the_convolution_and_its_gradient(
    channels: int, side: int, stride: int, same: bool, size: int
) -> None:
    from timm.layers.conv2d_same import Conv2dSame

    torch.manual_seed(0)
    kind, padding = (Conv2dSame, 0) if same else (nn.Conv2d, side // 2)
    conv = kind(channels + 1, channels + 1, side, stride, padding, groups=channels + 1)
    frozen = FrozenDepthwise(conv)
    images = torch.randn(2, channels + 1, size, size + 1, requires_grad=True)
    copy = images.detach().clone().requires_grad_(True)
    expected, answer = conv(images), frozen(copy)
    torch.testing.assert_close(answer, expected)
    weight = torch.randn_like(expected)
    torch.autograd.backward((expected * weight).sum())
    torch.autograd.backward((answer * weight).sum())
    torch.testing.assert_close(copy.grad, images.grad)
    assert frozen.weight.grad is None
    assert frozen.state_dict().keys() == conv.state_dict().keys()


def test_only_depthwise_convolutions_are_frozen() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Sequential(nn.Conv2d(8, 8, 3, groups=8)), nn.Conv2d(8, 8, 1, groups=2)
    )
    freeze_depthwise(net)
    kinds = [type(module).__name__ for module in net.modules() if not isinstance(module, nn.Sequential)]
    assert kinds == ["Conv2d", "FrozenDepthwise", "Conv2d"]
