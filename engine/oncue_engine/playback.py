"""Where the listener is: what was sent against what has been played, on the listener's own clock."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Playback"]


@dataclass(slots=True)
class Playback:
    """Samples at the output rate, times in seconds of a monotonic clock.

    Playback is taken to start with the first audio and to run at the output rate; it stands still while there is
    nothing to play. A reported playhead replaces the estimate, which goes on from there.
    """

    rate_hz: int
    sent: int
    """End of what was delivered: the next sample's index."""
    _anchor_sample: float = 0.0
    _anchor_s: float | None = None

    def played(self, now_s: float) -> float:
        """Samples played by `now_s`, never more than were sent."""
        if self._anchor_s is None:
            return self.sent
        return min(float(self.sent), self._anchor_sample + (now_s - self._anchor_s) * self.rate_hz)

    def lead_samples(self, now_s: float) -> float:
        """Sent and not yet played."""
        return self.sent - self.played(now_s)

    def deliver(self, samples: int, now_s: float) -> None:
        """`samples` more were sent."""
        if self._anchor_s is None or self.played(now_s) >= self.sent:
            self._anchor_sample, self._anchor_s = float(self.sent), now_s
        self.sent += samples

    def report(self, played: int, now_s: float) -> None:
        """The listener says how far it has played. Reports before the first audio, or beyond what was sent, are cut."""
        if self._anchor_s is not None:
            self._anchor_sample, self._anchor_s = float(max(0, min(played, self.sent))), now_s

    def seconds_until_lead(self, lead_samples: float, now_s: float) -> float:
        """How long until the lead has fallen to `lead_samples`; 0 where it is already there."""
        return max(0.0, (self.lead_samples(now_s) - lead_samples) / self.rate_hz)
