"""Throttle of failed log-ins: how long the next attempt has to wait."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable


class Throttle:
    """Counts failed log-ins, and says how long the next attempt has to wait.

    A leaky bucket (the generic cell rate algorithm of ATM): so many failures are free, and one is forgotten every few
    seconds. A failure counts on three sides: the account from this address, the account from anywhere, the address with
    any account. Where somebody has logged in before, only their own failures there count: others who guess can keep
    nobody out who is known. What `annot team add` makes up as passwords cannot be guessed at this rate.
    """

    PERSON = (10, 30.0)
    """Failures that are free, and seconds after which one is forgotten: the longest wait."""
    ACCOUNT = (30, 10.0)
    ADDRESS = (60, 5.0)
    MOST = 20_000
    """Sides that are remembered at once; those that failed longest ago go first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no failures.

        Args:
            clock: Seconds, never going back.
        """
        self._clock = clock
        self._forgotten_at: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_s(self, account: str, address: str) -> float:
        """Seconds until an attempt may be made; 0 for now."""
        now = self._clock()
        return max(
            0.0,
            *(
                self._forgotten_at.get(side, now) - now - (free - 1) * period
                for side, (free, period) in self._sides(account, address)
            ),
        )

    def failed(self, account: str, address: str) -> None:
        """A log-in was refused."""
        now = self._clock()
        for side, (_, period) in self._sides(account, address):
            self._forgotten_at[side] = max(now, self._forgotten_at.get(side, now)) + period
            self._forgotten_at.move_to_end(side)
        while len(self._forgotten_at) > self.MOST:
            self._forgotten_at.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """A log-in was right: what failed before it was a typing mistake."""
        person = (account, network(address))
        self._forgotten_at.pop(person, None)
        self._known[person] = None
        self._known.move_to_end(person)
        while len(self._known) > self.MOST:
            self._known.popitem(last=False)

    def _sides(self, account: str, address: str) -> list[tuple[tuple[str, str], tuple[int, float]]]:
        place = network(address)
        sides = [((account, place), self.PERSON)]
        if (account, place) not in self._known:
            sides += [((account, ""), self.ACCOUNT), (("", place), self.ADDRESS)]
        return sides


def network(address: str) -> str:
    """Where an attempt comes from: an IPv4 address, or the /64 that one household has of IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
