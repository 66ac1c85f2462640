"""The small network that ships with the package, its images, and the script that trained it."""

from pathlib import Path

FOLDER = Path(__file__).parent
MODEL, CALIBRATION, TEST_DATA = FOLDER / "digits.onnx", FOLDER / "calibration.npz", FOLDER / "digits.npz"
