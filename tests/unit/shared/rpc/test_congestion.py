from pathlib import Path

import pytest

from shared.rpc.address import Address
from shared.rpc.congestion import congestion_control, hint

FAR = Address(host="10.0.0.1", port=1)
NEAR = Address(host="127.0.0.1", port=1)


@pytest.mark.parametrize(
    ("name", "peer", "is_told"), [("bbr", FAR, False), ("cubic", NEAR, False), ("cubic", FAR, True), ("", FAR, False)]
)
def test_who_has_no_bbr_on_the_way_to_another_machine_is_told_what_to_set(
    name: str, peer: Address, is_told: bool
) -> None:
    assert ("tcp_congestion_control=bbr" in hint(name, peer)) is is_told


def test_the_kernels_setting_is_read_and_none_is_no_fault(tmp_path: Path) -> None:
    setting = tmp_path / "tcp_congestion_control"
    assert congestion_control(setting) == ""
    setting.write_text("cubic\n")
    assert congestion_control(setting) == "cubic"
