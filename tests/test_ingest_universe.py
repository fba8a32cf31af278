"""The exchanges' master files: both formats, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.universe import Listing, MasterFileError, merge_masters, read_master

OTHER = (
    "ACT Symbol|Security Name|Exchange|CQS Symbol|ETF|Round Lot Size|Test Issue|NASDAQ Symbol\r\n"
    "BRK.B|Berkshire Hathaway Inc. Class B|N|BRK.B|N|100|N|BRK.B\n"
    "ABR$D|Arbor Realty Preferred|N|ABRpD|N|100|N|ABR-D\r"
    "SPY|SPDR S&P 500|P|SPY|Y|100|N|SPY\n"
    "ZXIET|IEX Test Company|V|ZXIET|N|100|Y|ZXIET\n"
    "File Creation Time: 0811202518:01||||||\r\n"
)
LISTED = (
    "Symbol|Security Name|Market Category|Test Issue|Financial Status|Round Lot Size|ETF|NextShares"
    "\r\nAACB|Artius II|G|N|N|100|N|N\r\nFile Creation Time: 0811202518:01|||||||\r\n"
)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_eoddata_takes_the_exchange_from_the_file_name(tmp_path: Path) -> None:
    path = write(tmp_path, "AMEX.txt", "Symbol\tDescription\nAAMC\tAltisource\n")
    assert read_master(path).listings == [Listing("AAMC", "AMEX", "Altisource", None, None)]


def test_eoddata_funds_are_told_by_name_only_where_sure(tmp_path: Path) -> None:
    lines = (
        "Symbol\tDescription\nAAA\tClo Bond ETF\nETFC\tNetfund Trust\nZVZZT\tNasdaq Test Stock\n"
    )
    listings = read_master(write(tmp_path, "AMEX.txt", lines)).listings
    told = [(listing.is_etf, listing.is_test_issue) for listing in listings]
    assert told == [(True, None), (None, None), (None, True)]


def test_nasdaq_trader_codes_and_mixed_line_ends(tmp_path: Path) -> None:
    assert read_master(write(tmp_path, "otherlisted.txt", OTHER)).listings == [
        Listing("BRK-B", "NYSE", "Berkshire Hathaway Inc. Class B", False, False),
        Listing("ABR$D", "NYSE", "Arbor Realty Preferred", False, False),
        Listing("SPY", "ARCA", "SPDR S&P 500", True, False),
        Listing("ZXIET", "IEX", "IEX Test Company", False, True),
    ]


def test_nasdaq_list_is_on_nasdaq(tmp_path: Path) -> None:
    listings = read_master(write(tmp_path, "nasdaqlisted.txt", LISTED)).listings
    assert listings == [Listing("AACB", "NASDAQ", "Artius II", False, False)]


def test_missing_trailer_is_told(tmp_path: Path) -> None:
    cut = LISTED.split("File Creation", maxsplit=1)[0]
    master = read_master(write(tmp_path, "nasdaqlisted.txt", cut))
    assert (len(master.listings), "no trailer" in master.notes[0]) == (1, True)


def test_nasdaq_trader_wins_over_eoddata(tmp_path: Path) -> None:
    eod = read_master(write(tmp_path, "ZZZ.txt", "Symbol\tDescription\nBRK.B\tOld\nNEW\tNew\n"))
    trader = read_master(write(tmp_path, "other.txt", OTHER))
    merged = merge_masters([trader, eod])
    assert [listing.symbol for listing in merged["eoddata"]] == ["NEW"]
    assert merged["nasdaq_trader"][0].name == "Berkshire Hathaway Inc. Class B"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("\r\n\r\n", "is empty"),
        ("hello\n", "'hello'"),
        ("A|B\n1|2\n", "no column"),
    ],
)
def test_other_files_are_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(MasterFileError, match=told) as caught:
        read_master(write(tmp_path, "notes.txt", text))
    assert "notes.txt" in str(caught.value)


def test_file_name_that_is_no_exchange_is_told(tmp_path: Path) -> None:
    master = read_master(write(tmp_path, "mine.txt", "Symbol\tDescription\nA\tAgilent\n"))
    assert "rename it" in master.notes[0]


def test_old_windows_letters_are_read(tmp_path: Path) -> None:
    path = tmp_path / "NYSE.txt"
    path.write_bytes("Symbol\tDescription\nEL\tEstée Lauder\n".encode("cp1252"))
    assert read_master(path).listings[0].name == "Estée Lauder"
