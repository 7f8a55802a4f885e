"""The dataset folder, as the other formats' goal: images copied, masks as PNG, a row per pair."""

import json

from wetgen.runtime.classes import FILE_NAME, ClassTable
from wetgen.runtime.formats.example import Example, Options
from wetgen.runtime.formats.new_folder import NewFolder
from wetgen.runtime.formats.sidecar import Sidecar
from wetgen.runtime.formats.writer import Writer
from wetgen.runtime.metadata import IMAGES, MASKS


class DatasetFolderWriter(Writer):
    """Writes a dataset folder; its rows state a split where the source had several parts."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._sidecar = Sidecar()

    def add(self, example: Example) -> None:
        image, mask = f"{IMAGES}/{example.name}{example.suffix}", f"{MASKS}/{example.name}.png"
        self.folder.write(image, example.image)
        self.folder.write(mask, example.mask_file)
        row = example.row if example.split is None else {**example.row, "split": example.split}
        self._sidecar.add(row, file_name=image, mask_file_name=mask)

    def close(self) -> None:
        table = json.dumps(self.classes.to_json(), indent=1, ensure_ascii=False) + "\n"
        self.folder.write(FILE_NAME, table.encode())
        self._sidecar.write(self.folder)
