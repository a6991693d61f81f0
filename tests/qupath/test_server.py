"""The protocol of QuPath's SAM extension: its requests, our answers field by field, and what is refused."""

import base64
import json
import zlib
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
from shapely.geometry import Point, shape
from tests.inference.discs import predictor
from tests.qupath.conftest import AUTO_MASK, CHECKPOINT, VIEW, ask, encode, prompt

import sac_lightning
from sac_lightning.qupath import server
from sac_lightning.qupath.questions import MOST_POINTS


def sentence(answer: tuple[int, str], status: int) -> str:
    """The sentence of a refusal."""
    assert answer[0] == status, answer
    detail = json.loads(answer[1])
    assert list(detail) == ["detail"]
    assert "Traceback" not in answer[1]
    return str(detail["detail"])


def features(answer: tuple[int, str]) -> list[dict[str, Any]]:
    """The features of an answer."""
    assert answer[0] == 200, answer
    found = json.loads(answer[1])
    assert isinstance(found, list)
    return found


def test_a_click_is_answered_by_its_nucleus(port: int) -> None:
    (found,) = features(ask(port, "POST", "/sam/", prompt(point_coords=[[40, 50]], point_labels=[1])))
    assert set(found) == {"type", "geometry", "properties"}
    assert found["type"] == "Feature"
    assert found["geometry"]["type"] == "Polygon"
    ring = found["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert all(type(number) is int for place in ring for number in place), "along the edges of pixels"
    outline = shape(found["geometry"])
    assert outline.is_valid
    assert outline.contains(Point(40.5, 50.5)), "the pixel's middle, from the corner of the image's first pixel"
    assert outline.area == pytest.approx(np.pi * 6**2, rel=0.2)
    assert outline.centroid.x == pytest.approx(40.5, abs=0.5)
    properties = found["properties"]
    assert set(properties) == {"objectType", "classification", "label", "quality", "sam_model"}
    assert properties["objectType"] == "annotation"
    assert properties["classification"] == {"name": "Nucleus", "color": [255, 210, 0]}
    assert 0 < properties["quality"] <= 1
    assert properties["sam_model"] == "discs"


def test_each_point_is_a_nucleus_and_background_is_none(port: int) -> None:
    both = prompt(point_coords=[[60, 10], [20, 20], [70, 30], [20, 20]], point_labels=[0, 1, 1, 1])
    found = features(ask(port, "POST", "/sam/", both))
    assert len(found) == 2
    # The disc at x = 20 is cut by background within it.
    beside = prompt(point_coords=[[24, 20], [20, 20]], point_labels=[0, 1])
    (cut,) = features(ask(port, "POST", "/sam/", beside))
    assert shape(cut["geometry"]).area < shape(found[0]["geometry"]).area


def test_a_box_is_answered_by_what_is_in_it(port: int) -> None:
    (small,) = features(ask(port, "POST", "/sam/", prompt(bbox=[36, 46, 45, 55])))
    (large,) = features(ask(port, "POST", "/sam/", prompt(bbox=[34, 44, 47, 57])))
    assert shape(small["geometry"]).area < shape(large["geometry"]).area
    assert shape(large["geometry"]).contains(Point(40.5, 50.5))
    # Of one that is drawn beyond the viewer's edge, what lies in it counts.
    (edge,) = features(ask(port, "POST", "/sam/", prompt(bbox=[-400, 10, 40, 30])))
    assert shape(edge["geometry"]).contains(Point(20.5, 20.5))


def test_the_whole_view_is_answered_as_predict_does(port: int) -> None:
    fields = prompt(**AUTO_MASK)
    del fields["multimask_output"]
    found = features(ask(port, "POST", "/sam/automask/", fields))
    expected = predictor().segment(VIEW).instances
    assert len(found) == expected.max() == 3
    areas = [shape(each["geometry"]).area for each in found]
    assert areas == np.bincount(expected.ravel())[1:].tolist()


def test_the_model_is_listed_for_every_kind_of_sam_that_takes_prompts(port: int) -> None:
    status, text = ask(port, "GET", "/sam/weights/?type=vit_l")
    assert status == 200
    assert json.loads(text) == [{"type": "vit_l", "name": "discs", "url": CHECKPOINT}]
    assert len(json.loads(ask(port, "GET", "/sam/weights/")[1])) == 4
    assert json.loads(ask(port, "GET", "/sam/weights/?type=sam2_l")[1]) == []
    assert "choose one" in sentence(ask(port, "GET", "/sam/weights/?type=../etc"), 422)


def test_the_rest_of_the_protocol(port: int) -> None:
    assert ask(port, "GET", "/sam/version/") == (200, sac_lightning.__version__)
    assert json.loads(ask(port, "GET", "/sam/progress/")[1]) == {"message": None, "percent": -1}
    assert ask(port, "GET", "/sam/weights/cancel/") == (200, "Nothing is being downloaded.")
    # A server URL without its last slash.
    assert ask(port, "POST", "/sam", prompt(bbox=[36, 46, 45, 55]))[0] == 200


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.pth", "file:///etc/passwd", "/etc/passwd", "other"])
def test_nothing_is_fetched_that_a_client_names(url: str, port: int) -> None:
    wanted = {"type": "vit_b", "name": "mine", "url": url}
    assert "nothing is downloaded" in sentence(ask(port, "POST", "/sam/weights/", wanted), 403)
    for path, fields in (("/sam/", {"bbox": [36, 46, 45, 55]}), ("/sam/automask/", AUTO_MASK)):
        told = sentence(ask(port, "POST", path, prompt(**fields) | {"checkpoint_url": url}), 403)
        assert "choose discs in the list of weights" in told


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/sam/sam3/", "/sam/video/", "/sam/upload/", "/sam/../etc/passwd"]
)
def test_nothing_else_is_served(path: str, method: str, port: int) -> None:
    body = "{}" if method == "POST" else None
    assert "the server URL ends in /sam/" in sentence(ask(port, method, path, body), 404)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "neither a box nor a point"),
        ({"point_coords": [[4, 5]], "point_labels": [0]}, "neither a box nor a point"),
        ({"point_coords": [[4, 5]], "point_labels": [1, 0]}, "differ in number"),
        ({"point_coords": [[4, 5]]}, "differ in number"),
        ({"point_coords": [[4.5, 5]], "point_labels": [1]}, r"point_coords.0.0: Input should be a valid integer"),
        ({"point_coords": [["4", 5]], "point_labels": [1]}, "point_coords.0.0: "),
        ({"point_coords": [[4]], "point_labels": [1]}, "point_coords.0.1: Field required"),
        ({"point_coords": "all", "point_labels": [1]}, "point_coords: "),
        ({"point_coords": [[10**400, 5]], "point_labels": [1]}, "point_coords.0.0: "),
        ({"point_coords": [[4, 5]], "point_labels": [2]}, "point_labels.0: "),
        ({"point_coords": [[90, 5]], "point_labels": [1]}, "outside the image"),
        ({"point_coords": [[4, 5]] * (MOST_POINTS + 1), "point_labels": [1]}, "point_coords: "),
        ({"bbox": [1, 2, 3]}, "bbox.3: Field required"),
        ({"bbox": [9, 9, 4, 4]}, "is empty, or outside"),
        ({"bbox": [900, 9, 940, 40]}, "is empty, or outside"),
        ({"bbox": {"x": 1}}, "bbox: "),
        ({"bbox": [1, 2, 9, 9], "type": "sam2_l"}, "type: "),
        ({"bbox": [1, 2, 9, 9], "type": 3}, "type: "),
        ({"bbox": [1, 2, 9, 9], "b64mask": "AAAA"}, "b64mask: "),
        ({"bbox": [1, 2, 9, 9], "checkpoint_url": 5}, "checkpoint_url: "),
        ({"bbox": [1, 2, 9, 9], "b64img": None}, "b64img: "),
        ({"bbox": [1, 2, 9, 9], "b64img": "no base64!"}, "b64img is not base64"),
        ({"bbox": [1, 2, 9, 9], "b64img": "QUJD"}, "no PNG or JPEG"),
        ({"bbox": [1, 2, 9, 9], "b64img": encode(VIEW)[:-400] + "===="}, "b64img is"),
        ({"bbox": [1, 2, 9, 9], "b64img": encode(VIEW)[:400]}, "damaged"),
        ({"bbox": [1, 2, 9, 9], "b64img": encode(VIEW, "TIFF")}, "no PNG or JPEG"),
        ({"bbox": [1, 2, 9, 9], "b64img": encode(VIEW[:4])}, "90 x 4 pixels"),
        ({"bbox": [1, 2, 9, 9], "b64img": encode(np.zeros((64, 64), np.uint16))}, "of 8 bits"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(fields: dict[str, Any], told: str, port: int) -> None:
    assert told in sentence(ask(port, "POST", "/sam/", prompt(**fields)), 422)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"b64img": NaN}', b'{"b64img": "\\ud800"}']
)
@pytest.mark.parametrize("path", ["/sam/", "/sam/automask/"])
def test_what_is_no_json_is_refused(path: str, body: bytes, port: int) -> None:
    assert sentence(ask(port, "POST", path, body), 422)


def test_many_values_are_refused_before_they_take_memory(port: int) -> None:
    for body in (b"[" + b"[]," * 10_000 + b"1]", b'{"b64img":"","x":[' + b"{}," * 10_000 + b"1]}"):
        assert "too many values" in sentence(ask(port, "POST", "/sam/", body), 422)


def test_a_form_or_a_text_of_a_foreign_page_is_refused(port: int) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = ask(port, "POST", "/sam/", prompt(bbox=[36, 46, 45, 55]), Content_Type=kind)
        assert "application/json" in sentence(answer, 415)


def png_of(width: int, height: int) -> str:
    """A PNG that claims a size and has little in it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()


@pytest.mark.parametrize("side", [4097, 30_000, 2**31 - 1])
def test_an_image_that_claims_too_many_pixels_is_refused_before_it_is_decoded(side: int, port: int) -> None:
    asked = prompt(bbox=[1, 1, 9, 9], b64img=png_of(side, side))
    assert "more than 16,777,216 pixels" in sentence(ask(port, "POST", "/sam/", asked), 413)


@pytest.mark.parametrize("declared", [True, False])
def test_a_request_that_is_too_long_is_not_taken(
    declared: bool, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_BYTES", 2**20)
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    body = b" " * (2**20 + 1)
    headers = {"Content-Type": "application/json"}
    if declared:
        connection.request("POST", "/sam/", body, headers)
    else:
        connection.request("POST", "/sam/", iter([body[:1000], body[1000:]]), headers, encode_chunked=True)
    answer = connection.getresponse()
    assert "more than 1 MB" in sentence((answer.status, answer.read().decode()), 413)
    connection.close()


def test_a_foreign_name_for_this_machine_is_refused(port: int) -> None:
    assert ask(port, "GET", "/sam/version/", Host="elsewhere.example")[0] == 400
    for name in ("localhost", "127.0.0.1", "[::1]"):
        assert ask(port, "GET", "/sam/version/", Host=f"{name}:{port}")[0] == 200


def test_a_token_stands_in_the_server_url(guarded: int) -> None:
    right, asked = "/a-secret-of-sixteen/sam/", prompt(bbox=[36, 46, 45, 55])
    assert len(features(ask(guarded, "POST", right, asked))) == 1
    assert json.loads(ask(guarded, "GET", f"{right}weights/?type=vit_l")[1])
    assert ask(guarded, "GET", f"{right}version/", Host="workstation:8000")[0] == 200
    for wrong in ("/another-secret-of-sixteen/sam/", "/a-secret-of-sixtee/sam/", "/%C3%A9/sam/"):
        assert "the token is wrong" in sentence(ask(guarded, "POST", wrong, asked), 403)
        assert sentence(ask(guarded, "POST", wrong, b" " * 1000, Content_Type="text/plain"), 403)
        assert sentence(ask(guarded, "GET", f"{wrong}weights/"), 403)
    for wrong in ("/sam/", "//sam/"):
        assert sentence(ask(guarded, "POST", wrong, asked), 404)


def test_what_fails_in_the_server_is_told_without_a_traceback(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("of the secret place")

    monkeypatch.setattr(server, "read_question", fail)
    assert sentence(ask(port, "POST", "/sam/", prompt()), 500) == "the server failed: its console says why"
