/** Models that exceed the device, refused by config.json or by the heads of their GGUF files. */
import { fileJson, type FolderFile } from "../../model/files/folder.js";
import type { LoadModelOptions } from "../../model/files/load.js";
import { requireRoom } from "../../model/files/memory.js";
import { readModelConfig } from "../../model/families/families.js";
import { openGguf, type OpenSibling } from "../../model/gguf/load-gguf.js";
import { isGguf } from "../../model/hub/hub-name.js";

/** Throws a ModelError `model-too-large`, or what reading the file throws. */
export async function requireFits(
  file: FolderFile,
  openSibling: OpenSibling,
  options: LoadModelOptions,
): Promise<void> {
  if (!isGguf(file.path)) {
    requireRoom(readModelConfig(await fileJson(file, options), options), undefined, options);
    return;
  }
  const { configJson, source } = await openGguf(file, openSibling, options);
  requireRoom(readModelConfig(configJson, options), source, { dtype: "stored", ...options });
}
