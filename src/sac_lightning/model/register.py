"""The register of models: what the package ships, and what others publish and this package reads.

Its names stand for files: those of trained models wherever a checkpoint is taken (`checkpoint=nuclei`,
`init=nuclei`), those of SAM's weights in `backbone.weights=`. A new model that ships is one more entry, and in
`pretrained` a file and its card.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parents[1] / "pretrained"
"""Where the files lie that the package ships; each one's model card lies beside it."""

META = "https://dl.fbaipublicfiles.com/segment_anything/"
BIOIMAGE_IO = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io/"
GOETTINGEN = "https://owncloud.gwdg.de/index.php/s/"

SAM_DATA = "SA-1B, 11 million photographs"
LIGHT_MICROSCOPY = (
    "14 data sets of cells and nuclei in light microscopy: LIVECell, DeepBacs, TissueNet, PlantSeg (root), "
    "NeurIPS CellSeg, Cell Tracking Challenge, DSB2018, EmbedSeg, YeaZ, CVZ-Fluo, DynamicNuclearNet, Cellpose, "
    "Omnipose, OrgaSegment"
)
HISTOPATHOLOGY = "nuclei in H&E: CPM15, CPM17, Lizard, MoNuSeg, PanNuke, PUMA, TNBC; so MoNuSeg is no test of it"
UNMEASURED = "not measured here"


@dataclass(frozen=True)
class Model:
    """A model of the register.

    Attributes:
        name: Its name in a configuration.
        kind: ``checkpoint``, a trained model with its prompt generator; or ``sam``, the weights of a plain SAM.
        backbone: Which SAM it is or stands on, a choice of ``backbone=``.
        purpose: What it is for.
        licence: Of the weights.
        data: What it was trained on.
        figures: What it comes to.
        file: Name of its file: in the package, or in the cache of weights.
        recipe: The choices of its training, which one that starts from it takes over.
        url: Where its owner publishes the file; empty for what the package ships.
        size: Size of the file in bytes; 0 if it is not known.
        sha256: SHA-256 of the file in lower-case hexadecimal; empty if it is not known. It is part of the code so
            that new weights mean a new version of the code, and earlier runs no longer count as done.
        checksum: Another hash that its owner publishes, as ``algorithm:hexadecimal``.
    """

    name: str
    kind: Literal["checkpoint", "sam"]
    backbone: str
    purpose: str
    licence: str
    data: str
    figures: str
    file: str
    recipe: tuple[str, ...] = ()
    url: str = ""
    size: int = 0
    sha256: str = ""
    checksum: str = ""

    @property
    def is_shipped(self) -> bool:
        """Whether the package includes the file."""
        return not self.url

    @property
    def is_downloadable(self) -> bool:
        """Whether the file is downloaded by its name: only one that can be verified is."""
        return bool(self.url and self.size and self.sha256)

    @property
    def use(self) -> str:
        """The option by which it is taken."""
        if self.kind == "checkpoint":
            return f"checkpoint={self.name}"
        weights = "" if self.name == self.backbone else f" backbone.weights={self.name}"
        return f"backbone={self.backbone}{weights}"


REGISTER = {
    model.name: model
    for model in (
        Model(
            name="nuclei",
            kind="checkpoint",
            backbone="vit_t",
            purpose="nuclei told apart in fluorescence and stained tissue, without training; a start for others",
            licence="Apache-2.0",
            data=(
                "DSB2018's training images (fluorescence, bright field, purple tissue), drawings of stained "
                "tissue around their nuclei, computer-drawn scenes"
            ),
            figures="AJI, Dice on test images: DSB2018 0.73, 0.90; MoNuSeg, never trained on, 0.56, 0.74",
            file="nuclei.safetensors",
            recipe=("prompts=separating", "prompts.generator.fine=8", "scale=instances", "instances=watershed"),
            size=11_678_556,
            sha256="37225944673b4c44de02a9b802423196f57b9a06923b44c5c27b4e6d3f24dfcb",
        ),
        Model(
            name="vit_t",
            kind="sam",
            backbone="vit_t",
            purpose="the tiny SAM, for trainings on a CPU",
            licence="Apache-2.0",
            data="procedural scenes of shapes, textured with scikit-image's photographs; no nucleus",
            figures="IoU after one click: 0.657 on held-out scenes, 0.624 on DSB2018's test nuclei",
            file="vit_t.safetensors",
            size=14_718_528,
            sha256="6e581fc5e9ff3e7726888435aaaa6af3144542a0c1f221f0a50e2e9847331fd8",
        ),
        Model(
            name="vit_b",
            kind="sam",
            backbone="vit_b",
            purpose="SAM, the smallest of the paper's three backbones (Table 7)",
            licence="Apache-2.0",
            data=SAM_DATA,
            figures=UNMEASURED,
            file="sam_vit_b_01ec64.pth",
            url=META + "sam_vit_b_01ec64.pth",
            size=375_042_383,
            sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        Model(
            name="vit_l",
            kind="sam",
            backbone="vit_l",
            purpose="SAM, the middle one (Table 7)",
            licence="Apache-2.0",
            data=SAM_DATA,
            figures=UNMEASURED,
            file="sam_vit_l_0b3195.pth",
            url=META + "sam_vit_l_0b3195.pth",
            size=1_249_524_607,
            sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        Model(
            name="vit_h",
            kind="sam",
            backbone="vit_h",
            purpose="SAM, the paper's backbone, for scale=paper",
            licence="Apache-2.0",
            data=SAM_DATA,
            figures=UNMEASURED,
            file="sam_vit_h_4b8939.pth",
            url=META + "sam_vit_h_4b8939.pth",
            size=2_564_550_879,
            sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
        Model(
            name="micro_sam_vit_b",
            kind="sam",
            backbone="vit_b",
            purpose="micro-sam's SAM for cells and nuclei in light microscopy (its vit_b_lm)",
            licence="CC-BY-4.0, as micro-sam exports it to BioImage.IO",
            data=LIGHT_MICROSCOPY,
            figures=UNMEASURED,
            file="micro_sam_vit_b_lm.pt",
            url=BIOIMAGE_IO + "diplomatic-bug/1.2/files/vit_b.pt",
            checksum="xxh128:fe9252a29f3f4ea53c15a06de471e186",
        ),
        Model(
            name="micro_sam_vit_l",
            kind="sam",
            backbone="vit_l",
            purpose="the same, larger (its vit_l_lm)",
            licence="CC-BY-4.0, as micro-sam exports it to BioImage.IO",
            data=LIGHT_MICROSCOPY,
            figures=UNMEASURED,
            file="micro_sam_vit_l_lm.pt",
            url=BIOIMAGE_IO + "idealistic-rat/1.2/files/vit_l.pt",
            checksum="xxh128:017f20677997d628426dec80a8018f9d",
        ),
        Model(
            name="patho_sam_vit_b",
            kind="sam",
            backbone="vit_b",
            purpose="patho-sam's SAM for nuclei in histology (micro-sam's vit_b_histopathology)",
            licence="not stated for the weights; patho-sam's code is MIT",
            data=HISTOPATHOLOGY,
            figures=UNMEASURED,
            file="patho_sam_vit_b.pt",
            url=GOETTINGEN + "sBB4H8CTmIoBZsQ/download",
            checksum="xxh128:ffd1a2cd84570458b257bd95fdd8f974",
        ),
        Model(
            name="patho_sam_vit_l",
            kind="sam",
            backbone="vit_l",
            purpose="the same, larger (vit_l_histopathology)",
            licence="not stated for the weights; patho-sam's code is MIT",
            data=HISTOPATHOLOGY,
            figures=UNMEASURED,
            file="patho_sam_vit_l.pt",
            url=GOETTINGEN + "IZgnn1cpBq2PHod/download",
            checksum="xxh128:b591833c89754271023e901281dee3f2",
        ),
        Model(
            name="patho_sam_vit_h",
            kind="sam",
            backbone="vit_h",
            purpose="the same, the largest (vit_h_histopathology)",
            licence="not stated for the weights; patho-sam's code is MIT",
            data=HISTOPATHOLOGY,
            figures=UNMEASURED,
            file="patho_sam_vit_h.pt",
            url=GOETTINGEN + "L7AcvVz7DoWJ2RZ/download",
            checksum="xxh128:bd1856dafc156a43fb3aa705f1a6e92e",
        ),
        Model(
            name="medsam_vit_b",
            kind="sam",
            backbone="vit_b",
            purpose="MedSAM: boxes around organs and lesions in medical images",
            licence="Apache-2.0, as MedSAM's repository; read what its Zenodo record says of the file",
            data="more than a million image-mask pairs of public medical data sets",
            figures=UNMEASURED,
            file="medsam_vit_b.pth",
            url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
            checksum="md5:3bb6db55bd0c9ca30b61248bca72f8d6",
        ),
    )
}

DEFAULT = "nuclei"
"""The trained model that is taken where none is named."""
