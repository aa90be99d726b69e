#!/usr/bin/python3
"""Writes reference_rules.json: the updates of NAdamW, Prodigy, Schedule-Free AdamW and Muon, by their authors' code.

Run from any folder, with PyTorch 1.13 or later, and with these four repositories at these commits or later ones:

    git clone https://github.com/mlcommons/algorithmic-efficiency  # 2c90454
    git clone https://github.com/konstmish/prodigy                 # 3efb213
    git clone https://github.com/facebookresearch/schedule_free    # 70785b5
    git clone https://github.com/KellerJordan/Muon                 # 857d1ad
    python3 reference_rules.py algorithmic-efficiency prodigy schedule_free Muon

The code runs in float64, so that its own rounding does not count. Its bfloat16 casts are switched off. Before every
step the parameters and the gradient are rounded to float32: these are the numbers that the file has, with nine
significant digits, which are exact for float32. An update is the difference of the parameters after and before the step.
Schedule-Free AdamW keeps its parameters y itself: the update is the difference of two of its y, which are not rounded.

The loss is a quadratic with noise in its gradient, so that Prodigy finds a distance. AlgoPerf's schedule is made by the
schedulers that AlgoPerf's submissions use, except that the warm-up starts at 1/W and not at 1e-10.
"""
import ast, importlib.util, json, os, random, sys
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

STEPS = 32
FLAT = [dict(name="x", shape=[9], kind="vector")]
# Matrices multiply from the left, as PyTorch's: the outputs are the first axis. So "axis" is 0, and 1 in the test's
# transposed copies.
NET = [
    dict(name="wide", shape=[3, 8], kind="matrix"),
    dict(name="b", shape=[3], kind="bias"),
    dict(name="kernel", shape=[3, 2, 2, 2], kind="convolution"),
    dict(name="tall", shape=[6, 3], kind="matrix"),
    dict(name="scale", shape=[2], kind="vector"),
    dict(name="head", shape=[2, 5], kind="matrix"),
    dict(name="bias", shape=[2], kind="bias"),
]
HIDDEN = {"wide", "kernel", "tall"}

CASES = [
    ("nadamw", FLAT, dict(learning_rate=0.1)),
    ("nadamw", FLAT, dict(learning_rate=0.03, betas=[0.5, 0.95], epsilon=1e-3, weight_decay=0.1, warm_up=0.3, steps=30)),
    ("prodigy", FLAT, dict()),
    ("prodigy", FLAT, dict(learning_rate=0.5, betas=[0.8, 0.99], epsilon=1e-6, weight_decay=0.05, distance=1e-3)),
    ("schedule-free", FLAT, dict(learning_rate=0.1)),
    ("schedule-free", FLAT, dict(learning_rate=0.03, betas=[0.95, 0.99], epsilon=1e-3, weight_decay=0.1, power=0.75, warm_up=0.3)),
    ("muon", NET, dict(learning_rate=0.1)),
    ("muon", NET, dict(learning_rate=0.03, momentum=0.8, adam_ratio=0.5, weight_decay=0.1, warm_up=0.3, steps=30)),
    ("muon", NET, dict(learning_rate=0.1, output_layer=True)),
]


def load(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nadamw(path):
    """The class alone: its file imports the whole benchmark."""
    tree = ast.parse(open(path).read())
    tree.body = [n for n in tree.body if getattr(n, "name", "") in ("NAdamW", "nadamw")]
    names = {"torch": torch, "Tensor": torch.Tensor, "List": list, "math": __import__("math")}
    exec(compile(tree, path, "exec"), names)
    return names["NAdamW"]


def make(refs, rule, params, o):
    adam = dict(betas=tuple(o.get("betas", (0.9, 0.999))), eps=o.get("epsilon", 1e-8), weight_decay=o.get("weight_decay", 0))
    if rule == "nadamw":
        return refs["nadamw"](params.values(), lr=o["learning_rate"], **adam)
    if rule == "prodigy":
        return refs["prodigy"](params.values(), **adam, **{k: o[f] for k, f in (("lr", "learning_rate"), ("d0", "distance")) if f in o})
    if rule == "schedule-free":
        optimizer = refs["schedule-free"](params.values(), lr=o["learning_rate"], warmup_steps=round(o.get("warm_up", 0.02) * STEPS),
                                          r=o.get("power", 0), **adam)
        optimizer.train()
        return optimizer
    hidden = HIDDEN | ({"head"} if o.get("output_layer") else set())
    rate, decay = o["learning_rate"], o.get("weight_decay", 0)
    return refs["muon"]([
        dict(params=[p for n, p in params.items() if n in hidden], use_muon=True, lr=rate, weight_decay=decay,
             **({"momentum": o["momentum"]} if "momentum" in o else {})),
        dict(params=[p for n, p in params.items() if n not in hidden], use_muon=False, lr=rate * o.get("adam_ratio", 0.2), weight_decay=decay),
    ])


def schedule(rule, optimizer, o):
    if rule not in ("nadamw", "muon"):
        return None
    total = o.get("steps", STEPS)
    warm = round(o.get("warm_up", 0.02) * total)
    return SequentialLR(optimizer, milestones=[warm], schedulers=[
        LinearLR(optimizer, start_factor=1 / warm, end_factor=1.0, total_iters=warm - 1), CosineAnnealingLR(optimizer, T_max=total - warm)])


def run(refs, rule, layout, o):
    rng = random.Random(1606)
    normal = lambda shape: torch.tensor([rng.gauss(0, 1) for _ in range(torch.Size(shape).numel())], dtype=torch.float64).reshape(shape)
    rounded = lambda x: x.float().double()
    params = {t["name"]: torch.nn.Parameter(rounded(0.5 * normal(t["shape"]))) for t in layout}
    target = {t["name"]: normal(t["shape"]) for t in layout}
    curvature = {t["name"]: torch.exp(normal(t["shape"])) for t in layout}
    optimizer = make(refs, rule, params, o)
    scheduler = schedule(rule, optimizer, o)
    flat = lambda: torch.cat([p.detach().flatten() for p in params.values()])
    steps = []
    for t in range(STEPS if scheduler is None else o.get("steps", STEPS)):
        before = flat()
        with torch.no_grad():
            for n, p in params.items():
                p.copy_(rounded(p))
                p.grad = rounded(curvature[n] * (p - target[n]) + 0.3 * normal(p.shape))
                if rule != "muon":  # a coordinate without a gradient, and one whose gradients are tiny
                    p.grad[0], p.grad[1] = 0, rounded(1e-6 * p.grad[1])
        theta, grad = flat().clone(), torch.cat([p.grad.flatten() for p in params.values()])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        steps.append((theta, grad, flat() - (before if rule == "schedule-free" else theta)))
    average = None
    if rule == "schedule-free":
        optimizer.eval()
        average = flat()
    return steps, average


def numbers(x):
    assert torch.isfinite(x).all()
    return "[" + ",".join("%.9g" % v for v in x.tolist()) + "]"


def main():
    algoperf, prodigy, free, muon = sys.argv[1:]
    refs = {
        "nadamw": nadamw(os.path.join(algoperf, "algorithms/target_setting_algorithms/pytorch_nadamw.py")),
        "prodigy": load(os.path.join(prodigy, "prodigyopt/prodigy.py")).Prodigy,
        "schedule-free": load(os.path.join(free, "schedulefree/adamw_schedulefree_reference.py")).AdamWScheduleFreeReference,
        "muon": load(os.path.join(muon, "muon.py")).SingleDeviceMuonWithAuxAdam,
    }
    torch.Tensor.bfloat16 = lambda self: self.clone()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference_rules.json")
    with open(path, "w") as f:
        f.write('{"torch": %s, "cases": [\n' % json.dumps(torch.__version__.strip()))
        for i, (rule, layout, o) in enumerate(CASES):
            steps, average = run(refs, rule, layout, o)
            f.write('%s{"rule": "%s", "options": %s,\n"layout": %s,\n' % (",\n" if i else "", rule, json.dumps(o), json.dumps(layout)))
            if average is not None:
                f.write('"average": %s,\n' % numbers(average))
            read = rule in ("prodigy", "schedule-free") or "weight_decay" in o  # the other cases do not depend on the parameters
            f.write('"steps": [\n%s\n]}' % ",\n".join(
                '{%s"grad": %s,\n"update": %s}' % ('"theta": %s,\n' % numbers(theta) if read else "", numbers(grad), numbers(update))
                for theta, grad, update in steps))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
