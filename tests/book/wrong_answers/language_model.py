"""Wrong answers to the exercises of "A language model you can read", and what each is told."""

from wrong_answer import Wrong

_BITS = """
import math

def bits_per_character_of(lm, texts):
    bits, letters, tokens = [], [], 0
    for text in texts:
        ids = lm.to_tokens(text)
        log_p = lm(ids)[0, :-1].log_softmax(-1)
        bits.append(-log_p.gather(1, ids[0, 1:, None]).sum().item() / math.log(2))
        letters.append(len(text))
        tokens += ids.shape[1] - 1
    return {}
"""
_TRANSPLANT = """
def transplanted(lm, prompt, donor, layer, position):
    name = f"blocks.{{layer}}.hook_resid_pre"
    given = lm.run_with_cache(donor)[1][name]

    def swap(value, hook):
        value = value.clone()
        {change}
        return value

    return lm.run_with_hooks(prompt, fwd_hooks=[(name, swap)])[0, -1]{end}
"""
_RIGHT = "value[:, position] = given[:, position]"

WRONG: dict[str, list[Wrong]] = {
    "bits_per_character_of": [
        Wrong(_BITS.format("sum(b / n for b, n in zip(bits, letters)) / len(texts)"), "you averaged over texts"),
        Wrong(_BITS.format("sum(bits) * math.log(2) / sum(letters)"), "these are nats"),
        Wrong(_BITS.format("sum(bits) / tokens"), "these are bits per token"),
        Wrong(_BITS.format("-sum(bits) / sum(letters)"), "bits are positive"),
        Wrong(_BITS.format("sum(bits)"), "this is all the surprise"),
        Wrong(
            _BITS.format("sum(bits) / sum(letters)").replace("lm(ids)[0, :-1]", "lm(ids)[0, 1:]"),
            "you look each token up at its own position",
        ),
        Wrong(_BITS.format("sum(bits) / (sum(letters) + len(letters))"), "expected"),
        Wrong("def bits_per_character_of(lm, texts):\n    return 1.0", "expected"),
    ],
    "transplanted": [
        Wrong(_TRANSPLANT.format(change="value[:] = given", end=".softmax(-1)"), "replace one position, not all of them"),
        Wrong(_TRANSPLANT.format(change="value[:, position] += given[:, position]", end=".softmax(-1)"), "do not add to it"),
        Wrong(_TRANSPLANT.format(change=_RIGHT, end=""), "the softmax of the logits is missing"),
        Wrong(_TRANSPLANT.format(change=_RIGHT, end=".softmax(-1)[:10]"), "one probability per token"),
        Wrong(_TRANSPLANT.format(change=_RIGHT, end=".softmax(-1)").replace("return value", "return None"), "nothing has changed"),
        Wrong(_TRANSPLANT.format(change=_RIGHT, end=".softmax(-1)").replace("{layer}", "3"), "is it the hook before this layer"),
        Wrong(
            _TRANSPLANT.format(change=_RIGHT, end=".softmax(-1)")
            .replace("run_with_cache(donor)", "run_with_cache(prompt)")
            .replace("run_with_hooks(prompt", "run_with_hooks(donor"),
            "are prompt and donor not swapped",
        ),
    ],
}
