from __future__ import annotations

import json


def edit_config(folder, change) -> None:
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
