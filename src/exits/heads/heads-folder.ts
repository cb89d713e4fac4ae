/** Exit heads in a folder, wherever it is: heads.json and heads.safetensors. */
import { HeadsError } from "../../errors.js";
import { checkManifest, fileJson, type Folder, type FolderFile, type Model } from "../../model/index.js";
import { deserializeHeads } from "./deserialize-heads.js";
import type { ExitHeads } from "./exit-heads.js";

/** Loads heads for a model. Throws a HeadsError if a file is missing or the heads belong to another model. */
export async function loadHeads(folder: Folder, model: Model): Promise<ExitHeads> {
  const open = async (name: string): Promise<FolderFile> => {
    const file = await folder.open(name);
    if (file === undefined) {
      throw new HeadsError(
        "heads-missing",
        `${folder.path}: no ${name}; expected the folder that training wrote (heads.json, heads.safetensors)`,
        { folder: folder.path },
      );
    }
    return file;
  };
  await checkManifest(folder);
  const description = await open("heads.json");
  const weights = await open("heads.safetensors");
  // Lists of tokens make it larger than other descriptions.
  return deserializeHeads(
    model,
    await fileJson(description, { limit: "tokenizerBytes" }),
    await weights.read(0, weights.size),
  );
}
