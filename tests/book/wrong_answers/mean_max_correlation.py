"""Wrong answers to the exercises of "Mean max correlation"."""

from wrong_answer import Wrong

BEST = """
def best_and_mean(reference, other):
    other = other[:, other.std(0) > 0]
    best = np.full(reference.shape[1], np.nan)
    for i in np.flatnonzero(reference.std(0) > 0):
        best[i] = max(np.corrcoef(reference[:, i], b)[0, 1] for b in other.T)
    return best, np.nanmean(best)
"""
KEPT = "def kept_by_prefix(reference, other, m):\n    return metrics.mean_max_correlation(reference, other[:, :m]).mean.value"

WRONG = {
    "best_and_mean": [
        Wrong(BEST.replace("    other = other[:, other.std(0) > 0]\n", ""), "the silent latent of `other` got in"),
        Wrong(
            BEST.replace("other[:, other.std(0) > 0]", "other").replace(
                "np.corrcoef(reference[:, i], b)[0, 1]", "np.nan_to_num(np.corrcoef(reference[:, i], b)[0, 1])"
            ),
            "is below 0, not 0",
        ),
        Wrong(
            BEST.replace("max(np.corrcoef(reference[:, i], b)[0, 1]", "max(abs(np.corrcoef(reference[:, i], b)[0, 1])"),
            "not the largest in size",
        ),
        Wrong(BEST.replace("np.nan)", "0.0)").replace("np.nanmean(best)", "best.mean()"), "is silent: expected NaN"),
        Wrong(BEST.replace("np.nanmean", "np.mean"), "leave NaN out"),
        Wrong(BEST.replace("np.nanmean(best)", "np.nansum(best) / len(best)"), "you divide by all 3"),
        Wrong(BEST.replace("best, np.nanmean", "np.nanmean"), "return two things"),
    ],
    "kept_by_prefix": [
        Wrong(KEPT.replace("[:, :m]", ""), "not the first ones"),
        Wrong(KEPT.replace(":m", "m:"), "*behind* the first"),
        Wrong(KEPT.replace("reference, other[:, :m]", "other[:, :m], reference"), "so it comes first"),
        Wrong(KEPT.replace(":m", ": m + 1"), "one latent too many"),
        Wrong(KEPT.replace("reference, other[:, :m]", "reference[:m], other[:m]"), "the first 2 of six latents hold"),
        Wrong(KEPT.replace("other[:, :m]).mean.value", "other[:, :m])"), "cannot be checked"),
    ],
}
