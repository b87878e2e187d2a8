#!/usr/bin/env python3
"""Whether TensorBoard reads from an event file what was written to it.

    EVENTS=DIR cargo test --test training logs::
    python3 -m venv venv && venv/bin/pip install tensorboard 'setuptools<80' && venv/bin/python tests/training/check_events.py DIR

DIR is a new folder. The test leaves there an event file and the scalars in it, `scalars.txt`: a tag, a step and a value in each line.
"""

import pathlib
import sys
import time

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

folder = pathlib.Path(sys.argv[1])
(path,) = folder.glob("events.out.tfevents.*")
want = {}
for line in (folder / "scalars.txt").read_text().splitlines():
    tag, step, value = line.split()
    want.setdefault(tag, []).append((int(step), np.float32(value)))

# The loader checks lengths and checksums, and ends quietly where one is wrong: so the events are counted.
events = list(EventFileLoader(str(path)).Load())
assert events[0].file_version == "brain.Event:2", events[0]
written = sum(len(event.summary.value) for event in events)
assert written == sum(map(len, want.values())), written

accumulator = EventAccumulator(str(path), size_guidance={SCALARS: 0}).Reload()
assert sorted(accumulator.Tags()[SCALARS]) == sorted(want), accumulator.Tags()
for tag, values in want.items():
    got = accumulator.Scalars(tag)
    assert [(event.step, np.float32(event.value)) for event in got] == values, (tag, got, values)
    assert all(0 <= time.time() - event.wall_time < 86_400 for event in got), tag
print(f"{written} scalars of {len(want)} tags are as written")
