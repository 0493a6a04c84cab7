"""What the Terraform provider's resources take, from Tencent's package tencentcloud-iac-pulumi.

    pip download --no-deps tencentcloud-iac-pulumi, unpack it
    python -m tests.support.provider_schema tencentcloud_iac_pulumi-0.2.3

The package's classes are made from the provider's schema. It is 66 MB unpacked, so the part that
`deploy/terraform` uses is kept in provider_schema.json, and a test compares the two where the package is at
hand (in PROVIDER_PACKAGE). Resources that are newer than the package stand in `NEWER`.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

TABLE = Path(__file__).with_name("provider_schema.json")

Block: TypeAlias = "dict[str, Any]"
"""`required` and `optional` attributes, `blocks` by name, and of a block whether there is `one` at most and
whether it is `required`."""

RESOURCES = {
    "tencentcloud_cam_policy": "cam/policy.py",
    "tencentcloud_cam_role": "cam/role.py",
    "tencentcloud_cam_role_policy_attachment": "cam/role_policy_attachment.py",
    "tencentcloud_cls_alarm": "cls/alarm.py",
    "tencentcloud_cls_alarm_notice": "cls/alarm_notice.py",
    "tencentcloud_cls_index": "cls/index.py",
    "tencentcloud_cls_logset": "cls/logset.py",
    "tencentcloud_cls_topic": "cls/topic.py",
    "tencentcloud_cos_bucket": "cos/bucket.py",
    "tencentcloud_scf_function": "scf/function.py",
    "tencentcloud_scf_function_event_invoke_config": "scf/function_event_invoke_config.py",
    "tencentcloud_scf_reserved_concurrency_config": "scf/reserved_concurrency_config.py",
}

RENAMED = {
    "analyses": "analysis",
    "cfs_configs": "cfs_config",
    "config_infos": "config_info",
    "contain_zh": "contain_z_h",
    "image_configs": "image_config",
    "non_current_transitions": "non_current_transition",
    "retry_configs": "retry_config",
    "transitions": "transition",
}
"""Pulumi's name and the provider's, where they differ: it puts lists into the plural. From the provider's
pages, website/docs/r of github.com/tencentcloudstack/terraform-provider-tencentcloud, v1.83.25."""

NEWER: dict[str, dict[str, Any]] = {
    "tencentcloud_scf_trigger": {
        "source": "v1.83.25, website/docs/r/scf_trigger.html.markdown",
        "required": ["function_name", "namespace", "type"],
        "optional": ["custom_argument", "description", "enable", "qualifier", "trigger_desc", "trigger_name"],
        "blocks": {},
        "tells": ["add_time", "available_status", "mod_time", "trigger_attribute"],
    },
    "tencentcloud_cls_dashboard": {
        "source": "v1.83.25, website/docs/r/cls_dashboard.html.markdown",
        "required": ["dashboard_name"],
        "optional": ["data", "tags"],
        "blocks": {},
        "tells": ["create_time", "dashboard_id", "update_time"],
    },
}


def made_from(package: Path) -> dict[str, Any]:
    """The table, from the package's folder (the one that holds PKG-INFO, or an installed package's)."""
    sources = package / "tencentcloud_iac_pulumi" if (package / "PKG-INFO").is_file() else package
    found = {name: _resource(sources / path) for name, path in RESOURCES.items()}
    return {
        "source": f"tencentcloud-iac-pulumi {_version(package, sources)}",
        "resources": found,
        "newer": NEWER,
    }


def _version(package: Path, sources: Path) -> str:
    described = [package / "PKG-INFO", *sources.parent.glob("tencentcloud_iac_pulumi-*.dist-info/METADATA")]
    text = next(path for path in described if path.is_file()).read_text(encoding="utf-8")
    (found,) = re.findall(r"^Version: (.+)$", text, re.MULTILINE)
    return str(found)


def _classes(path: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}


def _resource(path: Path) -> Block:
    classes = _classes(path)
    (arguments,) = (name for name in classes if name.endswith("Args"))
    inputs = _classes(path.parent / "_inputs.py") if (path.parent / "_inputs.py").is_file() else {}
    properties = [
        each.name
        for each in classes[arguments.removesuffix("Args")].body
        if isinstance(each, ast.FunctionDef) and any("getter" in ast.unparse(d) for d in each.decorator_list)
    ]
    found = _block(classes[arguments], inputs)
    # Pulumi makes a name up where none is given; the provider asks for one.
    if "name" in found["optional"]:
        found["optional"].remove("name")
        found["required"] = sorted([*found["required"], "name"])
    taken = {*found["required"], *found["optional"], *found["blocks"]}
    found["tells"] = sorted({RENAMED.get(name, name) for name in properties} - taken)
    return found


def _parameters(class_: ast.ClassDef) -> Iterator[tuple[str, str, bool]]:
    (init,) = (each for each in class_.body if isinstance(each, ast.FunctionDef) and each.name == "__init__")
    for parameter, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
        assert parameter.annotation is not None
        yield parameter.arg, ast.unparse(parameter.annotation), default is None


def _block(class_: ast.ClassDef, inputs: dict[str, ast.ClassDef]) -> Block:
    found: Block = {"required": [], "optional": [], "blocks": {}}
    for parameter, annotation, required in _parameters(class_):
        name = RENAMED.get(parameter, parameter)
        inner = re.search(r"'(\w+Args)'", annotation)
        if inner is None:
            found["required" if required else "optional"].append(name)
            continue
        one = "Sequence" not in annotation
        found["blocks"][name] = {**_block(inputs[inner[1]], inputs), "one": one, "is_required": required}
    found["required"].sort()
    found["optional"].sort()
    return found


if __name__ == "__main__":
    TABLE.write_text(json.dumps(made_from(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
