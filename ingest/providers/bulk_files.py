"""FMP's bulk files: CSV of the whole world, of which a few rows are wanted.

A file is read as it comes, line by line. One that breaks off ends with the last row that is whole:
whoever asks for a symbol that is not in it has to ask again.
"""

from __future__ import annotations

import csv
import zlib
from codecs import getincrementaldecoder
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from ingest.providers.errors import BadAnswerError
from ingest.providers.refusals import Reply, Rows


def file_rows(reply: Reply, chunks: Iterable[bytes], symbols: Collection[str]) -> Rows | Reply:
    """Return the rows of `symbols` in the CSV that `chunks` are, values as texts, "" as None.

    `reply` is the answer without its body. Where the body is no CSV of symbols (a refusal, a web
    page, garbage), the answer is returned with it. Raises BadAnswerError for a file that can't be
    unpacked.
    """
    is_packed = reply.headers.get("Content-Encoding") == "gzip"
    lines = _lines(_unpacked(chunks) if is_packed else chunks)
    header = next(lines, "")
    names = next(csv.reader([header]), [])
    if reply.status != 200 or "symbol" not in names:
        plain = {name: value for name, value in reply.headers.items() if name != "Content-Encoding"}
        return replace(reply, headers=plain, body=(header + "".join(lines)).encode())
    return list(_wanted(lines, names, symbols))


def _wanted(
    lines: Iterator[str], names: list[str], symbols: Collection[str]
) -> Iterator[dict[str, str | None]]:
    at = names.index("symbol")
    try:
        for values in csv.reader(line for line in lines if line.endswith("\n")):
            if len(values) == len(names) and values[at] in symbols:
                yield {name: value or None for name, value in zip(names, values, strict=True)}
    except csv.Error as error:
        raise _garbage(str(error)) from error


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield lines with their ends; the last one may have none."""
    decoder = getincrementaldecoder("utf-8-sig")(errors="replace")
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + decoder.decode(piece)).split("\n")
        for line in whole:
            yield f"{line}\n"
    if rest:
        yield rest


def _unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for piece in pieces:
            yield unpacker.decompress(piece)
    except zlib.error as error:
        raise _garbage(str(error)) from error
    if not unpacker.eof:
        raise _garbage("it breaks off")


def _garbage(why: str) -> BadAnswerError:
    error = BadAnswerError(f"the bulk file can't be read: {why}")
    error.retries = True
    return error
