"""List files are strangers' input: what is malformed, hostile or too large is refused by name."""

from pathlib import Path

import pytest

from backend.adapters.screening.entries import Birth, birth_of, entry_of
from backend.adapters.screening.list_files import ListFiles, read_list
from backend.kernel.errors import Invalid, RefiError, TooLarge
from backend.ports.screening import HitKind, ListFormat, SubjectKind

VECTORS = Path("tests/vectors/screening")
XML = {
    ListFormat.OFAC_SDN_XML: "ofac_sdn.xml",
    ListFormat.UN_XML: "un.xml",
    ListFormat.EU_XML: "eu.xml",
}
EVERY_XML = pytest.mark.parametrize("form", list(XML))
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
DTD = b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'
PERSON = b'{"id": "p", "schema": "Person", "properties": {"name": ["Some Body"], "topics": ["sanction"]}}'


def written(folder: Path, content: bytes, name: str = "list") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


async def refusal(folder: Path, file: Path, form: ListFormat, **bounds: int) -> RefiError:
    with pytest.raises((Invalid, TooLarge)) as refused:
        await ListFiles(folder / "kept", **bounds).take_in(file, form)
    assert list((folder / "kept").iterdir()) == []
    return refused.value


@EVERY_XML
@pytest.mark.parametrize("attack", [LAUGHS, OUTSIDE, DTD], ids=["billion laughs", "outside file", "DTD"])
async def test_xml_with_a_dtd_or_entities_is_refused(tmp_path: Path, form: ListFormat, attack: bytes) -> None:
    whole = (VECTORS / XML[form]).read_bytes()
    head, mark, rest = whole.partition(b"?>\n")
    refused = await refusal(tmp_path, written(tmp_path, head + mark + attack + rest), form)
    assert "what no list has" in str(refused)


@EVERY_XML
@pytest.mark.parametrize("share", [0.999, 0.6, 0.05])
async def test_truncated_xml_is_refused(tmp_path: Path, form: ListFormat, share: float) -> None:
    whole = (VECTORS / XML[form]).read_bytes()
    refused = await refusal(tmp_path, written(tmp_path, whole[: int(len(whole) * share)]), form)
    assert "malformed" in str(refused)
    assert "line" in str(refused)


@EVERY_XML
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "malformed"),
        (b"\x00\x01\x02", "malformed"),
        (b"<html><body/></html>", "the document is a <html>"),
        (b"<?xml version='1.0' encoding='no-such-code'?><x/>", "malformed|cannot be read"),
        (b"<a>" * 100, "the document is a <a>"),
    ],
)
async def test_what_is_no_such_list_is_refused(tmp_path: Path, form: ListFormat, content: bytes, says: str) -> None:
    refused = await refusal(tmp_path, written(tmp_path, content), form)
    assert any(part in str(refused) for part in says.split("|"))


async def test_another_formats_list_is_refused(tmp_path: Path) -> None:
    refused = await refusal(tmp_path, VECTORS / "un.xml", ListFormat.EU_XML)
    assert "not a <export>" in str(refused)


async def test_elements_nested_too_deep_or_too_many_are_refused(tmp_path: Path) -> None:
    deep = b"<sdnList>" + b"<a>" * 40 + b"</a>" * 40 + b"</sdnList>"
    assert "nested deeper" in str(await refusal(tmp_path, written(tmp_path, deep), ListFormat.OFAC_SDN_XML))
    wide = b"<sdnList><sdnEntry>" + b"<a/>" * 50_001 + b"</sdnEntry></sdnList>"
    assert "more than" in str(await refusal(tmp_path, written(tmp_path, wide), ListFormat.OFAC_SDN_XML))


async def test_a_list_without_an_entry_is_refused(tmp_path: Path) -> None:
    assert "no entry" in str(await refusal(tmp_path, written(tmp_path, b"<sdnList/>"), ListFormat.OFAC_SDN_XML))
    assert "no entry" in str(await refusal(tmp_path, written(tmp_path, b"\n\n"), ListFormat.OPENSANCTIONS_JSON))


@pytest.mark.parametrize(("form", "name"), [*XML.items(), (ListFormat.OPENSANCTIONS_JSON, "opensanctions.json")])
async def test_a_list_over_the_bound_is_refused(tmp_path: Path, form: ListFormat, name: str) -> None:
    file = VECTORS / name
    size = file.stat().st_size
    assert isinstance(await refusal(tmp_path, file, form, max_bytes=size - 1), TooLarge)
    assert (await ListFiles(tmp_path / "kept", max_bytes=size).take_in(file, form)).entries > 0


@pytest.mark.parametrize(
    ("form", "name", "old", "new", "says"),
    [
        (ListFormat.OFAC_SDN_XML, "ofac_sdn.xml", b"<uid>90004", b"<uid>90001", "entry 90001 stands on the list twice"),
        (ListFormat.OFAC_SDN_XML, "ofac_sdn.xml", b"<uid>90004</uid>", b"", "an entry has no id"),
        (ListFormat.UN_XML, "un.xml", b"7000002", b"7000001", "entry 7000001 stands on the list twice"),
        (ListFormat.EU_XML, "eu.xml", b'logicalId="502"', b'logicalId="501"', "entry 501 stands on the list twice"),
        (ListFormat.EU_XML, "eu.xml", b"Salvenia Shipping JSC", b" ", "entry 502 has neither a name nor a wallet"),
        (ListFormat.UN_XML, "un.xml", b"OSKAR", b"O" * 1_001, "entry 7000001: a name is longer"),
    ],
)
async def test_a_bad_entry_is_named(
    tmp_path: Path, form: ListFormat, name: str, old: bytes, new: bytes, says: str
) -> None:
    whole = (VECTORS / name).read_bytes()
    assert old in whole
    assert says in str(await refusal(tmp_path, written(tmp_path, whole.replace(old, new)), form))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "line 2 is no JSON"),
        (b"[" * 100_000, "line 2 is no JSON"),
        (b"\xff\xfe", "line 2 is no JSON"),
        (b"[]", "line 2 is no entity"),
        (b'{"id": "x", "schema": "Person"}', "line 2 is no entity"),
        (b'{"id": 7, "schema": "Person", "properties": {}}', "line 2 is no entity"),
        (PERSON, "entry p stands on the list twice"),
        (PERSON.replace(b"Some Body", b" ").replace(b'"p"', b'"q"'), "line 2: entry q has neither"),
        (b" " * (4 * 2**20 + 2), "line 2 is longer"),
    ],
)
async def test_a_bad_line_of_json_is_named(tmp_path: Path, line: bytes, says: str) -> None:
    file = written(tmp_path, PERSON + b"\n" + line + b"\n")
    assert says in str(await refusal(tmp_path, file, ListFormat.OPENSANCTIONS_JSON))


async def test_odd_values_in_an_entity_are_passed_over(tmp_path: Path) -> None:
    odd = PERSON.replace(b'"topics"', b'"alias": "text", "birthDate": [null, 7, "soon"], "country": {}, "topics"')
    (entry,) = read_list(written(tmp_path, odd), ListFormat.OPENSANCTIONS_JSON)
    assert (entry.births, entry.countries, [name.text for name in entry.names]) == ((), (), ["Some Body"])


CSV = {name: (VECTORS / "ofac_csv" / name).read_bytes() for name in ("sdn.csv", "alt.csv", "add.csv")}


@pytest.mark.parametrize(
    ("part", "content", "says"),
    [
        ("sdn.csv", CSV["sdn.csv"].replace(b'"KORVENKO TRADING LLC",', b""), "sdn.csv, line 2: 11 columns"),
        ("sdn.csv", b"ent_num," + CSV["sdn.csv"][6:], "sdn.csv, line 1: 'ent_num' is no entry number"),
        ("alt.csv", b'90001,11,"aka","ABD', "alt.csv, line 1"),
        ("alt.csv", b'99999,11,"aka","SOMEBODY",-0- ', "99999, which sdn.csv does not hold"),
        ("add.csv", b"\x00,", "add.csv, line 1"),
    ],
)
async def test_a_bad_line_of_csv_is_named(tmp_path: Path, part: str, content: bytes, says: str) -> None:
    for name, whole in CSV.items():
        written(tmp_path, content if name == part else whole, name)
    assert says in str(await refusal(tmp_path, tmp_path / "sdn.csv", ListFormat.OFAC_SDN_CSV))


@pytest.mark.parametrize("missing", ["alt.csv", "add.csv"])
async def test_csv_without_its_aliases_or_addresses_is_refused(tmp_path: Path, missing: str) -> None:
    for name, whole in CSV.items():
        if name != missing:
            written(tmp_path, whole, name)
    refused = await refusal(tmp_path, tmp_path / "sdn.csv", ListFormat.OFAC_SDN_CSV)
    assert f"{missing} cannot be read" in str(refused)


def test_xml_and_csv_say_the_same_of_a_person(tmp_path: Path) -> None:
    packed = b"".join(f"{name} {len(whole)}\n".encode() + whole for name, whole in CSV.items())
    by_csv = {e.entry_id: e for e in read_list(written(tmp_path, packed), ListFormat.OFAC_SDN_CSV)}
    by_xml = {e.entry_id: e for e in read_list(VECTORS / "ofac_sdn.xml", ListFormat.OFAC_SDN_XML)}
    assert by_csv.keys() == by_xml.keys()
    one, other = by_csv["90001"], by_xml["90001"]
    assert (one.births, one.countries, one.wallets, one.kinds) == (
        other.births,
        other.countries,
        other.wallets,
        other.kinds,
    )


@pytest.mark.parametrize(
    ("text", "birth"),
    [
        ("1971-03-04", Birth(1971, 1971, 3, 4)),
        ("1971-03-04T00:00:00", Birth(1971, 1971, 3, 4)),
        ("04 Mar 1971", Birth(1971, 1971, 3, 4)),
        ("March 1971", Birth(1971, 1971, 3)),
        ("1971-03", Birth(1971, 1971, 3)),
        ("1971", Birth(1971, 1971)),
        ("circa 1971", Birth(1971, 1971)),
        ("1970 to 1972", Birth(1970, 1972)),
        ("1971-13", Birth(1971, 1971)),
        ("", None),
        ("unknown", None),
        ("12345", None),
    ],
)
def test_a_birth_date_is_read_in_every_way_that_lists_write_it(text: str, birth: Birth | None) -> None:
    assert birth_of(text) == birth


def test_the_content_of_an_entry_is_its_own_whatever_the_order_in_the_file() -> None:
    births = [birth_of("1971"), birth_of("1965-01-01")]
    make = [
        entry_of("1", [SubjectKind.PERSON], HitKind.SANCTION, [], given, wallets=["0xAB", "0xCD"])
        for given in (births, births[::-1])
    ]
    assert make[0].content_sha256() == make[1].content_sha256()
    other = entry_of("1", [SubjectKind.PERSON], HitKind.SANCTION, [], births[:1], wallets=["0xAB", "0xCD"])
    assert other.content_sha256() != make[0].content_sha256()
