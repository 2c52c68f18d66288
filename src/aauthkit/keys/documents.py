"""Key sets as JSON documents, wherever they are kept; private parts are sealed where there is a secret for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..protocol.jose import JoseError, PublicKey, SigningKey, b64url_encode, parse_json, parse_jwk
from .keyset import Entry, KeySet, read_entry
from .private_files import KeyFileError, KeyFileProtected
from .sealing import KEY, PASSPHRASE, Parameters, Seal


class Documents:
    """Reads and writes the key sets of one place, `where`; the secret is `seal`, or what the environment holds."""

    def __init__(self, where: str, seal: Seal | None = None) -> None:
        self._where = where
        self._seal = seal

    def reseal(self, seal: Seal | None) -> None:
        """Write under another secret from now on."""
        self._seal = seal

    @property
    def seal(self) -> Seal | None:
        """The secret there is; the environment is looked at once."""
        if self._seal is None:
            self._seal = Seal.from_environment()
        return self._seal

    def write(self, keys: KeySet, sealed: Parameters | None) -> bytes:
        """A key set as it is kept; `sealed` are the parameters of its seal, if it has one."""
        entries = [{**entry.document(), **self._written(entry, sealed)} for entry in keys.entries]
        whole = {"keys": entries} if sealed is None else {"seal": dict(sealed), "keys": entries}
        return json.dumps(whole, indent=1).encode()

    def _written(self, entry: Entry, sealed: Parameters | None) -> dict[str, Any]:
        if entry.key is None:
            return {"jwk": entry.public.jwk}
        if sealed is None:
            return {"jwk": entry.key.to_jwk()}
        seal = self.seal
        assert seal is not None
        return {"jwk": entry.public.jwk, "sealed": seal.close(entry.key.secret, entry.public.thumbprint, sealed)}

    def read(self, content: bytes | str) -> tuple[KeySet, Parameters | None]:
        """The key set in a document, and how it is sealed. Raises `KeyFileError`."""
        try:
            document = parse_json(content)
            entries = document.get("keys")
            sealed = document.get("seal")
            if not isinstance(entries, list):
                raise JoseError("it holds no list of keys")
            if sealed is not None and not isinstance(sealed, Mapping):
                raise JoseError("its seal is not a JSON object")
            keys = KeySet(tuple(read_entry(entry, self._unsealed(entry, sealed)) for entry in entries))
        except JoseError as error:
            raise KeyFileError(f"{self._where} is not a key file: {error}") from error
        return keys, sealed

    def _unsealed(self, entry: object, sealed: Parameters | None) -> SigningKey | None:
        """The private key of a sealed entry. Raises `KeyFileError`, `JoseError`."""
        if sealed is None or not isinstance(entry, Mapping) or "sealed" not in entry:
            return None
        seal = self.seal
        if seal is None:
            raise KeyFileProtected(f"{self._where} is protected: set {PASSPHRASE} or {KEY}, or either with _FILE added")
        public: PublicKey = parse_jwk(entry.get("jwk"))
        try:
            private = seal.open(entry["sealed"], public.thumbprint, sealed)
        except KeyFileError as error:
            raise KeyFileError(f"{self._where}: {error}") from error
        return SigningKey.from_jwk({**public.jwk, "d": b64url_encode(private)})
