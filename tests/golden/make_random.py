#!/usr/bin/env python3
"""Writes random.txt beside this file: what JAX draws, for tests/random.rs. A line is a name, the element type and shape, and the numbers.

    python3 -m venv venv && venv/bin/pip install jax && venv/bin/python tests/golden/make_random.py
"""

import os

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
assert jax.config.jax_threefry_partitionable
NAMES = {"uint32": "u32", "float32": "f32", "float64": "f64", "bool": "bool"}
lines = []


def line(name, a):
    a = np.asarray(a)
    words = [str(v).lower() if a.dtype == bool else repr(v.item()) for v in a.ravel()]
    lines.append(f"{name} {NAMES[str(a.dtype)]} {','.join(map(str, a.shape))} {' '.join(words)}")


for seed in (0, 42, (1 << 40) + 5):
    key = jax.random.key(seed)
    line(f"key_{seed}", jax.random.key_data(key))
    line(f"split_{seed}", jax.random.key_data(jax.random.split(key, 3)))
    line(f"fold_in_{seed}", jax.random.key_data(jax.random.fold_in(key, 7)))
    line(f"bits_{seed}", jax.random.bits(key, (3, 5), jnp.uint32))
    line(f"uniform_f32_{seed}", jax.random.uniform(key, (3, 5), jnp.float32))
    line(f"uniform_f64_{seed}", jax.random.uniform(key, (3, 5), jnp.float64))
    line(f"range_f32_{seed}", jax.random.uniform(key, (3, 5), jnp.float32, -2.0, 3.0))
    line(f"normal_f32_{seed}", jax.random.normal(key, (3, 5), jnp.float32))
    line(f"normal_f64_{seed}", jax.random.normal(key, (3, 5), jnp.float64))
    line(f"bernoulli_{seed}", jax.random.bernoulli(key, jnp.float32(0.3), (3, 5)))
    line(f"gumbel_f32_{seed}", jax.random.gumbel(key, (3, 5), jnp.float32))
    line(f"exponential_f32_{seed}", jax.random.exponential(key, (3, 5), jnp.float32))
    line(f"truncated_f32_{seed}", jax.random.truncated_normal(key, -1.0, 2.0, (3, 5), jnp.float32))

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "random.txt"), "w") as out:
    out.write("\n".join(lines) + "\n")
