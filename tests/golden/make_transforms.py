"""Writes transforms.txt: derivatives of a small net by JAX, in double precision. Run as `python make_transforms.py`, with jax installed.

Each line is a name, a shape and the elements. The net is `f(w, x) = sum(tanh(x w)^2 * s)`, for w of [3, 2], x of [3] and s of [2].
"""

import pathlib

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)


def f(w, x):
    return jnp.sum(jnp.tanh(x @ w) ** 2 * jnp.array([0.5, -1.5]))


w = jnp.array([[0.3, -0.2], [0.7, 0.1], [-0.4, 0.9]])
xs = jnp.array([[1.0, -0.5, 0.25], [0.1, 0.2, 0.3], [-1.0, 2.0, 0.5], [0.0, 0.0, 0.0]])
v = jnp.array([[0.5, 1.0], [-1.0, 0.25], [0.75, -0.5]])

results = {
    "value": jax.vmap(f, (None, 0))(w, xs),
    "gradient": jax.vmap(jax.grad(f), (None, 0))(w, xs),
    "jvp": jax.vmap(lambda x: jax.jvp(lambda w: f(w, x), (w,), (v,))[1])(xs),
    "hvp": jax.vmap(lambda x: jax.jvp(lambda w: jax.grad(f)(w, x), (w,), (v,))[1])(xs),
    "hessian": jax.vmap(jax.hessian(f), (None, 0))(w, xs),
    "jacobian": jax.jacobian(lambda w: jax.vmap(f, (None, 0))(w, xs))(w),
    "mixed": jax.vmap(jax.jacobian(jax.grad(f), argnums=1), (None, 0))(w, xs),
    "third": jax.jacobian(jax.hessian(lambda x: f(w, x)))(xs[0]),
}
lines = ["# Written by make_transforms.py; see there for the format."]
for name, value in results.items():
    shape = ",".join(str(d) for d in value.shape)
    lines.append(f"{name} [{shape}] " + " ".join(repr(float(x)) for x in value.ravel()))
pathlib.Path(__file__).with_name("transforms.txt").write_text("\n".join(lines) + "\n")
