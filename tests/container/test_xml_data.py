"""The XML data: what is read, what is refused, what is kept when it is written again."""

from __future__ import annotations

import contextlib
import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wimtui.engine.container.limits import Limits
from wimtui.engine.container.xml_data import XmlData
from wimtui.engine.container.xml_element import XmlElement
from wimtui.engine.errors import LimitError, UsageError, XmlDataError

BOM = b"\xff\xfe"

WINDOWS_XML = (
    '<WIM><TOTALBYTES>12345</TOTALBYTES><IMAGE INDEX="1"><NAME>Windows</NAME>'
    "<DESCRIPTION>A &lt;b&gt; &#x26; &#67;</DESCRIPTION><DIRCOUNT>7</DIRCOUNT>"
    "<FILECOUNT>18446744073709551615</FILECOUNT><TOTALBYTES>18446744073709551616</TOTALBYTES>"
    "<HARDLINKBYTES>9x</HARDLINKBYTES>"
    "<CREATIONTIME><HIGHPART>0x01D5C0E6</HIGHPART><LOWPART>0x36A5F100</LOWPART></CREATIONTIME>"
    "<FLAGS>Core</FLAGS><WIMBOOT>1</WIMBOOT><DISPLAYNAME>D</DISPLAYNAME>"
    "<WINDOWS><ARCH>9</ARCH><PRODUCTNAME>P</PRODUCTNAME><EDITIONID>Core</EDITIONID>"
    "<LANGUAGES><LANGUAGE>en-US</LANGUAGE><LANGUAGE>de-DE</LANGUAGE><DEFAULT>en-US</DEFAULT>"
    "</LANGUAGES><VERSION><MAJOR>10</MAJOR><MINOR>0</MINOR><BUILD>19041</BUILD></VERSION>"
    '<SYSTEMROOT>WINDOWS</SYSTEMROOT><SERVICINGDATA a="1"><X/></SERVICINGDATA></WINDOWS>'
    "</IMAGE></WIM>"
)


def parse(text: str, **limits: int) -> XmlData:
    return XmlData.parse(BOM + text.encode("utf-16-le"), limits=Limits(**limits))


def test_fields() -> None:
    document = parse(WINDOWS_XML)
    assert document.total_bytes == 12345
    assert not document.is_encrypted
    info = document.images[0].info()
    assert info.name == "Windows"
    assert info.description == "A <b> & C"
    assert (info.directory_count, info.file_count) == (7, 2**64 - 1)
    assert (info.total_bytes, info.hard_link_bytes) == (0, 0)
    assert (info.creation_time, info.last_modification_time) == (0x01D5C0E636A5F100, 0)
    assert (info.display_name, info.display_description) == ("D", None)
    assert (info.flags, info.wimboot) == ("Core", True)
    windows = info.windows
    assert windows is not None
    assert (windows.architecture, windows.product_name, windows.hal) == (9, "P", None)
    assert windows.languages == ("en-US", "de-DE")
    assert windows.default_language == "en-US"
    assert windows.version == (10, 0, 19041, 0, 0)
    assert windows.system_root == "WINDOWS"


def test_unknown_elements_are_written_again() -> None:
    document = parse(WINDOWS_XML)
    written = document.pack()
    assert XmlData.parse(written).root == document.root
    assert '<SERVICINGDATA a="1"><X></X></SERVICINGDATA>' in written[2:].decode("utf-16-le")


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0" encoding="UTF-16"?><WIM/>',
        "<!-- c --><WIM><!-- c --></WIM>",
        "<!DOCTYPE WIM><WIM/>",
        "<WIM/>\0\0",
        "<WIM>\n  <X><![CDATA[<&]]></X></WIM>",
    ],
)
def test_tolerated(text: str) -> None:
    assert parse(text).images == []


def test_a_missing_byte_order_mark_is_tolerated() -> None:
    assert XmlData.parse("<WIM/>".encode("utf-16-le")).images == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "WIM",
        "<WIM>",
        "<WIM></wim>",
        "<wim/>",
        "<MIW/>",
        "<WIM>&unknown;</WIM>",
        "<WIM><IMAGE/></WIM>",
        '<WIM><IMAGE INDEX="0"/></WIM>',
        '<WIM><IMAGE INDEX="2"/></WIM>',
        '<WIM><IMAGE INDEX="1"/><IMAGE INDEX="1"/></WIM>',
        '<WIM><IMAGE INDEX="-1"/></WIM>',
        '<WIM><IMAGE INDEX="1x"/></WIM>',
        '<WIM><IMAGE INDEX="99999999999999999999"/></WIM>',
        "<a>" * 51 + "</a>" * 51,
        "<WIM>" + "<a>" * 50 + "</a>" * 50 + "</WIM>",
        '<!DOCTYPE WIM [<!ENTITY a "b">]><WIM>&a;</WIM>',
        '<!DOCTYPE WIM [<!ENTITY a "b">]><WIM/>',
        '<!DOCTYPE WIM [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><WIM/>',
        '<!DOCTYPE WIM SYSTEM "file:///etc/passwd"><WIM>&x;</WIM>',
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(XmlDataError):
        parse(text)


@pytest.mark.parametrize(
    "data", [b"<WIM/>", b"\xef\xbb\xbf<WIM/>", b"\xfe\xff" + "<WIM/>".encode("utf-16-be"), b"\xff"]
)
def test_other_encodings_are_refused(data: bytes) -> None:
    with pytest.raises(XmlDataError):
        XmlData.parse(data)


def test_limits() -> None:
    with pytest.raises(LimitError):
        parse("<WIM>" + "<a/>" * 10 + "</WIM>", xml_elements=10)
    with pytest.raises(LimitError):
        parse('<WIM><a b="1" c="2"/><a d="3"/></WIM>', xml_elements=5)
    parse('<WIM><a b="1" c="2"/><a d="3"/></WIM>', xml_elements=6)
    with pytest.raises(LimitError):
        parse("<WIM/>" + " " * 100, xml_size=100)


@pytest.mark.slow
def test_as_many_images_as_a_header_can_count() -> None:
    numbers = "".join(f"<{name}>1</{name}>" for name in ("DIRCOUNT", "FILECOUNT", "TOTALBYTES"))
    times = "".join(
        f"<{name}><HIGHPART>0</HIGHPART><LOWPART>0</LOWPART></{name}>"
        for name in ("CREATIONTIME", "LASTMODIFICATIONTIME")
    )
    rest = "<NAME>n</NAME><DESCRIPTION>d</DESCRIPTION><FLAGS>f</FLAGS><WIMBOOT>0</WIMBOOT>"
    images = (f'<IMAGE INDEX="{index}">{numbers}{times}{rest}</IMAGE>' for index in range(1, 65536))
    assert len(parse(f"<WIM>{''.join(images)}</WIM>").images) == 65535


@pytest.mark.parametrize("is_enabled", [True, False])
def test_parsing_leaves_the_collector_as_it_was(is_enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        for text in ("<WIM/>", "<WIM"):
            with contextlib.suppress(XmlDataError):
                parse(text)
            assert gc.isenabled() == is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_an_index_of_very_many_digits() -> None:
    with pytest.raises(XmlDataError, match="INDEX"):
        parse(f'<WIM><IMAGE INDEX="{"0" * 5000}1"/></WIM>')


def test_entities_are_never_expanded_into_something_large() -> None:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    with pytest.raises(XmlDataError, match="entity"):
        parse(f'<!DOCTYPE WIM [<!ENTITY l0 "x">{levels}]><WIM>&l11;</WIM>')


def test_text_in_very_many_fragments() -> None:
    document = parse("<WIM><X>" + "a<!---->" * 200_000 + "</X></WIM>")
    assert len(document.root.children[0].text) == 200_000  # type: ignore[union-attr]


def test_images_in_any_order() -> None:
    document = parse(
        '<WIM><IMAGE INDEX="2"><NAME>b</NAME></IMAGE><IMAGE INDEX="1"><NAME>a</NAME></IMAGE></WIM>'
    )
    assert [image.name for image in document.images] == ["a", "b"]
    found = document.find_name("b")
    assert found is not None
    assert found.index == 2
    assert document.find_name("B") is None


def test_edits() -> None:
    document = parse(WINDOWS_XML)
    edited = document.copy()
    image = edited.images[0]
    image.set("NAME", "R&D")
    image.set("WINDOWS/EDITIONID", "")
    image.set("WINDOWS/NEW/DEEP", "x")
    image.set_number("FILECOUNT", 3)
    image.set_time("LASTMODIFICATIONTIME", 0x01D5C0E636A5F1AB)
    edited.total_bytes = 99
    second = edited.append_image()
    second.set("NAME", "two")
    again = XmlData.parse(edited.pack())
    info = again.images[0].info()
    assert (info.name, info.file_count, again.total_bytes) == ("R&D", 3, 99)
    assert info.last_modification_time == 0x01D5C0E636A5F1AB
    assert "<LOWPART>0x36A5F1AB</LOWPART>" in edited.pack()[2:].decode("utf-16-le")
    assert again.images[0].get("WINDOWS/EDITIONID") is None
    assert again.images[0].get("WINDOWS/NEW/DEEP") == "x"
    assert document.images[0].name == "Windows"
    again.remove_image(1)
    assert [(image.index, image.name) for image in again.images] == [(1, "two")]


@pytest.mark.parametrize(
    ("path", "value"),
    [("NAME", "a\x01"), ("NAME", "\ud800"), ("A B", "x"), ("", "x"), ("A//B", "x")],
)
def test_edits_that_xml_cannot_hold(path: str, value: str) -> None:
    image = XmlData().append_image()
    with pytest.raises(UsageError):
        image.set(path, value)


texts = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"],
        exclude_characters="\ufffe\uffff",
        include_characters="\t\n",
    ),
    min_size=1,
    max_size=20,
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
values = texts.filter(lambda text: not set(text) & set("\t\n"))
elements = st.recursive(
    st.builds(XmlElement, names, st.dictionaries(names, values, max_size=2)),
    lambda inner: st.builds(
        XmlElement,
        names,
        st.dictionaries(names, values, max_size=2),
        st.lists(st.one_of(inner, texts), max_size=4).map(
            lambda children: [
                child
                for position, child in enumerate(children)
                if not (
                    position and isinstance(child, str) and isinstance(children[position - 1], str)
                )
            ]
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(elements)
def test_round_trip(element: XmlElement) -> None:
    document = XmlData(XmlElement("WIM", {}, [XmlElement("IMAGE", {"INDEX": "1"}), element]))
    if element.name != "IMAGE":
        assert XmlData.parse(document.pack()).root == document.root


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_a_typed_error(data: bytes) -> None:
    for prefix in (b"", BOM, BOM + "<WIM><IMAGE ".encode("utf-16-le")):
        with pytest.raises(XmlDataError):
            XmlData.parse(prefix + data)
