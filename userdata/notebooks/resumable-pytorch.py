"""A training that goes on where it was: after an interruption of a spot machine, a stop, a crash.

    python3 resumable-pytorch.py
    rm -r ~/checkpoints/resumable-pytorch      to begin anew

It saves everything that the next step depends on every few hundred steps, when EC2 announces an
interruption, and on SIGTERM, with which a machine that is stopped ends its programs. To let it go
on by itself whenever the machine is started again:

    sudo systemctl enable --now gpustation-training@resumable-pytorch
    journalctl -f -u gpustation-training@resumable-pytorch

The model and its data are small and made up; put your own in their place. On a CPU the result is
the same to the last bit however often the training was interrupted. A GPU does so only if all of
its kernels are deterministic: https://docs.pytorch.org/docs/stable/notes/randomness.html
"""

import argparse
import hashlib
import os
import signal
from pathlib import Path

import torch
from torch import nn

#: There from EC2's notice, two minutes before it interrupts the machine, until that happens.
NOTICE = Path("/run/gpustation/interruption.json")
SEED = 7
SAMPLES, FEATURES, BATCH = 4096, 32, 64


class Checkpoints:
    """The two newest checkpoints in a folder, of which each is there whole or not at all."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step, state):
        """Save what the next step depends on, and delete all but the two newest."""
        path = self.folder / f"step-{step:09}.pt"
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            torch.save(state, file)
            file.flush()
            # Without it, a power cut soon after the rename can leave an empty file
            os.fsync(file.fileno())
        draft.replace(path)
        sync(self.folder)
        for old in sorted(self.folder.glob("step-*.pt"))[:-2]:
            old.unlink()

    def newest(self, device):
        """Return the newest one that can be read; None if there is none."""
        paths = sorted(self.folder.glob("step-*.pt"), reverse=True)
        for path in paths:
            try:
                return torch.load(path, map_location=device, weights_only=True)
            except Exception as error:
                print(f"{path} cannot be read: {error}", flush=True)
        if paths:
            raise SystemExit(f"no checkpoint can be read: delete {self.folder} to begin anew")
        return None


def sync(folder):
    """Let a rename in a folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


class Stop:
    """Whether the training should save: SIGTERM ends it, a notice does not.

    The training goes on after EC2's notice, because the machine runs for another two minutes, and
    EC2 may take the notice back. SIGTERM comes when the machine shuts down.
    """

    def __init__(self):
        self.requested = False
        self._noticed = False
        signal.signal(signal.SIGTERM, self._request)

    def _request(self, *_):
        self.requested = True

    def is_new_notice(self):
        """Return whether EC2 has announced an interruption since the last call."""
        before, self._noticed = self._noticed, NOTICE.exists()
        return self._noticed and not before


def batch_of(step, x, y):
    """Return the samples of a step: each epoch has an order of its own, which its number decides.

    So a training that begins in the middle of an epoch has the order of that epoch, too.
    """
    per_epoch = SAMPLES // BATCH
    epoch, index = divmod(step, per_epoch)
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(SEED + epoch))
    chosen = order[index * BATCH : (index + 1) * BATCH].to(x.device)
    return x[chosen], y[chosen]


def digest(model):
    """Return a number that is different if any bit of the parameters is."""
    made = hashlib.sha256()
    for value in model.state_dict().values():
        made.update(value.cpu().numpy().tobytes())
    return made.hexdigest()[:16]


def main():
    """Train, from the newest checkpoint on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument(
        "--every", type=int, default=500, help="steps from one checkpoint to the next"
    )
    folder = Path.home() / "checkpoints" / Path(__file__).stem
    parser.add_argument("--folder", type=Path, default=folder, help="of the checkpoints")
    options = parser.parse_args()

    stop, checkpoints = Stop(), Checkpoints(options.folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(SEED)
    x = torch.randn(SAMPLES, FEATURES).to(device)
    y = torch.sin(x.sum(dim=1, keepdim=True)) + 0.1 * torch.randn(SAMPLES, 1).to(device)
    # Dropout, so that the state of the random numbers matters
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 1))
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    step = 0
    if state := checkpoints.newest(device):
        step = state["step"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"].cpu())
        if device == "cuda":
            torch.cuda.set_rng_state(state["random of the GPU"].cpu())
        print(f"resumed at step {step} of {options.steps} on {device}", flush=True)
    else:
        print(f"begun, {options.steps} steps on {device}", flush=True)

    while step < options.steps:
        inputs, wanted = batch_of(step, x, y)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), wanted)
        loss.backward()
        optimizer.step()
        step += 1

        noticed = stop.is_new_notice()
        if stop.requested or noticed or step % options.every == 0 or step == options.steps:
            # Also a schedule of the learning rate, a GradScaler, a second optimizer: whatever
            # changes from step to step
            state = {
                "step": step,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": torch.get_rng_state(),
            }
            if device == "cuda":
                state["random of the GPU"] = torch.cuda.get_rng_state()
            checkpoints.save(step, state)
            reason = ", for EC2's notice" if noticed else ""
            print(f"saved step {step}, loss {loss.item():.4f}{reason}", flush=True)
        if stop.requested and step < options.steps:
            print("stopped; it goes on from here when it is started again", flush=True)
            return
    print(f"finished after {step} steps, parameters {digest(model)}", flush=True)


if __name__ == "__main__":
    main()
