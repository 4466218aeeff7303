"""Upper bounds of sizes that a user may ask for.

Each is far beyond any use known from the field, and small enough that a slip of the keyboard gets
one line instead of a machine without memory.
"""

from __future__ import annotations

from typing import Final

NODES: Final = 64
"""Nodes of a cell; the papers have 4 and 8."""
CELLS: Final = 1_000
"""Cells of a network; the papers have 8 and 20."""
CHANNELS: Final = 65_536
"""Channels of a layer, at the stem or after it."""
FEATURES: Final = 65_536
"""Width of an embedding or of a hidden state."""
CLASSES: Final = 1_000_000
IMAGE_SIZE: Final = 4_096
"""Pixels of a side of an image."""
PARAMETERS: Final = 2_000_000_000
"""Weights of a space or a network: 8 GB in float32."""
LAYERS: Final = 30_000
"""Modules of a space or a network; PyTorch makes some 10,000 a second. The paper's has 4,400."""
EPOCHS: Final = 1_000_000
BATCH_SIZE: Final = 1_000_000
STEPS: Final = 1_000_000
"""Words of a step of back-propagation through time."""
SEEDS: Final = 1_000
GENOTYPES: Final = 1_000
TOP_K: Final = 1_000
ARCHITECTURES: Final = 100_000
"""Architectures asked for at once, the best or random ones."""
DEVICES: Final = 1_024
CONCURRENCY: Final = 10_000
"""Trials side by side."""
THREADS: Final = 4_096
WORKERS: Final = 1_024
PORT: Final = 65_535
SEED: Final = 2**32 - 1
YAML_SIZE: Final = 300_000
"""Bytes of an experiment file; the parser reads so much in three seconds."""
YAML_EXPANDED: Final = 1_000_000
"""Values and characters of an experiment file, with its aliases followed."""
KEY: Final = 200
"""Characters of a key in an experiment file."""
NUMBER: Final = 2**53 - 1
"""Whole numbers up to it pass through NNI's manager, which is JavaScript, as they are."""
JSON_SIZE: Final = 200_000_000
"""Bytes of a file of results or of a state."""
TEXT_SIZE: Final = 2_000_000_000
"""Bytes of a text that is learnt from."""
EXPANSION: Final = 100
"""Bytes of a text for each byte of its archive; of true texts 3 to 10."""
PIXELS: Final = 80_000_000
"""Pixels of an image on disk."""
YAML_DEPTH: Final = 50
"""Levels of nesting in an experiment file."""
PATH_BYTES: Final = 4_095
"""Bytes of a path, as Linux allows them."""
NAME_BYTES: Final = 255
"""Bytes of a name in a path."""
