"""What LearnedOptimizer does beside computing updates. Prints "ok"; an assertion that fails says which.

    behaviour.py FOLDER-OF-TORCH_OPTIMIZER FILE.mopt OTHER.mopt NOT-AN-OPTIMIZER.mopt EYES.mopt LATER.mopt EXPORTED... [LIBRARY]

EYES.mopt is a network with eyes; LATER.mopt has something in its configuration that the module does not know. EXPORTED are
FILE.mopt in other formats. LIBRARY, whose name ends in .so, is the library for C.
"""
import copy
import io
import math
import os
import pickle
import sys
import warnings

os.environ["METAOPT_LIBRARY"] = ""  # only where it is named
sys.path.insert(0, sys.argv[1])
import torch

from torch_optimizer import LearnedOptimizer

torch.set_num_threads(1)
path, other, wrong, eyes, later, *exported = sys.argv[2:]
library = exported.pop() if exported[-1].endswith(".so") else None


def raises(kind, text, f):
    try:
        f()
    except kind as e:
        assert text in str(e), str(e)
        return
    assert False, f"no {kind.__name__}: {text}"


def parameter(n=3):
    p = torch.arange(1.0, n + 1, requires_grad=True)
    p.grad = torch.linspace(-1, 1, n)
    return p


# lr multiplies updates; groups have their own; a scheduler changes it.
a, b, c = parameter(), parameter(), parameter()
start = a.detach().clone()
optimizer = LearnedOptimizer([{"params": [a]}, {"params": [b], "lr": 0.5}], path)
optimizer.add_param_group({"params": [c], "lr": 0.0})
optimizer.step()
assert torch.allclose(b - start, 0.5 * (a - start), rtol=0, atol=5e-7), (a - start, b - start)  # parameters of 3 round by 2e-7
assert (a - start).abs().min() > 1e-4 and torch.equal(c, start)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.0 if epoch else 1.0)
scheduler.step()
before = a.detach().clone()
optimizer.step()
assert torch.equal(a, before)

# A parameter without a gradient stays, and its clock does not run.
a, b = parameter(), parameter()
b.grad = None
optimizer = LearnedOptimizer([a, b], path)
optimizer.step()
assert torch.equal(b, start) and b not in optimizer.state and optimizer.state[a]["step"] == 1

# A gradient that is not finite changes nothing, neither parameters nor state.
b.grad = torch.tensor([0.0, float("nan"), 0.0])
before, state = a.detach().clone(), copy.deepcopy(optimizer.state_dict())
raises(FloatingPointError, "not finite", optimizer.step)
assert torch.equal(a, before) and torch.equal(optimizer.state[a]["h1"], state["state"][0]["h1"]) and b not in optimizer.state

# The closure is evaluated with gradients, and its loss returned.
p = torch.ones(4, requires_grad=True)
optimizer = LearnedOptimizer([p], path)


def closure():
    optimizer.zero_grad()
    loss = (p**2).sum()
    loss.backward()
    return loss


assert float(optimizer.step(closure)) == 4 and not torch.equal(p, torch.ones(4)) and p.requires_grad

# Copies, pickles and stored states go on as the original does, bit for bit, in both types.
for dtype in torch.float32, torch.float64:
    p = torch.ones(4, dtype=dtype, requires_grad=True)
    optimizer = LearnedOptimizer([p], path)
    for _ in range(5):
        optimizer.step(closure)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    q = p.detach().clone().requires_grad_()
    stored = LearnedOptimizer([q], path)
    stored.load_state_dict(torch.load(file))
    for twin in stored, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer)):
        (r,) = twin.param_groups[0]["params"]
        r.data.copy_(p.data)
        r.grad = p.grad.clone()
        twin.step()
        assert twin.state[r]["step"] == 6
        expected = r.detach().clone() if twin is stored else expected
        assert torch.equal(r, expected)
    optimizer.step()
    assert torch.equal(p, expected), (p, expected)

raises(ValueError, "not of an optimizer of this file", lambda: LearnedOptimizer([p], other).load_state_dict(optimizer.state_dict()))

# A state says what its parameters were: other shapes are refused, though PyTorch itself only counts parameters.
square, row = torch.ones(2, 2, requires_grad=True), torch.ones(2, requires_grad=True)
square.grad, row.grad = torch.ones(2, 2), torch.ones(2)
optimizer = LearnedOptimizer([square, row], path)
optimizer.step()
assert [t["kind"] for t in optimizer.param_groups[0]["layout"]] == ["matrix", "bias"]
kernel = torch.ones(4, 3, 5, 5, requires_grad=True)
optimizer.add_param_group({"params": [kernel]})
assert optimizer.param_groups[1]["layout"] == [{"shape": [4, 3, 5, 5], "kind": "convolution", "output_axis": 0}]
saved = optimizer.state_dict()
turned = LearnedOptimizer([torch.ones(4, requires_grad=True), row], path)
turned.add_param_group({"params": [kernel]})
raises(ValueError, "parameter 0 of group 0 has shape [4], the saved one [2, 2]", lambda: turned.load_state_dict(saved))
same = LearnedOptimizer([square, row], path)
same.add_param_group({"params": [kernel]})
same.load_state_dict(saved)
for group in saved["param_groups"]:  # of a version that did not say
    del group["layout"]
same.load_state_dict(saved)

raises(ValueError, "holds a 'other'", lambda: LearnedOptimizer([p], wrong))
raises(ValueError, "sense 'smell' in its config", lambda: LearnedOptimizer([p], later))

# A network with eyes sees parameters, layout and length; what it saw is part of its state.


def pair():
    w, b = torch.ones(2, 3, requires_grad=True), torch.zeros(2, requires_grad=True)
    return w, b


def run(optimizer, steps, w, b):
    for k in range(steps):
        w.grad, b.grad = torch.cos(w.detach() + 5 * k + 1.7 * torch.arange(6.0).view(2, 3)), torch.sin(b.detach() - k)  # of full rank: orthogonalizing is ill-posed else
        optimizer.step()


w, b = pair()
optimizer = LearnedOptimizer([w, b], eyes, total=12)
run(optimizer, 5, w, b)
w2, b2 = (p.detach().clone().requires_grad_() for p in (w, b))
stored = LearnedOptimizer([w2, b2], eyes, total=12)
stored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
twin = pickle.loads(pickle.dumps(optimizer))
assert twin.total == 12
copies = [(stored, w2, b2), (twin, *twin.param_groups[0]["params"])]
run(optimizer, 3, w, b)
for o, v, c in copies:
    run(o, 3, v, c)
    assert torch.equal(v, w) and torch.equal(c, b)
for name, change in {
    "length": lambda o: setattr(o, "total", None),
    "layout": lambda o: o.param_groups[0]["layout"][0].update(output_axis=1),
    "kind": lambda o: o.param_groups[0]["layout"][1].update(kind="vector"),
}.items():
    v, c = pair()
    o = LearnedOptimizer([v, c], eyes, total=12)
    change(o)
    run(o, 8, v, c)
    assert not torch.allclose(v, w, rtol=1e-4), f"another {name} changes nothing"
described = LearnedOptimizer(pair(), eyes)
described.param_groups[0]["layout"][1]["kind"] = "vector"
raises(ValueError, "describe it as in the saved run", lambda: described.load_state_dict(optimizer.state_dict()))
v, c = pair()  # a bias that has no gradient yet
o = LearnedOptimizer([v, c], eyes)
v.grad = torch.ones(2, 3)
o.step()
assert c not in o.state and torch.equal(c, torch.zeros(2)) and not torch.equal(v, torch.ones(2, 3))
raises(TypeError, "float16", lambda: LearnedOptimizer([torch.ones(3, dtype=torch.float16, requires_grad=True)], path))
sparse = parameter()
sparse.grad = torch.sparse_coo_tensor([[0]], [1.0], (3,))
raises(RuntimeError, "sparse=False", LearnedOptimizer([sparse], path).step)

# Names, and the other formats, are the same optimizer.


def after(path, **options):
    p = parameter(6)
    optimizer = LearnedOptimizer([p], path, **options)
    for _ in range(3):
        optimizer.step()
    return p.detach()


assert len(exported) == 3
for file in exported:
    assert torch.equal(after(file), after(path)), file
shipped = sys.argv[1] + "/../metaopt/pretrained/general.mopt"
assert torch.equal(after("general"), after(shipped)) and torch.equal(after("pretrained:general"), after(shipped))
raises(FileNotFoundError, "'adam'; by name there are general, general-small, mlp, mlp-sigmoid, quadratic, ", lambda: after("adam"))
raises(FileNotFoundError, "no file 'no/such.mopt'", lambda: after("no/such.mopt"))
raises(ValueError, __file__ + ": it is no .mopt, npz, safetensors or msgpack file", lambda: after(__file__))

# What an optimizer does not know or cannot mean is refused.
for option in "momentum", "betas", "weight_decays":
    raises(ValueError, f"has {option}; a learned optimizer knows lr, weight_decay and layout", lambda: LearnedOptimizer([{"params": [parameter()], option: 0.9}], path))
for option in "lr", "weight_decay":
    for value in -1.0, math.nan, math.inf, "1", None:
        raises(ValueError, f"{option} is {value!r}; want a finite number", lambda: LearnedOptimizer([parameter()], path, **{option: value}))
        raises(ValueError, f"{option} is {value!r}", lambda: LearnedOptimizer([{"params": [parameter()], option: value}], path))
raises(ValueError, "does not have the shapes", lambda: LearnedOptimizer([{"params": [parameter()], "layout": [{"shape": [4]}]}], path))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    after(path, lr=1e-3), after(path, lr=1e-3), after(path, lr=0.0), after(path, lr=0.1)
assert len(said) == 1 and "crawl" in str(said[0].message) and said[0].filename == __file__, said
optimizer = LearnedOptimizer([parameter()], path)
raises(TypeError, "not a Tensor: call loss.backward() and then step()", lambda: optimizer.step(torch.ones(())))

# Weight decay is decoupled, as in AdamW and in rules.WeightDecay.
decayed, plain = parameter(), parameter()
LearnedOptimizer([decayed], path, weight_decay=0.25, lr=0.5).step()
LearnedOptimizer([plain], path, lr=0.5).step()
assert torch.allclose(decayed, plain - 0.125 * torch.arange(1.0, 4), rtol=0, atol=5e-7)
state = LearnedOptimizer([parameter()], path).state_dict()
del state["param_groups"][0]["weight_decay"]  # of a version that did not have it
optimizer = LearnedOptimizer([parameter()], path)
optimizer.load_state_dict(state)
optimizer.step()

# Overflow changes nothing.
p, q = parameter(), parameter()
with torch.no_grad():
    q.mul_(3e38 / 3)
optimizer = LearnedOptimizer([{"params": [p]}, {"params": [q], "weight_decay": 8.0}], path)
before = p.detach().clone(), q.detach().clone()
raises(FloatingPointError, "a parameter would not be finite", optimizer.step)
assert torch.equal(p, before[0]) and torch.equal(q, before[1])

# Schedulers that would also move a momentum are told not to.
for scheduled in (
    lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=10, cycle_momentum=False),
    lambda o: torch.optim.lr_scheduler.CyclicLR(o, base_lr=0.1, max_lr=1.0, cycle_momentum=False),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
):
    optimizer = LearnedOptimizer([parameter()], path)
    scheduler = scheduled(optimizer)
    optimizer.step(), scheduler.step(), optimizer.step()

# A state does not share memory with the optimizer that it was loaded into.
p = parameter()
optimizer = LearnedOptimizer([p], path)
optimizer.step()
state = optimizer.state_dict()
before = copy.deepcopy(state)
twin = LearnedOptimizer([parameter()], path)
twin.load_state_dict(state)
twin.step()
assert torch.equal(state["state"][0]["h1"], before["state"][0]["h1"])

# The library for C makes the same steps to rounding, and states go from one to the other.


def trained(file, kinds):
    w, b = pair()
    optimizer = None
    for k, kind in enumerate(kinds):
        new = LearnedOptimizer([w, b], file, total=12, library=kind)
        if optimizer:
            new.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer = new
        w.grad, b.grad = torch.cos(w.detach() + 5 * k + 1.7 * torch.arange(6.0).view(2, 3)), torch.sin(b.detach() - k)  # of full rank: orthogonalizing is ill-posed else
        optimizer.step()
        assert bool(optimizer.runs) == bool(kind) and optimizer.state[w]["step"] == k + 1, (k, kind, len(optimizer.runs), optimizer.state[w]["step"])
    return torch.cat([w.detach().flatten(), b.detach()]), optimizer, w, b


if library:
    for file in path, eyes:
        pure, *_ = trained(file, [False] * 8)
        new, optimizer, w, b = trained(file, [library] * 8)
        start = torch.tensor([1.0] * 6 + [0.0] * 2)
        moved = (pure - start).abs().max()
        for other in new, trained(file, [library, False] * 4)[0]:
            assert (other - pure).abs().max() < 1e-3 * moved, (file, other, pure)
        # One optimizer all the way, its copies and pickles: bit for bit.
        v, c = pair()
        o = LearnedOptimizer([v, c], file, total=12, library=library)
        run(o, 8, v, c)
        assert torch.equal(torch.cat([v.detach().flatten(), c.detach()]), new)
        os.environ["METAOPT_LIBRARY"] = library
        twins = copy.deepcopy(o), pickle.loads(pickle.dumps(o))
        os.environ["METAOPT_LIBRARY"] = ""
        run(o, 3, v, c)
        for twin in twins:
            tv, tc = twin.param_groups[0]["params"]
            run(twin, 3, tv, tc)
            assert twin.runs and torch.equal(tv, v) and torch.equal(tc, c)
        # A bias without a gradient for one step: the library goes on where the network reads one coordinate alone.
        for kind in False, library:
            tv, tc = pair()
            o = LearnedOptimizer([tv, tc], file, library=kind)
            for k in range(4):
                tv.grad, tc.grad = torch.full((2, 3), 1.0 + k), None if k == 2 else torch.ones(2)
                o.step()
            assert [o.state[p]["step"] for p in (tv, tc)] == [4, 3]
            assert bool(o.runs) == (kind and file == path)
            ends = torch.cat([tv.detach().flatten(), tc.detach()])
            first = ends if not kind else first
            assert torch.allclose(ends, first, rtol=1e-4, atol=1e-5), (file, ends, first)
    double = torch.ones(3, dtype=torch.float64, requires_grad=True)
    double.grad = torch.ones(3, dtype=torch.float64)
    o = LearnedOptimizer([double], path, library=library)
    o.step()  # in double precision, and so not by the library
    assert not o.runs
    raises(OSError, "no-such.so", lambda: LearnedOptimizer([parameter()], path, library="no-such.so"))
print("ok")
