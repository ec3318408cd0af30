"""What users upload: images, files, and the emoticons made of them.

Owns the tables `media_*` (objects, upload sessions, their parts, emoticons) and, behind `Blobs`, the bytes.

Invariants: what bytes are is read from the bytes, never from names or headers; a name is only ever shown, never a
path; bytes are stored once per content and an object names its content by digest, so an object never changes; an
upload session becomes at most one object, however many last parts arrive at once; a session is seen and fed by its
owner alone. RPC carries metadata only: bytes go between the HTTP gateway and the blob store (ADR 0006).
"""
