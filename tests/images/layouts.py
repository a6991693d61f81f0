"""Image files in the layouts of scanners and programs, made by libraries: no scanner's own file is here."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

# Blocks, which JPEG keeps nearly as they are; a side that is no multiple of the tiles'.
IMAGE = np.random.default_rng(0).integers(60, 200, (45, 60, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
HEIGHT, WIDTH = IMAGE.shape[:2]
MICROMETRES = (0.25, 0.5)
CENTIMETRE: dict[str, Any] = {"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}
APERIO = "Aperio Image Library v12.0.15\r\n960x720 [0,0 960x720] (240x240) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2520"
PLAIN: dict[str, Any] = {"photometric": "rgb", "metadata": None}


def reduced(step: int) -> NDArray[Any]:
    return np.ascontiguousarray(IMAGE[::step, ::step])


def pyramid(path: Path, **options: Any) -> None:
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as file:
        for step in (1, 2, 4):
            small = {} if step == 1 else {"subfiletype": 1}
            file.write(reduced(step), **PLAIN, **small, **options)


def aperio(path: Path, **options: Any) -> None:
    """A slide with its thumbnail in second place, as the scanners of Aperio write it, and a label at the end."""
    with tifffile.TiffWriter(path) as file:
        file.write(IMAGE, **PLAIN, description=APERIO, tile=(240, 240), **options)
        strips = {**PLAIN, "rowsperstrip": 16}
        thumbnail = APERIO.split("|")[0].replace("\r\n", "\r\n960x720 -> 120x90 - ")
        file.write(reduced(8), description=thumbnail, compression="jpeg", **strips)
        file.write(reduced(4), **PLAIN, description=APERIO, tile=(240, 240), **options)
        label = "Aperio Image Library v12.0.15\r\nlabel 64x64"
        file.write(np.zeros((64, 64, 3), np.uint8), description=label, subfiletype=1, compression="lzw", **strips)


def drop_tiles(path: Path, numbers: tuple[int, ...]) -> None:
    """Take tiles of the first page out of its tables, as scanners leave them out where nothing is."""
    with tifffile.TiffFile(path) as file:
        tags = [(tag.valueoffset, tag.dtype) for tag in (file.pages.first.tags[code] for code in (324, 325))]
    with path.open("r+b") as content:
        for offset, kind in tags:
            size = {3: 2, 4: 4, 16: 8}[int(kind)]
            for number in numbers:
                content.seek(offset + size * number)
                content.write(bytes(size))


def sparse_aperio(path: Path) -> None:
    aperio(path, compression="jpeg")
    drop_tiles(path, (0, 1))


def philips(path: Path) -> None:
    """A slide in Philips' TIFF: sizes in XML, levels of whole tiles, tiles without tissue left out."""

    def attribute(name: str, kind: str, value: str) -> str:
        return f'<Attribute Name="{name}" Group="0x301D" Element="0x1000" PMSVR="{kind}">{value}</Attribute>'

    tile = 256
    levels = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        + attribute(
            "DICOM_PIXEL_SPACING",
            "IDoubleArray",
            f'"{5e-4 * step}" "{25e-5 * step}"',
        )
        + attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", "IUInt16", str(level))
        + attribute("PIIM_PIXEL_DATA_REPRESENTATION_COLUMNS", "IUInt32", str(1024 // step))
        + attribute("PIIM_PIXEL_DATA_REPRESENTATION_ROWS", "IUInt32", str(768 // step))
        + "</DataObject>"
        for level, step in enumerate((1, 2))
    )
    scanned = (
        '<DataObject ObjectType="DPScannedImage">'
        + attribute("PIM_DP_IMAGE_TYPE", "IString", "WSI")
        + attribute("DICOM_PIXEL_SPACING", "IDoubleArray", '"0.0005" "0.00025"')
        + attribute("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", "IDataObjectArray", f"<Array>{levels}</Array>")
        + "</DataObject>"
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        + attribute("DICOM_MANUFACTURER", "IString", "PHILIPS")
        + attribute("PIM_DP_SCANNED_IMAGES", "IDataObjectArray", f"<Array>{scanned}</Array>")
        + "</DataObject>"
    )
    whole = np.full((768, 1024, 3), 255, np.uint8)
    whole[:HEIGHT, :WIDTH] = IMAGE
    with tifffile.TiffWriter(path) as file:
        for level, step in enumerate((1, 2)):
            page = np.ascontiguousarray(whole[::step, ::step])
            file.write(
                page,
                **PLAIN,
                tile=(tile, tile),
                compression="jpeg",
                description=text if level == 0 else f"level={level} mag=20 quality=80",
                software="Philips DP v1.0",
                subfiletype=0 if level == 0 else 1,
            )
    drop_tiles(path, (0, 5))


def leica(path: Path) -> None:
    """A slide in Leica's SCN: a macro picture and the slide, sizes in nanometres, one XML for all."""
    size = (WIDTH * 250, HEIGHT * 500)
    # The macro picture shows all of the glass, the slide a part of it.
    glass = (size[0] * 2, size[1] * 2)

    def image(name: str, area: tuple[int, int], pages: list[tuple[int, int, int]], lens: str) -> str:
        dimensions = "".join(
            f'<dimension sizeX="{wide}" sizeY="{high}" r="{level}" ifd="{number}" />'
            for level, (number, wide, high) in enumerate(pages)
        )
        return (
            f'<image name="{name}" uuid="urn:uuid:0"><creationDate>2026-01-01</creationDate>'
            f'<device model="Leica SCN400" version="1" /><pixels sizeX="{pages[0][1]}" sizeY="{pages[0][2]}">'
            f'{dimensions}</pixels><view sizeX="{area[0]}" sizeY="{area[1]}" offsetX="0" offsetY="0" />'
            f"<scanSettings><objectiveSettings><objective>{lens}</objective></objectiveSettings>"
            "<illuminationSettings><numericalAperture>0.7</numericalAperture>"
            "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
        )

    text = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="c" uuid="urn:uuid:1" sizeX="{glass[0]}" sizeY="{glass[1]}"><barcode>MA==</barcode>'
        + image("macro", glass, [(0, WIDTH // 8, HEIGHT // 8)], "0.6")
        + image("slide", size, [(1, WIDTH, HEIGHT), (2, WIDTH // 4, HEIGHT // 4)], "20")
        + "</collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, step in enumerate((8, 1, 4)):
            file.write(
                reduced(step),
                **PLAIN,
                tile=(128, 128),
                compression="jpeg",
                description=text if number == 0 else None,
                **CENTIMETRE,
            )


def trestle(path: Path) -> None:
    """A slide in Trestle's layout: named by its software, with key and value pairs."""
    with tifffile.TiffWriter(path) as file:
        for step in (1, 2, 4):
            file.write(
                reduced(step),
                **PLAIN,
                tile=(128, 128),
                compression="jpeg",
                software="MedScan 1.0",
                description="Background Color=FFFFFF;White Balance=FFFFFF;Objective Power=20;JPEG Quality=70;"
                "OverlapsXY=0 0 0 0 0 0",
                # Where others have pixels per unit, Trestle has micrometres.
                resolution=(0.25, 0.5),
            )


def ventana(path: Path) -> None:
    """A slide in Ventana's BIF: a label, levels that name themselves, and XML about how tiles were scanned."""
    tile = 240
    columns, rows = WIDTH // tile, HEIGHT // tile
    # Tiles are numbered from the lower left, there and back.
    number = {
        (row, column): row * columns + (column if row % 2 == 0 else columns - 1 - column) + 1
        for row in range(rows)
        for column in range(columns)
    }
    pairs = [("RIGHT", at, (at[0], at[1] + 1)) for at in number] + [
        ("UP", at, (at[0] + 1, at[1])) for at in number
    ]
    joints = "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="99" Direction="{direction}" Tile1="{number[at]}" '
        f'Tile2="{number[other]}" OverlapX="0" OverlapY="0" />'
        for direction, at, other in pairs
        if other in number
    )
    text = (
        f'<EncodeInfo Ver="2"><SlideInfo><AoiInfo XIMAGESIZE="{tile}" YIMAGESIZE="{tile}" NumRows="{rows}" '
        f'NumCols="{columns}" Pos-X="0" Pos-Y="0" /></SlideInfo><SlideStitchInfo>'
        '<ImageInfo AOIScanned="1" AOIIndex="0" '
        f'NumRows="{rows}" NumCols="{columns}" Width="{tile}" Height="{tile}" Pos-X="0" Pos-Y="0">{joints}'
        '</ImageInfo></SlideStitchInfo><AoiOrigin><AOI0 OriginX="0" OriginY="0" /></AoiOrigin></EncodeInfo>'
    )
    scan = '<iScan Magnification="20" ScanRes="0.25" UnitNumber="1" ScannerModel="VENTANA DP 200"></iScan>'
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            reduced(8),
            **PLAIN,
            rowsperstrip=16,
            description="Label Image",
            extratags=[(700, 7, None, f"<Metadata>{scan}</Metadata>".encode(), True)],
        )
        for level, step in enumerate((1, 2)):
            file.write(
                reduced(step),
                **PLAIN,
                tile=(tile, tile),
                compression="jpeg",
                description=f"level={level} mag={20 // step} quality=90",
                extratags=[(700, 7, None, text.encode(), True)] if level == 0 else [],
            )


def hamamatsu_ndpi(path: Path) -> None:
    """A slide in Hamamatsu's NDPI: offsets of 64 bits in a TIFF of 32, each page one strip of JPEG."""
    content = bytearray(b"II*\0" + bytes(8))
    last = 4
    for step, lens in ((1, 20.0), (4, 5.0), (16, -1.0)):
        page = reduced(step) if lens > 0 else reduced(step)[:, :50].copy()
        stream = io.BytesIO()
        Image.fromarray(page).save(
            stream, "jpeg", quality=95, subsampling=0, restart_marker_blocks=-(-page.shape[1] // 8)
        )
        strip = len(content)
        content += stream.getvalue()
        resolution = len(content)
        content += struct.pack("<4I", 40_000, step, 20_000, step)
        maker = len(content)
        content += b"Hamamatsu\0"
        high, wide = page.shape[:2]
        shorts = len(content)
        content += struct.pack("<3H", 8, 8, 8)
        kind = struct.unpack("<I", struct.pack("<f", lens))[0]
        tags = [
            (256, 4, 1, wide), (257, 4, 1, high), (258, 3, 3, shorts), (259, 3, 1, 7), (262, 3, 1, 6),
            (271, 2, 10, maker), (273, 4, 1, strip), (277, 3, 1, 3), (278, 4, 1, high),
            (279, 4, 1, len(stream.getvalue())), (282, 5, 1, resolution), (283, 5, 1, resolution + 8),
            (284, 3, 1, 1), (296, 3, 1, 3), (65420, 4, 1, 1), (65421, 11, 1, kind), (65422, 9, 1, 0),
            (65423, 9, 1, 0), (65424, 9, 1, 0),
        ]  # fmt: skip
        content += bytes(-len(content) % 2)
        struct.pack_into("<Q", content, last, len(content))
        content += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        last = len(content)
        # The next page's offset, then the upper halves of all values.
        content += bytes(8 + 4 * len(tags))
    path.write_bytes(content)


def hamamatsu_vms(path: Path) -> None:
    """A slide in Hamamatsu's VMS: a text that names JPEG files beside it."""
    for name, step in (("image.jpg", 1), ("map.jpg", 8), ("macro.jpg", 16)):
        Image.fromarray(reduced(step)).save(
            path.with_name(name), quality=95, subsampling=0, restart_marker_blocks=15
        )
    path.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\nImageFile=image.jpg\n"
        "MapFile=map.jpg\nMacroImage=macro.jpg\nSourceLens=20\nPhysicalWidth=240000\nPhysicalHeight=360000\n"
    )


def ome_pyramid(path: Path) -> None:
    """An OME-TIFF as Bio-Formats and QuPath write it, its smaller resolutions as SubIFDs."""
    with tifffile.TiffWriter(path, ome=True) as file:
        sizes = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
        options: dict[str, Any] = {"photometric": "rgb", "tile": (128, 128), "compression": "zlib"}
        file.write(IMAGE, subifds=2, metadata=sizes, **options)
        for step in (2, 4):
            file.write(reduced(step), subfiletype=1, **options)


def planar(path: Path) -> None:
    tifffile.imwrite(
        path,
        np.moveaxis(IMAGE, 2, 0).copy(),
        photometric="rgb",
        planarconfig="separate",
        tile=(128, 128),
        **CENTIMETRE,
    )


CELLS = np.random.default_rng(1).integers(0, 4096, (2, 3, 90, 120), dtype=np.uint16)


def imagej_hyperstack(path: Path) -> None:
    tifffile.imwrite(path, CELLS, imagej=True, resolution=(4, 2), metadata={"axes": "ZCYX", "unit": "um"})


def ome_stack(path: Path) -> None:
    sizes = {
        "axes": "ZCYX",
        "PhysicalSizeX": 250,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 5e-4,
        "PhysicalSizeYUnit": "mm",
        "Channel": {"Name": ["DAPI", "FITC", "Cy5"]},
    }
    tifffile.imwrite(path, CELLS, ome=True, photometric="minisblack", metadata=sizes)


def planes_of_one_picture(path: Path) -> None:
    """Red, green and blue as three channels, as bioformats2raw makes them."""
    sizes = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "Channel": {"Name": ["R", "G", "B"]}}
    planes = np.moveaxis(IMAGE, 2, 0).copy()
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=sizes)


def ome_zarr(path: Path, version: str) -> None:
    """A stack with two resolutions."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    sizes = {"z": 1.0, "c": 1.0, "y": 0.5, "x": 0.25}
    axes = [
        {"name": axis, "type": "channel"} if axis == "c" else {"name": axis, "type": "space", "unit": "micrometer"}
        for axis in sizes
    ]
    datasets = []
    for level, step in enumerate((1, 2)):
        image = CELLS[:, :, ::step, ::step]
        key = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}
        array = group.create_array(str(level), shape=image.shape, dtype="uint16", chunks=(1, 1, 32, 40), **key)
        array[:] = image
        scale = [1.0, 1.0, 0.5 * step, 0.25 * step]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    scales = {
        "axes": axes,
        "datasets": datasets,
        "name": "stack",
        **({"version": "0.4"} if version == "0.4" else {}),
    }
    ome = {"multiscales": [scales], "omero": {"channels": [{"label": name} for name in ("DAPI", "FITC", "Cy5")]}}
    group.attrs.update({"ome": {"version": "0.5", **ome}} if version == "0.5" else ome)


COLOURS: dict[str, Callable[[Path], None]] = {
    "aperio.svs": lambda path: aperio(path, compression="jpeg"),
    "aperio_jpeg2000.svs": lambda path: aperio(path, compression="aperio_jp2000_rgb"),
    "aperio_sparse.svs": sparse_aperio,
    "philips_sparse.tiff": philips,
    "leica.scn": leica,
    "trestle.tif": trestle,
    "hamamatsu.ndpi": hamamatsu_ndpi,
    "tiled_jpeg.tif": lambda path: pyramid(path, tile=(128, 128), compression="jpeg", **CENTIMETRE),
    "tiled_deflate.tif": lambda path: pyramid(path, tile=(128, 256), compression="zlib", **CENTIMETRE),
    "tiled_lzw.tif": lambda path: pyramid(path, tile=(64, 64), compression="lzw", predictor=True),
    "tiled_big.tif": lambda path: pyramid(path, tile=(128, 128), compression="jpeg", bigtiff=True),
    "tiled_plain.tif": lambda path: pyramid(path, tile=(128, 128)),
    "planar.tif": planar,
    "pyramid.ome.tif": ome_pyramid,
    "planes_rgb.ome.tif": planes_of_one_picture,
}
"""Slides and pictures in colour, which TIFF readers read."""

STACKS: dict[str, Callable[[Path], None]] = {
    "hyperstack.tif": imagej_hyperstack,
    "stack.ome.tif": ome_stack,
    "stack_0.4.ome.zarr": lambda path: ome_zarr(path, "0.4"),
    "stack_0.5.ome.zarr": lambda path: ome_zarr(path, "0.5"),
}
"""Stacks of two depths and three channels."""
