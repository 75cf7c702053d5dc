"""A training that goes on where it was: after an interruption of a spot machine, a stop, a crash.

    python3 resumable-mxnet.py
    rm -r ~/checkpoints/resumable-mxnet        to begin anew

It saves everything that the next step depends on every few hundred steps, when EC2 announces an
interruption, and on SIGTERM, with which a machine that is stopped ends its programs. To let it go
on by itself whenever the machine is started again:

    sudo systemctl enable --now gpustation-training@resumable-mxnet
    journalctl -f -u gpustation-training@resumable-mxnet

The model and its data are small and made up; put your own in their place. On a CPU the result is
the same to the last bit however often the training was interrupted. A GPU does so only if all of
its kernels are deterministic.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import numpy
from mxnet import autograd, gluon, np, npx, random

npx.set_np()

#: There from EC2's notice, two minutes before it interrupts the machine, until that happens.
NOTICE = Path("/run/gpustation/interruption.json")
SEED = 7
SAMPLES, FEATURES, BATCH = 4096, 32, 64


class Checkpoints:
    """The two newest checkpoints in a folder, of which each is there whole or not at all."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step, net, trainer):
        """Save what the next step depends on, and delete all but the two newest."""
        path = self.folder / f"step-{step:09}"
        draft = path.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        net.save_parameters(str(draft / "parameters"))
        trainer.save_states(str(draft / "optimizer"))
        (draft / "state.json").write_text(json.dumps({"step": step}))
        # Without it, a power cut soon after the rename can leave empty files
        for file in [*draft.iterdir(), draft]:
            sync(file)
        shutil.rmtree(path, ignore_errors=True)
        draft.rename(path)
        sync(self.folder)
        for old in self.oldest_first()[:-2]:
            shutil.rmtree(old)

    def oldest_first(self):
        """Return the folders of the checkpoints."""
        paths = self.folder.glob("step-*")
        return sorted(path for path in paths if path.suffix != ".draft")

    def restore(self, net, trainer, device):
        """Read the newest one that can be read, and return its step; 0 if there is none."""
        paths = self.oldest_first()
        for path in reversed(paths):
            try:
                step = json.loads((path / "state.json").read_text())["step"]
                net.load_parameters(str(path / "parameters"), ctx=device)
                trainer.load_states(str(path / "optimizer"))
                return step
            except Exception as error:
                print(f"{path} cannot be read: {error}", flush=True)
        if paths:
            raise SystemExit(f"no checkpoint can be read: delete {self.folder} to begin anew")
        return 0


def sync(path):
    """Let what was written to a file, or renamed in a folder, outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
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


def batch_of(step, x, y, device):
    """Return the samples of a step: each epoch has an order of its own, which its number decides.

    So a training that begins in the middle of an epoch has the order of that epoch, too.
    """
    per_epoch = SAMPLES // BATCH
    epoch, index = divmod(step, per_epoch)
    order = numpy.random.default_rng(SEED + epoch).permutation(SAMPLES)
    chosen = np.array(order[index * BATCH : (index + 1) * BATCH], dtype="int64", ctx=device)
    return x[chosen], y[chosen]


def digest(net):
    """Return a number that is different if any bit of the parameters is."""
    made = hashlib.sha256()
    for _, value in sorted(net.collect_params().items()):
        made.update(value.data().asnumpy().tobytes())
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
    device = npx.gpu() if npx.num_gpus() else npx.cpu()
    random.seed(SEED)
    x = np.random.normal(size=(SAMPLES, FEATURES), ctx=device)
    y = np.sin(x.sum(axis=1, keepdims=True)) + 0.1 * np.random.normal(size=(SAMPLES, 1), ctx=device)
    # Dropout, so that the random numbers matter
    net = gluon.nn.Sequential()
    net.add(gluon.nn.Dense(64, activation="relu", in_units=FEATURES))
    net.add(gluon.nn.Dropout(0.1), gluon.nn.Dense(1, in_units=64))
    net.initialize(ctx=device)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 1e-3})
    loss_of = gluon.loss.L2Loss()

    step = checkpoints.restore(net, trainer, device)
    begun = (
        f"resumed at step {step} of {options.steps}" if step else f"begun, {options.steps} steps"
    )
    print(f"{begun} on {device}", flush=True)

    while step < options.steps:
        inputs, wanted = batch_of(step, x, y, device)
        # MXNet cannot save the state of its random numbers, so each step has a seed of its own
        random.seed(SEED * 1_000_003 + step)
        with autograd.record():
            loss = loss_of(net(inputs), wanted).mean()
        loss.backward()
        trainer.step(1)
        step += 1

        noticed = stop.is_new_notice()
        if stop.requested or noticed or step % options.every == 0 or step == options.steps:
            checkpoints.save(step, net, trainer)
            reason = ", for EC2's notice" if noticed else ""
            print(f"saved step {step}, loss {loss.item():.4f}{reason}", flush=True)
        if stop.requested and step < options.steps:
            print("stopped; it goes on from here when it is started again", flush=True)
            return
    print(f"finished after {step} steps, parameters {digest(net)}", flush=True)


if __name__ == "__main__":
    main()
