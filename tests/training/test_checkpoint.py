"""A checkpoint is whole, and of its own training."""

from pathlib import Path

import torch

from tasks.training.checkpoint import FILE, drop_checkpoint, load_checkpoint, save_checkpoint


def test_a_checkpoint_is_for_its_own_training_only(tmp_path: Path) -> None:
    state = {"step": 3, "values": torch.arange(4)}
    save_checkpoint(tmp_path / "member", "mine", state)
    found = load_checkpoint(tmp_path / "member", "mine")
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["values"], torch.arange(4))
    assert load_checkpoint(tmp_path / "member", "another") is None
    assert [path.name for path in (tmp_path / "member").iterdir()] == [FILE]
    whole = (tmp_path / "member" / FILE).read_bytes()
    (tmp_path / "member" / FILE).write_bytes(whole[: len(whole) // 2])
    assert load_checkpoint(tmp_path / "member", "mine") is None
    drop_checkpoint(tmp_path / "member")
    assert load_checkpoint(tmp_path / "member", "mine") is None
