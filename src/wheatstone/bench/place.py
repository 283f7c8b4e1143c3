"""Where a run goes when nobody says: a directory named after what is run, so that the same command finds it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import sha256

if TYPE_CHECKING:
    from wheatstone.bench.study import Study

RUNS = Path("runs")


def run_path(
    study: Study[Any],
    preset: str,
    config: Any,
    seeds: Sequence[int],
    arms: Sequence[str],
    inputs: Mapping[str, Path] | None = None,
    root: Path = RUNS,
) -> Path:
    """`root`/<study>-<preset>-<8 hex digits>: the digits are a digest of settings, arms, seeds and input files.

    Raises UserError for an input that cannot be read.
    """
    from wheatstone.bench.config import to_json

    try:
        digests = {name: sha256(path) for name, path in (inputs or {}).items()}
    except OSError as fault:
        raise UserError(f"{fault.filename}: cannot be read ({fault.strerror}).") from None
    content = {
        "config": to_json(config),
        "arms": {name: dict(study.arm(name).changes) for name in arms},
        "seeds": list(seeds),
        "inputs": digests,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return root / f"{study.name}-{preset}-{digest}"
