"""The Arrow schema of stored records: explicit, versioned, and lossless for every field of a record."""

from __future__ import annotations

import pyarrow as pa

from prefalign.interfaces.errors import RecordError

SCHEMA_VERSION = 1
VERSION_KEY = b"prefalign_schema"

_TEXT = pa.string()
_MESSAGES = pa.list_(pa.struct([("role", _TEXT), ("content", pa.list_(pa.struct([("text", _TEXT), ("slot", _TEXT)])))]))
_MEDIA = pa.list_(pa.struct([("kind", _TEXT), ("path", _TEXT), ("data", pa.binary())]))
_PROMPT = pa.struct([("text", _TEXT), ("messages", _MESSAGES), ("media", _MEDIA), ("conditions", _TEXT)])
_ARRAY = pa.struct([("dtype", _TEXT), ("shape", pa.list_(pa.int64())), ("data", pa.binary())])
_SEGMENT = pa.struct([("start", pa.int64()), ("stop", pa.int64()), ("weight", pa.float64()), ("axis", _TEXT)])
_RESPONSE = pa.struct(
    [
        ("text", _TEXT),
        ("messages", _MESSAGES),
        ("token_ids", pa.list_(pa.int64())),
        ("media", _MEDIA),
        ("arrays", pa.map_(_TEXT, _ARRAY)),
        ("segments", pa.list_(_SEGMENT)),
        ("context", _PROMPT),
        ("scores", pa.map_(_TEXT, pa.float64())),
        ("ref_logp", pa.float64()),
        ("source", _TEXT),
    ]
)
_VERDICT = pa.struct(
    [
        ("kind", _TEXT),
        ("chosen", pa.int64()),
        ("rejected", pa.int64()),
        ("probability", pa.float64()),
        ("tie", pa.bool_()),
        ("ranks", pa.list_(pa.int64())),
        ("labels", pa.list_(pa.bool_())),
        ("rewards", pa.list_(pa.float64())),
    ]
)

RECORD_SCHEMA = pa.schema(
    [
        pa.field("id", _TEXT, nullable=False),
        pa.field("prompt", _PROMPT, nullable=False),
        pa.field("responses", pa.list_(_RESPONSE), nullable=False),
        pa.field("verdict", _VERDICT, nullable=False),
        ("criteria", pa.map_(_TEXT, _VERDICT)),
        ("margin", pa.float64()),
        ("weight", pa.float64()),
        ("annotator", _TEXT),
        ("source", _TEXT),
        ("reference_answer", _RESPONSE),
        ("goal", pa.list_(pa.float64())),
        ("provenance", _TEXT),
    ],
    metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()},
)


def check_schema(schema: pa.Schema, name: str) -> None:
    """Refuse a file that says it holds our records and does not, or that a later version of the schema wrote.

    A file that says nothing of the kind is somebody else's layout and passes.
    """
    version = (schema.metadata or {}).get(VERSION_KEY)
    if version is None:
        return
    if version != str(SCHEMA_VERSION).encode():
        problem = f"expected schema version {SCHEMA_VERSION}, got {version.decode(errors='replace')}; update prefalign"
        raise RecordError(problem, field="schema", where=name)
    for field in RECORD_SCHEMA:
        index = schema.get_field_index(field.name)
        if index < 0 or schema.field(index).type != field.type:
            found = "nothing" if index < 0 else str(schema.field(index).type)
            raise RecordError(f"expected a column of type {field.type}, got {found}", field=field.name, where=name)
