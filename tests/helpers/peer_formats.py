"""Runs in the environment of SAELens or of dictionary_learning, which has no msae: it makes SAEs there, and reads ours.

    PYTHON peer_formats.py sae_lens make FOLDER        a folder for each SAE, with `known.safetensors` beside its files
    PYTHON peer_formats.py sae_lens read FOLDER        the largest differences of the SAEs in it from their `known.safetensors`, as JSON

`known.safetensors` holds inputs x, the lengths that activations add to the reconstruction (activation times the norm of the decoder's row),
and x_hat.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

D, N, K, STEPS = 12, 40, 5, 60


def inputs(n=500, seed=0):
    """Sparse sums of 30 directions, off centre, so that an SAE has something to learn."""
    g = torch.Generator().manual_seed(seed)
    directions = torch.randn(30, D, generator=torch.Generator().manual_seed(99))
    firing = torch.rand(n, 30, generator=g) * (torch.rand(n, 30, generator=g) < 0.1)
    return firing @ directions + 0.05 * torch.randn(n, D, generator=g) + 0.5


def shaken(module, seed=1):
    """Random weights in place of those a fresh module has: biases, norms and thresholds that all matter."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "W_" in name or name.endswith("weight"):
                weight.copy_((0.3 * torch.randn(weight.shape, generator=g)).to(weight.dtype))
                if "dec" in name:
                    across = 0 if name.endswith("weight") else 1
                    sizes = torch.rand(weight.shape[1 - across], generator=g) * 2 + 0.2
                    sizes[3] = 0.0  # a latent that adds nothing
                    weight.mul_((sizes[None] if across == 0 else sizes[:, None]).to(weight.dtype))
            else:
                weight.copy_((torch.randn(weight.shape, generator=g) * 0.5).to(weight.dtype))
    return module


def unit(W_dec):
    return W_dec / W_dec.norm(dim=-1, keepdim=True)


def know(folder, x, acts, x_hat, norm):
    known = {"x": x, "lengths": acts * norm, "x_hat": x_hat}
    save_file({name: value.detach().float().contiguous() for name, value in known.items()}, folder / "known.safetensors")


# SAELens


def make_sae_lens(folder):
    import sae_lens
    from sae_lens import SAE
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.training.sae_trainer import SAETrainer

    def known(place, **load):
        sae, x = SAE.load_from_disk(place, **load), inputs(seed=5)
        acts = sae.encode(x)
        by_length = getattr(sae.cfg, "rescale_acts_by_decoder_norm", False)
        know(place, x, acts, sae.decode(acts), 1.0 if by_length else sae.W_dec.float().norm(dim=1))

    kinds = {
        "standard": (sae_lens.StandardSAE, sae_lens.StandardSAEConfig, {}),
        "standard, not centred": (sae_lens.StandardSAE, sae_lens.StandardSAEConfig, {"apply_b_dec_to_input": False}),
        "standard, bfloat16": (sae_lens.StandardSAE, sae_lens.StandardSAEConfig, {"dtype": "bfloat16"}),
        "jumprelu": (sae_lens.JumpReLUSAE, sae_lens.JumpReLUSAEConfig, {}),
        "gated": (sae_lens.GatedSAE, sae_lens.GatedSAEConfig, {}),
        "topk": (sae_lens.TopKSAE, sae_lens.TopKSAEConfig, {"k": K}),
        "topk, by length": (sae_lens.TopKSAE, sae_lens.TopKSAEConfig, {"k": K, "rescale_acts_by_decoder_norm": True}),
    }
    for name, (kind, config, more) in kinds.items():
        metadata = SAEMetadata(model_name="a-model", hook_name="blocks.1.hook_resid_post", context_size=64)
        sae = shaken(kind(config(d_in=D, d_sae=N, metadata=metadata, **more)))
        if name.startswith("topk"):
            sae.W_dec.data[3] = 1.0
        if name == "topk":  # one norm for all
            sae.W_dec.data = 2.5 * unit(sae.W_dec.data)
        sae.save_model(folder / name)
        known(folder / name, **({"dtype": "float32"} if "bfloat16" in name else {}))

    rows = [inputs(64, seed=100 + i) for i in range(STEPS)]
    common = {"d_in": D, "d_sae": N, "normalize_activations": "expected_average_only_in"}
    trained = {
        "trained standard": (sae_lens.StandardTrainingSAE, sae_lens.StandardTrainingSAEConfig, {"l1_coefficient": 0.5}),
        "trained topk": (sae_lens.TopKTrainingSAE, sae_lens.TopKTrainingSAEConfig, {"k": K}),
        "trained jumprelu": (sae_lens.JumpReLUTrainingSAE, sae_lens.JumpReLUTrainingSAEConfig, {"jumprelu_init_threshold": 0.05}),
        "trained batchtopk": (sae_lens.BatchTopKTrainingSAE, sae_lens.BatchTopKTrainingSAEConfig, {"k": float(K)}),
        "trained batchtopk, not by length": (
            sae_lens.BatchTopKTrainingSAE,
            sae_lens.BatchTopKTrainingSAEConfig,
            {"k": float(K), "rescale_acts_by_decoder_norm": False},
        ),
        "trained matryoshka": (
            sae_lens.MatryoshkaBatchTopKTrainingSAE,
            sae_lens.MatryoshkaBatchTopKTrainingSAEConfig,
            {"k": K, "matryoshka_widths": [10, 20, N]},
        ),
    }
    for name, (kind, config, more) in trained.items():
        torch.manual_seed(0)
        sae = kind(config(**common, **more))
        settings = SAETrainerConfig(
            total_training_samples=64 * STEPS, train_batch_size_samples=64, lr=3e-3, lr_end=3e-4, device="cpu", dead_feature_window=1000
        )
        settings.logger.log_to_wandb = False
        settings.checkpoint_path = str(folder / f"{name}, its checkpoint")
        trainer = SAETrainer(settings, sae, data_provider=iter(rows * 20))
        trainer.activation_scaler.estimate_scaling_factor(D, iter(rows), n_batches_for_norm_estimate=50)
        for row in rows:
            trainer.step(trainer.activation_scaler.scale(row))
            trainer.n_training_steps += 1
        trainer.save_checkpoint("c")
        (place,) = (folder / f"{name}, its checkpoint").iterdir()
        sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
        sae.save_inference_model(folder / name)
        known(folder / name)
        for file in [*place.iterdir()]:
            file.rename(place.parent / file.name)
        place.rmdir()
        shutil.copy(folder / name / "known.safetensors", folder / f"{name}, its checkpoint")


def read_sae_lens(folder):
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder)
    return sae.encode, sae.decode, sae.W_dec.norm(dim=1)


# dictionary_learning


def make_dictionary_learning(folder):
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer, StandardTrainerAprilUpdate
    from dictionary_learning.trainers.top_k import TopKTrainer
    from dictionary_learning.training import trainSAE
    from dictionary_learning.utils import load_dictionary

    common = {"activation_dim": D, "dict_size": N, "layer": 2, "lm_name": "a-model", "device": "cpu", "seed": 0, "steps": STEPS}
    common |= {"submodule_name": "resid_post_layer_2", "warmup_steps": 5, "lr": 3e-3}
    grows = {"sparsity_warmup_steps": 5}
    follows = {"k": K, "threshold_start_step": 10, "threshold_beta": 0.9}
    trainers = {
        "standard": {"trainer": StandardTrainer, **grows},
        "april": {"trainer": StandardTrainerAprilUpdate, **grows},
        "gated": {"trainer": GatedSAETrainer, **grows},
        "jumprelu": {"trainer": JumpReluTrainer, "target_l0": 5.0, **grows},
        "topk": {"trainer": TopKTrainer, **follows},
        "batchtopk": {"trainer": BatchTopKTrainer, **follows},
        "matryoshka": {"trainer": MatryoshkaBatchTopKTrainer, "group_fractions": [0.25, 0.25, 0.5], **follows},
    }
    rows = [inputs(64, seed=100 + i) for i in range(STEPS + 110)]  # a hundred of them for the scale
    for name, options in trainers.items():
        trainSAE(rows, [options | common], steps=STEPS, save_dir=str(folder), normalize_activations=True, device="cpu")
        for how in ("trained", "shaken"):
            place = folder / f"{name}, {how}"
            shutil.copytree(folder / "trainer_0", place)
            ae, _ = load_dictionary(str(place), "cpu")
            if how == "shaken":
                shaken(ae)
                if hasattr(ae, "threshold") and ae.threshold.numel() == 1:
                    ae.threshold.fill_(0.4)
                if name == "topk":  # one norm for all
                    ae.decoder.weight.data = 2.5 * unit(torch.randn(N, D, generator=torch.Generator().manual_seed(3))).T
                torch.save(ae.state_dict(), place / "ae.pt")
            x = inputs(seed=5)
            acts = ae.encode(x)
            know(place, x, acts, ae.decode(acts), ae.W_dec.norm(dim=1) if hasattr(ae, "W_dec") else ae.decoder.weight.norm(dim=0))
        shutil.rmtree(folder / "trainer_0")


def differences(read, folder):
    known = load_file(folder / "known.safetensors")
    encode, decode, norm = read(folder)
    acts = encode(known["x"])
    return {
        "acts": (acts * norm - known["lengths"]).abs().max().item(),
        "x_hat": (decode(acts) - known["x_hat"]).abs().max().item(),
    }


def main():
    library, what, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    with torch.no_grad() if what == "read" else torch.enable_grad():
        if what == "make":
            {"sae_lens": make_sae_lens, "dictionary_learning": make_dictionary_learning}[library](folder)
        else:
            print(json.dumps({place.name: differences(read_sae_lens, place) for place in sorted(folder.iterdir())}))


if __name__ == "__main__":
    main()
