"""Which interface gloo is told to use."""

from __future__ import annotations

import ipaddress
import sys

import pytest

from ilab_miniature import network


def test_a_choice_already_made_is_kept() -> None:
    environment = {"GLOO_SOCKET_IFNAME": "eth7", "MASTER_ADDR": "127.0.0.1"}
    assert network.choose_interface(environment) is None
    assert environment["GLOO_SOCKET_IFNAME"] == "eth7"


@pytest.mark.parametrize("master", ["127.0.0.1", "localhost"])
def test_a_loopback_master_means_the_loopback_interface(master: str) -> None:
    environment = {"MASTER_ADDR": master}
    assert network.choose_interface(environment) == network.loopback() == environment["GLOO_SOCKET_IFNAME"]


@pytest.mark.parametrize("master", ["", "no-such-host.invalid"])
def test_an_unknown_master_changes_nothing(master: str) -> None:
    environment = {"MASTER_ADDR": master}
    assert network.choose_interface(environment) is None
    assert "GLOO_SOCKET_IFNAME" not in environment


def test_another_hosts_master_means_the_interface_that_leads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_own_name_is_usable", lambda: False)
    monkeypatch.setattr(network, "_interface_towards", lambda master: "eth0" if str(master) == "192.0.2.7" else None)
    environment = {"MASTER_ADDR": "192.0.2.7"}
    assert network.choose_interface(environment) == "eth0"


def test_a_resolvable_own_name_is_left_to_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_own_name_is_usable", lambda: True)
    assert network.choose_interface({"MASTER_ADDR": "192.0.2.7"}) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the call is Linux's")
def test_an_interface_is_found_by_its_address() -> None:
    assert network._interface_with(ipaddress.ip_address("127.0.0.1")) == "lo"
    assert network._interface_with(ipaddress.ip_address("192.0.2.1")) is None
