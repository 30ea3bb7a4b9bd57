"""What Oak et al. 2024 report, as printed, and what follows from it.

Oak, Nazre, Naigaonkar, Sawant and Vaidya 2024, *A Comparative Analysis of CNN-based Deep Learning Models for Landslide
Detection*. Models are named as in ``conf/arch/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

CITATION = "Oak et al. 2024"


@dataclass(frozen=True)
class Reported:
    """A row of Table II."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    minutes: float
    """Of training, 100 epochs."""

    @property
    def landslide_share(self) -> float:
        """Share of landslide pixels in what the model was measured on, which accuracy, precision and recall settle.

        Wrong pixels are ``1 - accuracy`` of all, and ``1 - recall + recall * (1 / precision - 1)`` of those of
        landslides.
        """
        return (1 - self.accuracy) / (1 - self.recall + self.recall * (1 / self.precision - 1))


TABLE_II: Mapping[str, Reported] = {
    "unet": Reported(0.97286, 0.83593, 0.85389, 0.84481, 661),
    "pspnet": Reported(0.96956, 0.86374, 0.82197, 0.84234, 574),
    "fpn": Reported(0.96899, 0.82576, 0.81322, 0.81944, 1252),
    "linknet": Reported(0.97499, 0.84498, 0.87074, 0.85766, 567),
}
METRICS = ("accuracy", "precision", "recall", "f1")

TABLE_I: Mapping[str, str] = {
    "Input_shape": "[256,256]",
    "Classes": "landslide, background",
    "Optimizer": "Adam",
    "Loss": "binary cross entropy",
    "Pretrained weights": "True",
    "encoder_weights": "imagenet",
    "Learning rate": "0.001",
    "Batch Size": "16",
    "Epochs": "100",
    "Activation function": "sigmoid",
    "encoder_freeze": "False",
}
SECTION_IV: Mapping[str, str] = {
    "Backbone": "ResNet50",
    "Images for training": "690",
    "Images for validation": "80",
    "Software": "Keras 2.13.1, TensorFlow 2.13.1, Python 3.8.10",
    "Hardware": "Intel Xeon E3-1271 v3, 32 GB",
}
"""What the text of section IV B adds to Table I."""

NOT_SAID = "not said"

REMARKS = (
    "The paper reports one training of each model, and which 80 images it validated on is not published. How far its "
    "numbers would move with another seed or other images is not known, so a cell outside our interval is no proof of "
    "a mistake, theirs or ours.",
    "Its text gives LinkNet 574 minutes (section IV B), its Table II 567, and 574 to PSPNet. We take the table.",
    "Its accuracy of 97.49 % and F1 of 85.7 and 85.76 % in the abstract and the conclusion are those of Table II, cut "
    "off and not rounded. Each F1 of Table II follows from its precision and recall within rounding.",
    "Its PSPNet cannot have seen 256 px as they are, if it is that of segmentation_models for Keras, whose arguments "
    "Table I names: that one refuses sizes that 48 does not divide. What it was fed instead is not said.",
)
"""What a reader must know of the paper's own numbers."""


def remark_on_shares() -> str:
    """What the rows of Table II say of the pixels behind them, in words."""
    shares = {name: reported.landslide_share for name, reported in TABLE_II.items()}
    others = [share for name, share in shares.items() if name != "pspnet"]
    return (
        "Accuracy, precision and recall together settle the share of landslide pixels: in Table II "
        f"{100 * mean(others):.2f} % for U-Net, FPN and LinkNet, but {100 * shares['pspnet']:.2f} % for PSPNet. So "
        "PSPNet was not measured on the same pixels as the others."
    )
