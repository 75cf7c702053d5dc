"""Small generated data in the form of what the book downloads; nothing can be learnt from them.

Loaded in the kernels of the book's environments: the standard library only.
"""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

IMAGES = 256
"""Fewer than the book's 60,000 and 10,000, as many as its largest batch."""
WORDS = 40_000
"""The book takes 15,000 sequences of 32 characters of the time machine."""
HOUSES = 300
IDX = {"train": "train", "test": "t10k"}


def images(part: str) -> dict[str, bytes]:
    """Return images and labels of a part in the IDX format, by their names."""
    chance = random.Random(part)
    labels = bytes(number % 10 for number in range(IMAGES))
    pixels = chance.randbytes(IMAGES * 28 * 28)
    return {
        f"{IDX[part]}-images-idx3-ubyte": struct.pack(">4i", 2051, IMAGES, 28, 28) + pixels,
        f"{IDX[part]}-labels-idx1-ubyte": struct.pack(">2i", 2049, IMAGES) + labels,
    }


def place_images(book: Path, mxnet_home: Path) -> None:
    """Put both MNIST where torchvision and MXNet look for them before they download."""
    appendix = "chapter_appendix-mathematics-for-deep-learning/temp"
    folders = [
        (book / "data/FashionMNIST/raw", mxnet_home / "datasets/fashion-mnist"),
        (book / appendix / "MNIST/raw", mxnet_home / "datasets/mnist"),
    ]
    for raw, compressed in folders:
        raw.mkdir(parents=True)
        compressed.mkdir(parents=True)
        for name, content in [*images("train").items(), *images("test").items()]:
            (raw / name).write_bytes(content)
            (compressed / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))


KNOWN = (
    "the time machine traveller of a chip baby beautiful man woman son daughter beijing china"
    " tokyo japan bad worst big biggest do did go went"
)
"""Words that the book looks up."""


def vocabulary(chance: random.Random, tries: int = 4000) -> list[str]:
    """Return the words that the book asks for, and some of about so many tries."""
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    made = {
        "".join(chance.choices(letters, range(26, 0, -1), k=1 + number % 9))
        for number in range(tries)
    }
    known = KNOWN.split()
    return known + sorted(made - {*known})


def words(count: int) -> list[str]:
    """Return words of which a few are frequent and many are rare, as in a language."""
    chance = random.Random(count)
    known = vocabulary(chance)
    weights = [1 / (rank + 1) for rank in range(len(known))]
    return chance.choices(known, weights, k=count)


def lines(count: int, length: int) -> list[str]:
    """Return lines of words."""
    text = words(count * length)
    return [" ".join(text[start : start + length]) for start in range(0, len(text), length)]


def time_machine() -> bytes:
    """Return a text in lines of ten words."""
    return "\n".join(lines(WORDS // 10, 10)).encode()


def translations() -> bytes:
    """Return pairs of sentences with a tab between them."""
    pairs = zip(lines(1200, 3), lines(1200, 4), strict=True)
    return zipped({"fra-eng/fra.txt": "".join(f"{one}.\t{other} !\n" for one, other in pairs)})


def houses(part: str) -> bytes:
    """Return houses with 36 numbers and 43 words each, some of them missing, and their price."""
    chance = random.Random(part)
    sold = part == "train"
    numbers = ["MSSubClass", "LotFrontage", *(f"Number{at}" for at in range(34))]
    names = ["Id", "MSSubClass", "MSZoning", *numbers[1:], *(f"Word{at}" for at in range(40))]
    names += ["SaleType", "SaleCondition", *(["SalePrice"] if sold else [])]
    rows = [names]
    for house in range(1, HOUSES + 1):
        row = {name: chance.choice(["RL", "WD", "NA"]) for name in names}
        row |= {name: chance.choice([*map(str, range(20, 90)), "NA"]) for name in numbers}
        row |= {"Id": str(house), "SalePrice": str(chance.randrange(50_000, 500_000))}
        rows.append([row[name] for name in names])
    return "\n".join(",".join(row) for row in rows).encode()


def airfoil() -> bytes:
    """Return 1,503 rows of six numbers."""
    chance = random.Random("airfoil")
    rows = ([f"{chance.gauss(5, 2):.4f}" for _ in range(6)] for _ in range(1503))
    return "\n".join("\t".join(row) for row in rows).encode()


def penn_treebank() -> bytes:
    """Return three texts of sentences, one a line."""
    texts = {"train": 8000, "valid": 400, "test": 400}
    return zipped({f"ptb/ptb.{name}.txt": "\n".join(lines(texts[name], 12)) for name in texts})


def wikitext() -> bytes:
    """Return three texts of paragraphs with two sentences each."""
    paragraph = [
        f" {one} . {other} . " for one, other in zip(lines(600, 9), lines(600, 8), strict=True)
    ]
    text = "\n".join(paragraph)
    return zipped({f"wikitext-2/wiki.{part}.tokens": text for part in ("train", "valid", "test")})


def inference() -> bytes:
    """Return pairs of sentences and whether one follows from the other."""
    kinds = ("entailment", "contradiction", "neutral", "-")
    rows = ["label\tone\tother"]
    pairs = zip(lines(1024, 8), lines(1024, 5), strict=True)
    for at, (one, other) in enumerate(pairs):
        rows.append(f"{kinds[at % 4]}\t( {one} )\t( {other} )")
    text = "\n".join(rows)
    return zipped({f"snli_1.0/snli_1.0_{part}.txt": text for part in ("train", "test")})


def vectors(folder: str, size: int) -> Callable[[], bytes]:
    """Return the maker of word vectors: more than 3,367, for the book shows that one's word."""

    def make() -> bytes:
        chance = random.Random(size)
        rows = [
            f"{word} " + " ".join(f"{chance.gauss(0, 1):.3f}" for _ in range(size))
            for word in vocabulary(chance, 6000)
        ]
        return zipped({f"{folder}/vec.txt": "\n".join(rows)})

    return make


def reviews() -> bytes:
    """Return good and bad reviews, a file each."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for at, text in enumerate(lines(512, 60)):
            name = f"aclImdb/{('train', 'test')[at % 2]}/{('pos', 'neg')[at // 2 % 2]}/{at}.txt"
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def zipped(files: dict[str, str]) -> bytes:
    """Return an archive of texts by their paths."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


MAKERS: dict[str, Callable[[], bytes]] = {
    "timemachine.txt": time_machine,
    "fra-eng.zip": translations,
    "kaggle_house_pred_train.csv": lambda: houses("train"),
    "kaggle_house_pred_test.csv": lambda: houses("test"),
    "airfoil_self_noise.dat": airfoil,
    "ptb.zip": penn_treebank,
    "wikitext-2-v1.zip": wikitext,
    "snli_1.0.zip": inference,
    "aclImdb_v1.tar.gz": reviews,
    "glove.6B.50d.zip": vectors("glove.6B.50d", 50),
    "glove.6B.100d.zip": vectors("glove.6B.100d", 100),
    "wiki.en.zip": vectors("wiki.en", 300),
}
"""By the last part of the URL that the book asks for."""
