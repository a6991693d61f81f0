"""Files of the kinds that extras read: DICOM by pydicom, CZI by Zeiss' own writer, LIF and ND2 byte by byte."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.images.layouts import CELLS, IMAGE, hamamatsu_vms, reduced, ventana

ROOT = "1.2.826.0.1.3680043.8.498."


def dicom_instance(
    path: Path,
    image: NDArray[Any],
    step: float,
    kind: str = "VOLUME",
    series: str = "1",
    tile: int = 240,
    absent: tuple[int, ...] = (),
) -> None:
    """An instance of a DICOM slide in uncompressed tiles.

    Args:
        path: Of the file.
        image: (H, W) or (H, W, 3).
        step: How many pixels of the full resolution are one here.
        kind: VOLUME, LABEL or OVERVIEW.
        series: The last part of the series' number.
        tile: Its side.
        absent: Tiles that are left out.
    """
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.sequence import Sequence

    height, width = image.shape[:2]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    meta.MediaStorageSOPInstanceUID = f"{ROOT}3.{series}.{int(step)}.{'VLO'.index(kind[0])}"
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    one = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    one.SOPClassUID, one.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    one.StudyInstanceUID, one.SeriesInstanceUID = f"{ROOT}1", f"{ROOT}2.{series}"
    one.FrameOfReferenceUID = f"{ROOT}4.{series}"
    one.Modality, one.ContainerIdentifier, one.PatientID, one.PatientName = "SM", "slide", "", ""
    one.StudyID = one.StudyDate = one.StudyTime = one.AccessionNumber = one.PatientBirthDate = one.PatientSex = ""
    one.SeriesNumber, one.InstanceNumber = 1, int(step)
    one.Manufacturer = one.ManufacturerModelName = one.DeviceSerialNumber = one.SoftwareVersions = "none"
    one.ImageType = ["ORIGINAL" if step == 1 else "DERIVED", "PRIMARY", kind, "NONE" if step == 1 else "RESAMPLED"]
    one.BurnedInAnnotation, one.SpecimenLabelInImage, one.FocusMethod = "NO", "NO", "AUTO"
    one.ExtendedDepthOfField, one.VolumetricProperties, one.LossyImageCompression = "NO", "VOLUME", "00"
    one.AcquisitionDateTime, one.ContentDate, one.ContentTime = "20260101", "20260101", "120000"
    samples = 3 if image.ndim == 3 else 1
    one.SamplesPerPixel, one.PhotometricInterpretation = samples, "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        one.PlanarConfiguration = 0
    bits = image.dtype.itemsize * 8
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = bits, bits, bits - 1, 0
    side = tile if kind == "VOLUME" else max(height, width)
    one.Rows, one.Columns = (tile, tile) if kind == "VOLUME" else (height, width)
    one.TotalPixelMatrixRows, one.TotalPixelMatrixColumns = height, width
    one.ImagedVolumeWidth, one.ImagedVolumeHeight = width * step * 25e-5, height * step * 5e-4
    one.ImagedVolumeDepth = 0.001
    one.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20.0, 40.0
    one.TotalPixelMatrixOriginSequence = Sequence([origin])
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [5e-4 * step, 25e-5 * step], 0.001
    shared.PixelMeasuresSequence = Sequence([measures])
    kinds = Dataset()
    kinds.FrameType = one.ImageType
    shared.WholeSlideMicroscopyImageFrameTypeSequence = Sequence([kinds])
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    light = Dataset()
    light.OpticalPathIdentifier = "0"
    one.OpticalPathSequence, one.NumberOfOpticalPaths = Sequence([light]), 1
    one.TotalPixelMatrixFocalPlanes = 1
    organization = Dataset()
    organization.DimensionOrganizationUID = f"{ROOT}5"
    one.DimensionOrganizationSequence = Sequence([organization])
    places = [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
    there = [place for number, place in enumerate(places) if number not in absent]
    one.DimensionOrganizationType = "TILED_SPARSE" if absent else "TILED_FULL"
    if absent:
        one.PerFrameFunctionalGroupsSequence = Sequence([_place(top, left) for top, left in there])
    frames = np.zeros((len(there), one.Rows, one.Columns, samples), image.dtype)
    for number, (top, left) in enumerate(there):
        part = image[top : top + side, left : left + side].reshape(-1, min(side, width - left), samples)
        frames[number, : part.shape[0], : part.shape[1]] = part
    one.NumberOfFrames = len(frames)
    one.PixelData = frames.tobytes()
    one["PixelData"].VR = "OB" if bits == 8 else "OW"
    one.save_as(path, enforce_file_format=True)


def _place(top: int, left: int) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    frame, place = Dataset(), Dataset()
    place.ColumnPositionInTotalImagePixelMatrix, place.RowPositionInTotalImagePixelMatrix = left + 1, top + 1
    place.XOffsetInSlideCoordinateSystem = place.YOffsetInSlideCoordinateSystem = 0.0
    place.ZOffsetInSlideCoordinateSystem = 0.0
    frame.PlanePositionSlideSequence = Sequence([place])
    light = Dataset()
    light.OpticalPathIdentifier = "0"
    frame.OpticalPathIdentificationSequence = Sequence([light])
    return frame


def dicom(folder: Path, series: str = "1", absent: tuple[int, ...] = ()) -> None:
    """A slide of two resolutions, its label and its overview, a file each."""
    folder.mkdir(exist_ok=True)
    dicom_instance(folder / f"{series}_full.dcm", IMAGE, 1, series=series, absent=absent)
    dicom_instance(folder / f"{series}_quarter.dcm", reduced(4), 4, series=series)
    dicom_instance(folder / f"{series}_label.dcm", np.zeros((64, 64, 3), np.uint8), 1, "LABEL", series)
    dicom_instance(folder / f"{series}_overview.dcm", reduced(8), 8, "OVERVIEW", series)


def czi_in_colour(path: Path) -> None:
    """Two scenes, the first a mosaic of two tiles that leave a hole."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as file:
        turned = np.ascontiguousarray(IMAGE[:, :, ::-1])  # blue, green, red
        file.write(turned, location=(0, 0), scene=0)
        file.write(turned[:240, :240], location=(1000, 480), scene=0)
        file.write(turned[:240], location=(5000, 0), scene=1)
        file.write_metadata("slide", scale_x=0.25e-6, scale_y=0.5e-6)


def czi_stack(path: Path) -> None:
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as file:
        for depth, channel in np.ndindex(2, 3):
            file.write(CELLS[depth, channel], plane={"Z": int(depth), "C": int(channel)})
        names = dict(enumerate(("DAPI", "FITC", "Cy5")))
        file.write_metadata("stack", channel_names=names, scale_x=0.25e-6, scale_y=0.5e-6)


def lif(path: Path, image: NDArray[Any] = CELLS, tables: tuple[str, ...] = ("Blue", "Green", "Red")) -> None:
    """A Leica file of one image: planes of (Z, C, H, W), or blue, green and red (H, W, 3)."""
    size = image.dtype.itemsize
    in_colour = image.shape[-1] == 3
    height, width = image.shape[:2] if in_colour else image.shape[2:]
    pixel = size * (3 if in_colour else 1)
    plane = height * width * pixel
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="{3 - number if in_colour else 0}" Resolution="{8 * size}" '
        f'NameOfMeasuredQuantity="" Min="0" Max="255" Unit="" LUTName="{table}" IsLUTInverted="0" '
        f'BytesInc="{number * (size if in_colour else plane)}" BitInc="0" />'
        for number, table in enumerate(tables)
    )
    axes = [(1, width, pixel, (width - 1) * 0.25e-6), (2, height, width * pixel, (height - 1) * 0.5e-6)]
    if not in_colour:
        axes.append((3, image.shape[0], plane * image.shape[1], 1e-6))
    dimensions = "".join(
        f'<DimensionDescription DimID="{number}" NumberOfElements="{count}" Origin="0" Length="{length}" Unit="m" '
        f'BytesInc="{step}" BitInc="0" />'
        for number, count, step, length in axes
    )
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="experiment" Visibility="1"><Children>'
        '<Element Name="Series001" Visibility="1"><Data><Image TextDescription=""><ImageDescription>'
        f"<Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{image.nbytes}" MemoryBlockID="MemBlock_1" /></Element></Children></Element>'
        "</LMSDataContainerHeader>"
    ).encode("utf-16-le")
    name = "MemBlock_1".encode("utf-16-le")
    header = struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml
    block = struct.pack("<IIBQBI", 0x70, len(name) + 14, 0x2A, image.nbytes, 0x2A, len(name) // 2) + name
    path.write_bytes(header + block + image.tobytes())


def nd2(path: Path, dyes: bool = True) -> None:
    """A Nikon file of a stack of three channels, uncompressed; without dyes, nd2 0.12 stumbles over them."""
    depths, channels, height, width = CELLS.shape
    attributes = {
        "uiWidth": width, "uiWidthBytes": width * channels * 2, "uiHeight": height, "uiComp": channels,
        "uiBpcInMemory": 16, "uiBpcSignificant": 12, "uiSequenceCount": depths, "uiTileWidth": width,
        "uiTileHeight": height, "eCompression": 2,
    }  # fmt: skip
    names = ("DAPI", "FITC", "Cy5")
    planes = {
        f"a{number}": {
            "sDescription": name,
            "uiColor": 255 << 8 * number,
            "uiCompCount": 1,
            "pFluorescentProbe": {"sName": name} if dyes else {},
        }
        for number, name in enumerate(names)
    }
    picture = {
        "bCalibrated": True, "dCalibration": 0.25, "dTimeMSec": 0.0,
        "sPicturePlanes": {"uiCount": channels, "uiCompCount": channels, "sPlaneNew": planes},
    }  # fmt: skip
    loop = {"eType": 4, "uLoopPars": {"uiCount": depths, "dZStep": 1.0}}
    content = bytearray()
    places: dict[bytes, tuple[int, int]] = {}

    def add(name: bytes, data: bytes, reserved: int | None = None) -> None:
        name_length = len(name) if reserved is None else reserved
        places[name] = (len(content), len(data))
        content.extend(
            struct.pack("<IIQ", 0x0ABECEDA, name_length, len(data)) + name.ljust(name_length, b"\0") + data
        )

    add(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"))
    add(b"ImageAttributesLV!", _nd2_value("SLxImageAttributes", attributes))
    add(b"ImageMetadataLV!", _nd2_value("SLxExperiment", loop))
    add(b"ImageMetadataSeqLV|0!", _nd2_value("SLxPictureMetadata", picture))
    for number, frame in enumerate(np.moveaxis(CELLS, 1, -1)):
        add(f"ImageDataSeq|{number}!".encode(), bytes(8) + frame.tobytes(), 4072)
    end = len(content)
    places.pop(b"ND2 FILE SIGNATURE CHUNK NAME01!")
    last = b"ND2 CHUNK MAP SIGNATURE 0000001!"
    table = b"".join(name + struct.pack("<QQ", *place) for name, place in places.items()) + last + bytes(16)
    add(b"ND2 FILEMAP SIGNATURE NAME 0001!", table)
    path.write_bytes(content + last + struct.pack("<Q", end))


def _nd2_value(name: str, value: Any) -> bytes:
    """Return a value as Nikon's files have it: its type, its name, itself."""
    kind = {bool: 1, int: 3, float: 6, str: 8, dict: 11}[type(value)]
    head = bytes([kind, len(name) + 1]) + (name + "\0").encode("utf-16-le")
    if isinstance(value, dict):
        items = b"".join(_nd2_value(*item) for item in value.items())
        return head + struct.pack("<IQ", len(value), len(head) + 12 + len(items)) + items + bytes(8 * len(value))
    if isinstance(value, str):
        return head + (value + "\0").encode("utf-16-le")
    return head + struct.pack({1: "<?", 3: "<I", 6: "<d"}[kind], value)


EXTRA_COLOURS: dict[str, Callable[[Path], None]] = {
    "ventana.bif": ventana,
    "hamamatsu.vms": hamamatsu_vms,
    "dicom": dicom,
    "dicom_sparse": lambda path: dicom(path, absent=(0, 5)),
    "mosaic.czi": czi_in_colour,
    "colours.lif": lambda path: lif(path, np.ascontiguousarray(IMAGE[:, :, ::-1]), ("Blue", "Green", "Red")),
}
EXTRA_STACKS: dict[str, Callable[[Path], None]] = {"stack.czi": czi_stack, "stack.nd2": nd2, "stack.lif": lif}
