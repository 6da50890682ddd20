"""Checks the evidence in a folder with programs that know nothing of kiln: see evidence-oracle."""

import json
import pathlib
import sys

failed = []
checked = 0


def check(path, complaints):
    global checked
    checked += 1
    for complaint in complaints:
        failed.append(f"{path.name}: {complaint}")
    print(f"{path.name}: {'refused' if complaints else 'fine'}")


def of_spdx(path):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    found = validate_full_spdx_document(parse_file(str(path)))
    return [message.validation_message for message in found]


def of_cyclonedx(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text())
    return [] if error is None else [str(error)[:2000]]


def of_envelope(path, key_path):
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    def read():
        # It changes the document that it is given.
        return Envelope.from_dict(json.loads(path.read_text()))

    named = json.loads(path.read_text())["signatures"][0]["keyid"]
    public = load_pem_public_key(key_path.read_bytes())
    key = SSlibKey.from_crypto(public, keyid=named)
    envelope = read()
    accepted = envelope.verify([key], 1)
    complaints = [] if list(accepted) == [named] else ["no signature by that key"]
    envelope.payload = envelope.payload.replace(b"sha256", b"sha257", 1)
    try:
        envelope.verify([key], 1)
        complaints.append("a changed payload is taken too: this check is worth nothing")
    except Exception:
        pass
    parsed = statement_pb2.Statement()
    json_format.Parse(read().payload, parsed)
    Statement.copy_from_pb(parsed).validate()
    return complaints


folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.spdx.json")):
    check(path, of_spdx(path))
for path in sorted(folder.glob("*.cdx.json")):
    check(path, of_cyclonedx(path))
for path in sorted(folder.glob("provenance*.json")):
    check(path, of_envelope(path, folder / "key.pem"))
print(f"checked: {checked}")
for complaint in failed:
    print(complaint, file=sys.stderr)
sys.exit(1 if failed or not checked else 0)
