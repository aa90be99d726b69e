#!/usr/bin/env python3
"""Writes cartpole.json: trajectories of CartPole-v1, for cartpole_test.go.

The equations of motion are solved here as a linear system in the two accelerations, which Barto, Sutton and Anderson
1983 solve by hand:

    (m_c + m_p) x'' + m_p l cos(a) a'' = F + m_p l a'^2 sin(a)
    cos(a) x''      + 4/3 l a''        = g sin(a)

Run by hand: python3 cartpole.py >cartpole.json
"""
import json
import random
from math import cos, pi, sin

GRAVITY, CART, POLE, LENGTH, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02


def step(state, action):
    x, dx, a, da = state
    force = FORCE if action == 1 else -FORCE
    m11, m12 = CART + POLE, POLE * LENGTH * cos(a)
    m21, m22 = cos(a), 4 / 3 * LENGTH
    r1, r2 = force + POLE * LENGTH * da**2 * sin(a), GRAVITY * sin(a)
    det = m11 * m22 - m12 * m21
    ddx, dda = (r1 * m22 - m12 * r2) / det, (m11 * r2 - m21 * r1) / det
    return [x + TAU * dx, dx + TAU * ddx, a + TAU * da, da + TAU * dda]


def stands(state):
    return abs(state[0]) <= 2.4 and abs(state[2]) <= 12 * 2 * pi / 360


random.seed(1983)
cases = []
for controlled in (False, True, True):
    state = [random.uniform(-0.05, 0.05) for _ in range(4)]
    case = {"start": state, "actions": [], "states": []}
    while stands(state) and len(case["actions"]) < 120:
        action = random.randrange(2)
        if controlled and random.random() < 0.9:
            action = int(state[2] + 0.3 * state[3] > 0)
        state = step(state, action)
        case["actions"].append(action)
        case["states"].append(state)
    case["stands"] = stands(state)
    cases.append(case)
print(json.dumps(cases))
