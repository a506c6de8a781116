"""Every adapter that screens reads every list format and keeps what the port promises."""

from datetime import date
from pathlib import Path

import pytest

from backend.adapters.screening.list_files import ListFiles
from backend.kernel.errors import Invalid, Tampered, Unavailable
from backend.ports.screening import (
    HitKind,
    ListFormat,
    Outcome,
    Screening,
    ScreeningList,
    ScreeningResult,
    ScreeningSubject,
    SubjectKind,
)

VECTORS = Path("tests/vectors/screening")
FILES = {
    ListFormat.OFAC_SDN_XML: ("ofac_sdn.xml", 4),
    ListFormat.OFAC_SDN_CSV: ("ofac_csv/sdn.csv", 4),
    ListFormat.UN_XML: ("un.xml", 3),
    ListFormat.EU_XML: ("eu.xml", 2),
    ListFormat.OPENSANCTIONS_JSON: ("opensanctions.json", 4),
}
BOTH_OFAC = pytest.mark.parametrize("form", [ListFormat.OFAC_SDN_XML, ListFormat.OFAC_SDN_CSV])


@pytest.fixture(params=["list_files"])
def screening(request: pytest.FixtureRequest, tmp_path: Path) -> Screening:
    assert request.param == "list_files"
    return ListFiles(tmp_path / "lists")


def person(name: str, birth: date | int | None = None, country: str = "", *wallets: str) -> ScreeningSubject:
    return ScreeningSubject(SubjectKind.PERSON, (name,) if name else (), birth, country, wallets)


def company(name: str) -> ScreeningSubject:
    return ScreeningSubject(SubjectKind.ORGANISATION, (name,))


async def taken(screening: Screening, form: ListFormat) -> ScreeningList:
    return await screening.take_in(VECTORS / FILES[form][0], form)


async def asked(screening: Screening, form: ListFormat, subject: ScreeningSubject) -> ScreeningResult:
    return (await screening.screen([subject], [await taken(screening, form)]))[0]


@pytest.mark.parametrize("form", list(ListFormat))
async def test_a_list_is_taken_in_under_the_hash_of_its_bytes(screening: Screening, form: ListFormat) -> None:
    made = await taken(screening, form)
    assert (made.format, made.entries, len(made.version)) == (form, FILES[form][1], 64)
    assert await taken(screening, form) == made


@BOTH_OFAC
@pytest.mark.parametrize(
    ("subject", "outcome"),
    [
        (person("Abdulrahman Samir al-Qasmiri", date(1971, 3, 4), "IQ"), Outcome.REVIEW),
        (person("ALQASMIRI, Abd al-Rahman Samir"), Outcome.REVIEW),
        (person("Samir Abd al Rahman"), Outcome.REVIEW),
        (person("عبدالرحمن سمير القسميري"), Outcome.CLEAR),  # Arabic letters say too little: see decision 0038.
        (person("Abdulrahman Samir al-Qasmiri", date(1990, 3, 4)), Outcome.CLEAR),
        (person("Tamriko Velshvily"), Outcome.REVIEW),
        (person("Tamara Velshvili"), Outcome.CLEAR),
        (company("Korvenko Trading Limited"), Outcome.REVIEW),
        (company("Korvenko Export"), Outcome.REVIEW),
        (company("Tamriko Velshvili"), Outcome.CLEAR),
        (company("Marlou Star"), Outcome.CLEAR),
        (person("", None, "", "0xABCDEF0123456789ABCDEF0123456789ABCDEF01"), Outcome.BLOCKED),
        (person("", None, "", "1InventedAddressForTests00000000"), Outcome.BLOCKED),
        (person("", None, "", "0x" + "12" * 20), Outcome.CLEAR),
    ],
)
async def test_an_ofac_list_finds_whom_it_names_and_nobody_else(
    screening: Screening, form: ListFormat, subject: ScreeningSubject, outcome: Outcome
) -> None:
    assert (await asked(screening, form, subject)).decided is outcome


@pytest.mark.parametrize(
    ("form", "subject", "entry"),
    [
        (ListFormat.UN_XML, person("Oskar Drenović", 1964), "7000001"),
        (ListFormat.UN_XML, person("Oscar Drenovich", date(1965, 7, 2)), "7000001"),
        (ListFormat.UN_XML, person("Оскар Дреновић"), "7000001"),
        (ListFormat.UN_XML, person("Livia Tormanescu", 1981), "7000002"),
        (ListFormat.UN_XML, company("Harvel Foundation for Relief"), "7000003"),
        (ListFormat.EU_XML, person("Juergen Waelkenhorst", date(1958, 11, 3), "DE"), "501"),
        (ListFormat.EU_XML, person("Jurij Walkenhorst", 1957), "501"),
        (ListFormat.EU_XML, company("Salvenia Shipping"), "502"),
        (ListFormat.OPENSANCTIONS_JSON, person("Mirella Ostrovanu", date(1969, 5, 12)), "Q-test-1"),
        (ListFormat.OPENSANCTIONS_JSON, person("Dariush Pelvani", 1974), "Q-test-3"),
        (ListFormat.OPENSANCTIONS_JSON, company("KELMAR HOLDINGS"), "Q-test-2"),
        (ListFormat.OPENSANCTIONS_JSON, person("", None, "", "tinventedtronaddressfortests000000"), "Q-test-3"),
        (ListFormat.OPENSANCTIONS_JSON, person("", None, "", "0x1111222233334444555566667777888899990000"), "w-2"),
    ],
)
async def test_the_other_lists_find_whom_they_name(
    screening: Screening, form: ListFormat, subject: ScreeningSubject, entry: str
) -> None:
    assert [hit.entry_id for hit in (await asked(screening, form, subject)).hits] == [entry]


@pytest.mark.parametrize(
    ("form", "subject"),
    [
        (ListFormat.UN_XML, person("Oskar Drenović", 1990)),
        (ListFormat.UN_XML, person("Livia Petrusov")),
        (ListFormat.EU_XML, person("Salvenia Shipping")),
        (ListFormat.OPENSANCTIONS_JSON, person("Nobody Listed")),
    ],
)
async def test_whom_a_list_does_not_name_is_clear(
    screening: Screening, form: ListFormat, subject: ScreeningSubject
) -> None:
    assert (await asked(screening, form, subject)).decided is Outcome.CLEAR


async def test_a_politically_exposed_person_waits_for_review_and_a_sanction_outweighs_the_office(
    screening: Screening,
) -> None:
    known = await taken(screening, ListFormat.OPENSANCTIONS_JSON)
    office, both = await screening.screen([person("Mirela Ostrovan"), person("Dariush Pelvani")], [known])
    assert [(hit.kind, office.decided) for hit in office.hits] == [(HitKind.PEP, Outcome.REVIEW)]
    assert [(hit.kind, both.decided) for hit in both.hits] == [(HitKind.SANCTION, Outcome.REVIEW)]


async def test_a_hit_names_list_version_entry_content_and_reasons(screening: Screening) -> None:
    known = await taken(screening, ListFormat.OFAC_SDN_XML)
    (result,) = await screening.screen([person("Abdulrahman Samir Al Qasmiri", date(1971, 3, 4), "IQ")], [known])
    (hit,) = result.hits
    assert (hit.list_name, hit.list_version, hit.entry_id, hit.score) == ("ofac-sdn", known.version, "90001", 100)
    assert "the birth date is the same" in hit.reasons
    assert "the country is the same" in hit.reasons
    assert len(hit.content_sha256) == 64
    assert result.lists == (known,)


async def test_answers_come_in_the_order_of_the_questions_and_twice_the_same(screening: Screening) -> None:
    lists = [await taken(screening, form) for form in ListFormat if form is not ListFormat.OFAC_SDN_CSV]
    subjects = [person("Tamriko Velshvili"), person("Nobody At All"), person("Livia Tormanescu")]
    first = await screening.screen(subjects, lists)
    assert [result.decided for result in first] == [Outcome.REVIEW, Outcome.CLEAR, Outcome.REVIEW]
    assert list(await screening.screen(subjects[::-1], lists)) == list(first)[::-1]


async def test_without_a_list_nobody_is_clear(screening: Screening) -> None:
    with pytest.raises(Unavailable, match="no list is loaded"):
        await screening.screen([person("Anybody")], [])


async def test_a_list_that_is_not_kept_fails_closed(screening: Screening) -> None:
    lost = ScreeningList("lost", ListFormat.UN_XML, "0" * 64, 3)
    with pytest.raises(Unavailable, match="not kept"):
        await screening.screen([person("Anybody")], [lost])


async def test_a_kept_file_that_was_changed_is_noticed(screening: Screening, tmp_path: Path) -> None:
    known = await taken(screening, ListFormat.UN_XML)
    kept = tmp_path / "lists" / known.version
    kept.write_bytes(kept.read_bytes().replace(b"DRENOVIC", b"SOMEBODY"))
    with pytest.raises(Tampered):
        await screening.screen([person("Anybody")], [known])


async def test_a_file_that_is_refused_leaves_nothing_behind(screening: Screening, tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_bytes((VECTORS / "un.xml").read_bytes()[:-200])
    with pytest.raises(Invalid):
        await screening.take_in(broken, ListFormat.UN_XML)
    assert list((tmp_path / "lists").iterdir()) == []
