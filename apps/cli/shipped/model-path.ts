/**
 * Checks of what a user gives as a model, before anything is read. A shipped model's name is its folder, unless a path
 * has that name.
 */
import { readdir, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { EarlyExitError } from "early-exits";
import { shippedModel, shippedModels } from "./shipped-models.js";

/** Names of the Hub stay as they are. Throws an EarlyExitError that says what to give instead. */
export async function modelPath(name: string, isHubName: (name: string) => boolean): Promise<string> {
  const found = await stat(name).catch(() => undefined);
  if (found?.isDirectory() === true) return requireModelFolder(name);
  if (found !== undefined) return requireModelFile(name);
  if (name.startsWith("hub:")) return name;
  const shipped = await shippedModel(name);
  if (shipped !== undefined) return shipped;
  if (isHubName(name)) return name;
  throw new EarlyExitError(
    "model-missing",
    `${name}: there is no such file or folder. A model is a folder with config.json, *.safetensors and ` +
      "tokenizer.json, a .gguf file, a name of the Hub such as HuggingFaceTB/SmolLM2-135M-Instruct, or the name " +
      `of a model that comes with this package: ${(await shippedModels()).join(", ")}`,
    { path: name },
  );
}

function requireModelFile(path: string): string {
  if (extname(path).toLowerCase() === ".gguf") return path;
  const folder = /\.(safetensors|json|bin)$/.test(path) ? "; give the folder that it is in" : "";
  throw new EarlyExitError(
    "model-file",
    `${path}: is no model. A model is a .gguf file, or a folder with config.json and *.safetensors${folder}`,
    { path },
  );
}

async function requireModelFolder(path: string): Promise<string> {
  const names = await readdir(path);
  const weights = names.filter((name) => /\.(bin|pth?|ckpt|h5|msgpack)$/.test(name));
  if (names.some((name) => name.includes(".safetensors"))) return path;
  const gguf = names.find((name) => name.endsWith(".gguf"));
  if (gguf !== undefined) {
    throw new EarlyExitError("model-gguf", `${path}: holds GGUF files; name the file, as in ${join(path, gguf)}`, {
      path,
    });
  }
  if (weights.length > 0) {
    throw new EarlyExitError(
      "weights-format",
      `${path}: its weights are in ${weights[0]!}, a format of other libraries, and there is no *.safetensors. ` +
        "Look for a copy of the model with model.safetensors or a GGUF file, or convert it: in transformers, " +
        'AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained("converted", safe_serialization=True)',
      { path, weights },
    );
  }
  if (names.includes("config.json")) return path; // the reader says which weights it expects
  const heads = names.includes("heads.json") ? ` ${basename(path)} holds heads: pass it as --heads.` : "";
  throw new EarlyExitError(
    "config-missing",
    `${path}: no config.json; expected a Hugging Face model folder (config.json, *.safetensors, tokenizer.json) or a ` +
      `GGUF file.${heads}`,
    { path },
  );
}
