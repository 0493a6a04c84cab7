"""The software bill of materials of the bundle: CycloneDX 1.6, as JSON.

The same bundle gives the same bytes: it holds no time, and its serial number is made from the zip's digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from handler import __version__


def bill(installed: Iterable[Mapping[str, Any]], shipped: Collection[str], digest: str) -> str:
    """The bill, as JSON.

    `installed` are the packages as in pip's installation report; those named in `shipped` are listed, each
    with the SHA-256 of the file that it was installed from. `digest` is the SHA-256 of livepair.zip.
    """
    packages = {_name(each["metadata"]["name"]): each for each in installed}
    packages = {name: packages[name] for name in sorted(map(_name, shipped))}
    components = {name: _component(name, each) for name, each in packages.items()}
    livepair = Component(
        type=ComponentType.APPLICATION,
        name="livepair",
        version=__version__,
        bom_ref="livepair",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"sha256:{digest}"), components=components.values())
    bom.metadata.component = livepair
    needed: set[str] = set()
    for name, each in packages.items():
        needs = _needs(each["metadata"]) & packages.keys()
        needed |= needs
        bom.register_dependency(components[name], [components[need] for need in sorted(needs)])
    bom.register_dependency(livepair, [components[name] for name in packages if name not in needed])
    written = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    del written["metadata"]["timestamp"]
    return json.dumps(written, indent=2, sort_keys=True) + "\n"


def _component(name: str, installed: Mapping[str, Any]) -> Component:
    version = installed["metadata"]["version"]
    purl = PackageURL("pypi", name=name, version=version)
    licence = _licence(installed["metadata"])
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=[
            HashType(
                alg=HashAlgorithm.SHA_256,
                content=installed["download_info"]["archive_info"]["hashes"]["sha256"],
            )
        ],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
    )


def _licence(metadata: Mapping[str, Any]) -> str | None:
    """What a package says of its licence: an expression, else one line, else its classifier."""
    words = metadata.get("license") or ""
    classifiers = [each for each in metadata.get("classifier", ()) if each.startswith("License ::")]
    return (
        metadata.get("license_expression")
        or (words if words and "\n" not in words else None)
        or (classifiers[0].rpartition(" :: ")[2] if classifiers else None)
    )


def _needs(metadata: Mapping[str, Any]) -> set[str]:
    """The names of what a package needs, without its extras' needs."""
    required = [each for each in metadata.get("requires_dist", ()) if not re.search(r";.*\bextra\b", each)]
    return {_name(re.split(r"[^\w.-]", each)[0]) for each in required}


def _name(name: str) -> str:
    """As package indexes compare names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
