"""Wrong answers to the exercises of "Token patterns"."""

from wrong_answer import Wrong

CHANCE = "def chance(marked, acts, shift):\n    return rank_latents(acts, np.roll(marked, shift, axis=1), k=1)[0].f1"

WRONG = {
    "before": [
        Wrong('def before(word):\n    return f"(?<! [newline]) . {word}"', "it marks “dog” itself"),
        Wrong('def before(word):\n    return f"@. {word}"', "“↵A dog” too"),
        Wrong('def before(word):\n    return f"(?<! [newline] .) @. {word}"', "too far in front"),
        Wrong('def before(word):\n    return f"(?<= [newline]) @. {word}"', "*behind* a newline"),
        Wrong('def before(word):\n    return "(?<! [newline]) @. dog"', "use `word`"),
        Wrong('def before(word):\n    return f"(?<! [newline]) @. ({word}"', "is no pattern"),
        Wrong('def before(word):\n    f"(?<! [newline]) @. {word}"', "return a pattern, a string; you return None"),
        Wrong('def before(word):\n    return f"@{word}"', "it marks “dog” itself"),
    ],
    "chance": [
        Wrong(CHANCE.replace("axis=1", "axis=0"), "from text to text"),
        Wrong(CHANCE.replace(", axis=1", ""), "across the ends of texts"),
        Wrong(CHANCE.replace("shift, axis", "-shift, axis"), "moved to the left"),
        Wrong(CHANCE.replace("np.roll(marked, shift, axis=1)", "marked"), "move them first"),
        Wrong(CHANCE.replace(".f1", ""), "return the F1, a number"),
        Wrong(CHANCE.replace(".f1", ".precision"), "has an F1 of"),
    ],
}
