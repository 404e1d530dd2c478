"""Wrong answers to the exercises of "The tree recovered"."""

from wrong_answer import Wrong

PREFIXES = """
@torch.no_grad()
def fvu_of_prefixes(sae, x, lengths):
    z, spread = sae.encode(x), (x - x.mean(0)).square().sum()
    return [((x - z[:, :m] @ sae.W_dec[:m] - sae.b_dec).square().sum() / spread).item() for m in lengths]
"""


def tilt(answer: str) -> str:
    return f"def cosine_of_tilt(k, p):\n    return {answer}"


def first(answer: str) -> str:
    return f"def child_first(m_parent, m_child, p):\n    return {answer}"


def prefixes(*changes: str) -> str:
    answer = PREFIXES
    for before, after in zip(changes[::2], changes[1::2]):
        assert before in answer
        answer = answer.replace(before, after)
    return "import torch\n\n" + answer


WRONG = {
    "cosine_of_tilt": [
        Wrong(tilt("1.0"), "the mean has the parts"),
        Wrong(tilt("1 / (1 + k * p**2)"), "the cosine's square"),
        Wrong(tilt("(1 + k * p**2) ** 0.5"), "the length of the mean"),
        Wrong(tilt("1 / (1 + k * p) ** 0.5"), "its square is p²"),
        Wrong(tilt("1 / (1 + p**2) ** 0.5"), "you have one child in the mean"),
        Wrong(tilt("1 / (1 + (k * p) ** 2) ** 0.5"), "not their lengths"),
        Wrong(tilt("1 / (1 + k) ** 0.5"), "only with the part p"),
        Wrong(tilt("p / (1 + k * p**2) ** 0.5"), "the mean has the parts"),
    ],
    "fvu_of_prefixes": [
        Wrong(prefixes("z[:, :m]", "z", "W_dec[:m]", "W_dec"), "All are of the whole SAE"),
        Wrong(prefixes(" - sae.b_dec", ""), "bias is missing"),
        Wrong(prefixes("z[:, :m]", "z[:, -m:]", "W_dec[:m]", "W_dec[-m:]"), "the last m latents"),
        Wrong(prefixes("(x - x.mean(0)).square()", "x.square()"), "not by x²"),
        Wrong(prefixes("[((x", "[1 - ((x"), "That is the part explained"),
        Wrong(prefixes("(x - x.mean(0)).square().sum()", "len(x)"), "the prefix of length 1 has"),
        Wrong(prefixes(" for m in lengths]", " for m in lengths[:1]]"), "one number for each of the 4 lengths"),
        Wrong(prefixes("[:, :m]", "[:, m]"), "stops with"),
    ],
    "child_first": [
        Wrong(first("m_child > m_parent"), "that compares the strengths"),
        Wrong(first("p * m_child > m_parent"), "that compares mean activations"),
        Wrong(first("m_parent**2 > p * m_child**2"), "just the other way round"),
        Wrong(first("(p * m_child) ** 2 > m_parent**2"), "Square first, then take the mean"),
        Wrong(first("True"), "mean squares 4.00 and 3.20, so False"),
        Wrong(first("False"), "mean squares 4.00 and 20.00, so True"),
    ],
}
