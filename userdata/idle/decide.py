"""Decides whether the machine is idle, from samples of what moved: no clock, no files, no commands.

The rules (docs/idle-stop.md): what moved keeps the machine awake for a window; who is there without
moving anything keeps it awake until a cap; what cannot be sampled counts as moving, but not for
ever; nothing stops without a warning some minutes before.

All times are seconds since the boot, so that a change of the clock moves nothing.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

#: Movement per second from which on a signal counts over a whole window.
RATES = {
    "cpu": 0.03,  # CPU seconds: 3 % of one core
    "disk": 100_000 / 60,  # bytes: 100 KB per minute
    "network": 100_000 / 60,
    # CPU seconds of kernels while they are busy, but not of those that wait in input().
    "kernels": 0.02,
}
#: Values above which one sample alone counts.
PEAKS = {
    "gpu": 5.0,  # highest use of any GPU in percent; drivers show up to 3 % without work (estimate)
    "input": 0.0,  # typed since the last sample
}
SIGNALS = (*PEAKS, *RATES)
#: Samples further apart than this number of ticks are a gap.
GAP_TICKS = 3


@dataclasses.dataclass(frozen=True)
class Policy:
    """How long is long, in seconds."""

    #: Time without movement after which the machine stops: the setting idle_stop_minutes.
    window: float
    #: Time without movement for which somebody who is there keeps the machine awake.
    cap: float = 7200
    #: Time between two samples.
    tick: float = 60
    #: Time for which signals that cannot be sampled count as moving.
    patience: float = 7200
    #: GiB on /scratch above which the machine stops only after the cap; 0: never. The setting
    #: idle_stop_scratch_gib.
    scratch_gib: float = 0

    @property
    def lead(self) -> float:
        """Time between the warning and the stop."""
        return min(300.0, self.window / 2)


@dataclasses.dataclass(frozen=True)
class Sample:
    """What was seen at one moment.

    Attributes:
        at: Moment, in seconds since the boot.
        moved: Movement since the sample before, by signal; ``None`` if it could not be sampled.
        present: Who is there, in words.
        set_up: Whether the machine's set-up runs.
        faults: Reason for each signal that could not be sampled.
        scratch_gib: GiB in use on /scratch, which a stop loses; ``None`` if there is no /scratch.
    """

    at: float
    moved: Mapping[str, float | None]
    present: Sequence[str] = ()
    set_up: bool = False
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scratch_gib: float | None = None


@dataclasses.dataclass(frozen=True)
class Hold:
    """One reason to stay awake: until when, and why."""

    until: float
    reason: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the samples mean.

    Attributes:
        state: ``awake``, ``warned`` (idle, and stops soon) or ``stop``.
        stops_at: When the machine stops if nothing moves from now on.
        reason: Why it stays awake until then, or why it stops.
        quiet_since: When something last moved; the first sample if nothing ever did.
        warnings: What the person should know, such as signals that cannot be sampled.
        busy_until: Until when something counts as moving: work, the set-up, what is unknown. Who is
            there without moving anything does not.
        busy_with: Which, in words.
    """

    state: str
    stops_at: float
    reason: str
    quiet_since: float
    warnings: tuple[str, ...] = ()
    busy_until: float = 0.0
    busy_with: str = ""


def decide(
    samples: Sequence[Sample],
    policy: Policy,
    *,
    now: float,
    keep_awake_until: float = 0.0,
    warned_at: float | None = None,
) -> Verdict:
    """Return the verdict.

    Args:
        samples: All of this boot, the oldest first, at least one; :func:`needed` tells which old
            ones can be forgotten.
        policy: The machine's policy.
        now: The current moment.
        keep_awake_until: End of the longest valid request to keep the machine awake.
        warned_at: When the stop was announced; ``None`` if it was not, or something moved since.
    """
    samples = [*_with_gaps(samples, policy)]
    holds = [Hold(samples[0].at + policy.window, "the first window of this boot")]
    movement = [*_movement(samples, policy)]
    holds += movement
    quiet_since = max([samples[0].at, *(hold.until - policy.window for hold in movement)])
    need = policy.window
    stays = _stays(samples[-1], policy)
    if stays and policy.cap > policy.window:
        need = policy.cap
        reason = stays
        moving = [hold for hold in movement if hold.until > now]
        if moving:
            reason = max(moving, key=lambda hold: hold.until).reason
        holds.append(Hold(quiet_since + need, reason))
    unknown, warnings = _unknown(samples, policy, quiet_since, need)
    busy = [*movement, *_set_up(samples, policy, need), *unknown]
    holds += busy
    if keep_awake_until:
        holds.append(Hold(keep_awake_until, "it was asked to stay awake"))
    last = max(holds, key=lambda hold: hold.until)
    # Nothing stops unannounced, however late the announcement is.
    announced = now if warned_at is None else warned_at
    stops_at = max(last.until, announced + policy.lead)
    if now >= stops_at and warned_at is not None:
        state = "stop"
    elif now >= last.until - policy.lead:
        state = "warned"
    else:
        state, stops_at = "awake", last.until
    still = f"nothing moved for {minutes(now - quiet_since)}"
    reason = last.reason if state == "awake" else still
    work = max(busy, key=lambda hold: hold.until, default=Hold(0.0, ""))
    return Verdict(state, stops_at, reason, quiet_since, tuple(warnings), work.until, work.reason)


def needed(samples: Sequence[Sample], policy: Policy) -> Sequence[Sample]:
    """Return the samples on which a verdict can still depend."""
    horizon = 2 * (max(policy.window, policy.cap) + policy.patience)
    return [sample for sample in samples if sample.at >= samples[-1].at - horizon]


def minutes(seconds: float) -> str:
    """Return a duration in words, such as ``90 min``."""
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _stays(sample: Sample, policy: Policy) -> str:
    """Return what keeps a machine on which nothing moves awake until the cap; empty for nothing."""
    if sample.present:
        return f"open, but nothing moves: {', '.join(sample.present)}"
    if policy.scratch_gib and (sample.scratch_gib or 0) > policy.scratch_gib:
        return f"{gib(sample.scratch_gib or 0)} on /scratch would be lost"
    return ""


def gib(amount: float) -> str:
    """Return an amount of data in words, such as ``12 GiB``."""
    return f"{amount:.0f} GiB" if amount >= 9.95 else f"{amount:.1f} GiB"


def _with_gaps(samples: Sequence[Sample], policy: Policy) -> Iterator[Sample]:
    """Mark what cannot be known of a gap: whether a GPU was used, or somebody typed.

    Counters such as that of the CPU have counted on.
    """
    before = samples[0].at
    for sample in samples:
        if sample.at - before > GAP_TICKS * policy.tick:
            why = f"there was no sample for {minutes(sample.at - before)}"
            unseen = [name for name, peak in PEAKS.items() if (sample.moved.get(name) or 0) <= peak]
            sample = dataclasses.replace(
                sample,
                moved={**sample.moved, **dict.fromkeys(unseen)},
                faults={**dict.fromkeys(unseen, why), **sample.faults},
            )
        before = sample.at
        yield sample


def _movement(samples: Sequence[Sample], policy: Policy) -> Iterator[Hold]:
    """Yield a hold for each signal that ever moved, until a window after it last did."""
    for name, peak in PEAKS.items():
        for sample in reversed(samples):
            value = sample.moved.get(name)
            if value is not None and value > peak:
                yield Hold(sample.at + policy.window, _peak_in_words(name, value))
                break
    for name, rate in RATES.items():
        values = [(sample.at, sample.moved.get(name) or 0.0) for sample in samples]
        if moved := _last_movement(values, policy, rate):
            at, amount = moved
            yield Hold(at + policy.window, _rate_in_words(name, amount / policy.window))


def _last_movement(
    values: Sequence[tuple[float, float]], policy: Policy, rate: float
) -> tuple[float, float] | None:
    """Return when values last moved at a rate that they also had over a window, and their sum.

    One large value counts when it moved, and not until its window has passed.
    """
    first, total = len(values), 0.0
    for last in reversed(range(len(values))):
        end = values[last][0]
        while first > 0 and values[first - 1][0] > end - policy.window:
            first -= 1
            total += values[first][1]
        if total >= rate * policy.window:
            for index in range(last, first - 1, -1):
                at, value = values[index]
                span = at - values[index - 1][0] if index else policy.tick
                # Half, because the first value of the window reaches back before it: so there is
                # always one.
                if value >= rate * min(span, GAP_TICKS * policy.tick) / 2:
                    return at, total
        total -= values[last][1]
    return None


def _set_up(samples: Sequence[Sample], policy: Policy, need: float) -> Iterator[Hold]:
    """Yield a hold for the set-up, whose own work is not counted: not longer than the cap."""
    times = [sample.at for sample in samples if sample.set_up]
    if times:
        until = min(times[-1], times[0] + policy.cap) + need
        yield Hold(until, "the set-up of this boot")


def _unknown(
    samples: Sequence[Sample], policy: Policy, quiet_since: float, need: float
) -> tuple[list[Hold], list[str]]:
    """Return holds and warnings for signals that could not be sampled since something moved."""
    holds, warnings, blind = [], [], []
    for name in SIGNALS:
        faults = [
            sample
            for sample in samples
            if sample.at >= quiet_since and sample.moved.get(name) is None
        ]
        if not faults:
            continue
        first, last = faults[0].at, faults[-1].at
        why = faults[-1].faults.get(name, "no reason is known")
        until = min(last + need, first + policy.patience)
        holds.append(Hold(until, f"unknown, and so counted as moving: {name} ({why})"))
        if last < samples[-1].at:
            continue
        if samples[-1].at >= first + policy.patience:
            warnings.append(f"{name} is left out: it could not be sampled ({why})")
        else:
            warnings.append(f"{name} cannot be sampled and counts as moving ({why})")
        blind.append(first)
    if len(blind) == len(SIGNALS):
        until = max(blind) + 2 * policy.patience
        holds.append(Hold(until, "nothing can be sampled"))
        warnings.append(f"nothing can be sampled: {minutes(2 * policy.patience)} of it at most")
    return holds, warnings


def _peak_in_words(name: str, value: float) -> str:
    return {"gpu": f"GPU use of {value:.0f} %", "input": "typed input"}[name]


def _rate_in_words(name: str, rate: float) -> str:
    return {
        "cpu": f"programs use {rate:.0%} of a CPU core",
        "disk": f"programs read and write {rate * 60 / 1000:,.0f} KB per minute on disk",
        "network": f"{rate * 60 / 1000:,.0f} KB per minute on the network",
        "kernels": f"busy notebook kernels use {rate:.0%} of a CPU core",
    }[name]
