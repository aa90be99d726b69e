"""What LearnedOptimizer does beside computing updates. Prints "ok"; an assertion that fails says which.

    behaviour.py FOLDER-OF-TORCH_OPTIMIZER FILE.mopt OTHER.mopt NOT-AN-OPTIMIZER.mopt EYES.mopt LATER.mopt

EYES.mopt is a network with eyes; LATER.mopt has something in its configuration that the module does not know.
"""
import copy
import io
import pickle
import sys

sys.path.insert(0, sys.argv[1])
import torch

from torch_optimizer import LearnedOptimizer

torch.set_num_threads(1)
path, other, wrong, eyes, later = sys.argv[2:]


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
        w.grad, b.grad = torch.cos(w.detach() + 5 * k + torch.arange(3)), torch.sin(b.detach() - k)
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
raises(RuntimeError, "sparse", LearnedOptimizer([sparse], path).step)
print("ok")
