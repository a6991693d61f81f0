"""Sets of files that one OME-XML describes, which is in one of them or in a companion beside them."""

from pathlib import Path

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from tifffile import TiffFile, TiffFileError

from sac_lightning.images.formats import is_tiff

# A longer companion describes no images.
MOST_BYTES = 2**26


def find_description(xml: str, path: Path) -> tuple[str, str | None]:
    """Return the OME-XML that describes a file, and by which identifier it knows the file's pages.

    Args:
        xml: What the file itself holds, which may name another that holds it.
        path: Of the file.
    """
    try:
        root = ElementTree.fromstring(xml)
        named = root.find("./{*}BinaryOnly")
        if named is None:
            return xml, None
        other = path.with_name(named.attrib.get("MetadataFile", ""))
        return (_read_xml(other), root.attrib.get("UUID")) if other.is_file() else (xml, None)
    # A name that is none, such as one with folders, is a ValueError.
    except (ElementTree.ParseError, DefusedXmlException, ValueError, OSError, TiffFileError):
        return xml, None


def _read_xml(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
        if not is_tiff(head):
            return (head + file.read(MOST_BYTES)).decode()
    with TiffFile(path) as file:
        return str(file.pages.first.description)
